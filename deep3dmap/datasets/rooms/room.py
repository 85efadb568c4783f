"""A random furnished room."""

from dataclasses import dataclass

import numpy as np
import trimesh

from deep3dmap.datasets.rooms.floor_plan import FloorPlan, Rectangle, footprint
from deep3dmap.datasets.rooms.furniture import EXTRAS, KINDS, Piece, chair, office_chair, radiator
from deep3dmap.datasets.rooms.lamps import Lamp, ceiling_lamps, colour_of_light
from deep3dmap.datasets.rooms.looks import Looks
from deep3dmap.datasets.rooms.surfaces import Surface, box, joined, rectangle
from deep3dmap.datasets.rooms.walls import Wall, keep_free, pictures, shell, walls_of

Random = np.random.Generator
TRIES = 20  # places tried for a piece
STREAMS = ("plan", "looks", "furniture", "light", "paint", "walk")


@dataclass(frozen=True, eq=False)
class Room:
    """A furnished room: floor at z = 0, a corner in the origin, z up, metres.

    Attributes:
        kind: what it is used as.
        size: along x, y, z.
        plan: of its floor.
        surface: all that can be seen.
        lamps: all lights, windows among them.
        looks: its textures.
    """

    kind: str
    size: tuple[float, float, float]
    plan: FloorPlan
    surface: Surface
    lamps: tuple[Lamp, ...]
    looks: Looks

    @property
    def mesh(self) -> trimesh.Trimesh:
        """Its surface: open, with normals into free space."""
        return trimesh.Trimesh(self.surface.vertices, self.surface.faces, process=False)


def streams(seed: list[int]) -> dict[str, Random]:
    """Independent random numbers for each aspect of a room."""
    return {name: np.random.default_rng([*seed, k]) for k, name in enumerate(STREAMS)}


def furnished(seed: list[int]) -> Room:
    """The room of a seed."""
    random = streams(seed)
    plan_random, light = random["plan"], random["light"]
    size = tuple(float(plan_random.uniform(*ends)) for ends in ((3.4, 6.4), (3.4, 5.6), (2.4, 2.9)))
    walls, looks = walls_of(size, plan_random), Looks.drawn(random["looks"])
    plan, kind = FloorPlan(size[:2]), str(plan_random.choice(sorted(KINDS)))
    keep_free(plan, walls)
    daylight = float(light.choice([0.0, 1.0])) * light.uniform(0.8, 2.0)
    parts = shell(size, walls, looks, daylight, random["looks"])
    color = colour_of_light(light)
    standing = _Standing(plan, walls, looks, random["furniture"])
    standing.furnish(kind)
    parts += standing.parts + pictures(walls, standing.heights, looks, random["furniture"])
    fixtures, lamps = ceiling_lamps(size, looks, color, light)
    lamps += [Lamp(position, power, color, 0.08) for position, power in standing.lamps]
    lamps += [Lamp.window(wall, opening, daylight) for wall in walls for opening in wall.openings
              if opening.name == "window" and daylight]  # yapf: disable
    return Room(kind, size, plan, joined([*parts, *fixtures]), tuple(lamps), looks)


class _Standing:
    """What stands on the floor.

    Args:
        plan: of the floor.
        walls: of the room.
        looks: of the room.
        random: of pieces and places.
    """

    def __init__(self, plan: FloorPlan, walls: list[Wall], looks: Looks, random: Random):
        self.plan, self.walls, self.looks, self.random = plan, walls, looks, random
        self.parts: list[Surface] = []
        self.lamps: list[tuple[tuple[float, float, float], float]] = []
        self.heights: list[tuple[Rectangle, float]] = []

    def furnish(self, kind: str) -> None:
        """Fill the room as one of a kind."""
        along_walls, middle = KINDS[kind]
        self._heat()
        first = along_walls[0](self.looks, self.random)
        place = self._against_wall(first)
        if middle is not None:
            self._in_the_middle(middle(self.looks, self.random), kind == "dining")
        elif place is not None and kind in ("office", "study"):
            self._before(*place, first.size[1] / 2, office_chair(self.looks, self.random))
        extras = [EXTRAS[k] for k in self.random.integers(len(EXTRAS), size=self.random.integers(2, 7))]
        for make in (*along_walls[1:], *extras):
            self._against_wall(make(self.looks, self.random))
        if self.random.random() < 0.6:
            self._rug()

    def _put(self, piece: Piece, at: tuple[float, float], turn: float) -> bool:
        area = footprint(piece.size[:2], at, turn)
        if not self.plan.take(area, piece.size[2]):
            return False
        self.parts += [part.placed((*at, 0.0), turn) for part in piece.parts]
        self.heights.append((area, piece.size[2]))
        cosine, sine = np.cos(turn), np.sin(turn)
        self.lamps += [((float(at[0] + cosine * x - sine * y), float(at[1] + sine * x + cosine * y), z), power)
                       for (x, y, z), power in piece.lamps]  # yapf: disable
        return True

    def _against_wall(self, piece: Piece) -> tuple[tuple[float, float], float] | None:
        """Put a piece somewhere along the walls; where it stands and how it is turned."""
        for _ in range(TRIES):
            wall = self.walls[self.random.integers(4)]
            if wall.length < piece.size[0] + 0.1:
                continue
            along = self.random.uniform(piece.size[0] / 2 + 0.03, wall.length - piece.size[0] / 2 - 0.03)
            x, y, _ = wall.point(along, 0, piece.size[1] / 2 + 0.02)
            if self._put(piece, (float(x), float(y)), wall.turn):
                return (float(x), float(y)), wall.turn
        return None

    def _heat(self) -> None:
        """Radiators below windows."""
        for wall in self.walls:
            for opening in wall.openings:
                piece = radiator(self.looks, self.random)
                if opening.name == "window" and opening.bottom > piece.size[2] and self.random.random() < 0.7:
                    x, y, _ = wall.point(opening.left + opening.width / 2, 0, 0.075)
                    self._put(piece, (float(x), float(y)), wall.turn)

    def _in_the_middle(self, piece: Piece, chairs: bool) -> None:
        """Put a table near the middle, perhaps with chairs around it."""
        for _ in range(TRIES):
            at = tuple(float(length / 2 + self.random.uniform(-0.15, 0.15) * length) for length in self.plan.size)
            turn = float(self.random.choice([0.0, np.pi / 2]))
            if self._put(piece, at, turn):
                break
        else:
            return
        w, d, _ = piece.size
        alike = int(self.random.integers(2**31))
        for side in range(4) if chairs else ():
            for shift in (-w / 4, w / 4) if w > 1.3 and side % 2 == 0 else (0.0, ):
                seat = chair(self.looks, np.random.default_rng(alike))
                self._before(at, turn + side * np.pi / 2, (w if side % 2 else d) / 2, seat, shift)

    def _before(self, at: tuple[float, float], turn: float, reach: float, piece: Piece, shift: float = 0.0) -> None:
        """Put a chair before the front of something, facing it.

        Args:
            at, turn: where that stands and how it is turned.
            reach: from its middle to its front, metres.
            piece: the chair.
            shift: along the front.
        """
        x, y = shift + self.random.uniform(-0.05, 0.05), reach + piece.size[1] / 2 + self.random.uniform(0.02, 0.12)
        cosine, sine = np.cos(turn), np.sin(turn)
        self._put(piece, (float(at[0] + cosine * x - sine * y), float(at[1] + sine * x + cosine * y)), turn + np.pi)

    def _rug(self) -> None:
        w, d = (float(self.random.uniform(0.35, 0.6) * length) for length in self.plan.size)
        x, y = (length / 2 for length in self.plan.size)
        edge = box((w, d, 0.012), (x, y, 0), self.looks.dyed(self.random), True)[:4]
        corner = (x - w / 2, y - d / 2, 0.012)
        self.parts += [*edge, rectangle(corner, (w, 0, 0), (0, d, 0), self.looks.pick("carpet", self.random), fit=True)]

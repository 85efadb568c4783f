"""Walls with doors and windows in recesses, floor, ceiling, skirting boards, pictures."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from deep3dmap.datasets.rooms.floor_plan import FloorPlan, Rectangle, footprint, overlap
from deep3dmap.datasets.rooms.looks import Looks
from deep3dmap.datasets.rooms.surfaces import Material, Surface, box, rectangle

Random = np.random.Generator
UP = np.array([0.0, 0.0, 1.0])
FREE_BEFORE_DOOR = 0.75
DAYLIGHT = (0.85, 0.95, 1.0)


@dataclass(frozen=True)
class Opening:
    """A recess in a wall.

    Attributes:
        name: ``door`` or ``window``.
        left, bottom, width, height: its rectangle in the wall, seen from inside, metres.
        depth: of the recess.
    """

    name: str
    left: float
    bottom: float
    width: float
    height: float
    depth: float


@dataclass(frozen=True, eq=False)
class Wall:
    """A wall seen from inside.

    Attributes:
        corner: its lower left corner.
        right: unit vector along it.
        length: along ``right``, metres.
        openings: from left to right.
    """

    corner: Float[np.ndarray, "3"]
    right: Float[np.ndarray, "3"]
    length: float
    openings: tuple[Opening, ...]

    @property
    def normal(self) -> Float[np.ndarray, "3"]:
        """Into the room."""
        return np.cross(self.right, UP)

    @property
    def turn(self) -> float:
        """Angle by which a piece's front (y) is turned to look into the room from this wall, radians."""
        return float(np.arctan2(-self.normal[0], self.normal[1]))

    def point(self, along: float, height: float, out: float = 0.0) -> Float[np.ndarray, "3"]:
        """The point of the wall at a distance from its left end and a height, moved into the room by ``out``."""
        return self.corner + along * self.right + height * UP + out * self.normal

    def strip(self, opening: Opening, depth: float) -> Rectangle:
        """The part of the floor before an opening, as deep as given."""
        middle = self.point(opening.left + opening.width / 2, 0, depth / 2)
        return footprint((opening.width, depth), (float(middle[0]), float(middle[1])), self.turn)


def walls_of(size: tuple[float, float, float], random: Random) -> list[Wall]:
    """Four walls with one or two doors and one to three windows."""
    w, d, h = size
    ends = [((w, 0, 0), (-1, 0, 0), w), ((0, 0, 0), (0, 1, 0), d), ((0, d, 0), (1, 0, 0), w), ((w, d, 0), (0, -1, 0), d)]
    doors = random.permutation(4)[:random.integers(1, 3)]
    windows = random.permutation(4)[:random.integers(1, 4)]
    walls = []
    for k, (corner, right, length) in enumerate(ends):
        openings = [_door(0.3, length, random)] if k in doors else []
        start = openings[0].left + openings[0].width + 0.3 if openings else 0.4
        openings += _windows(start, length - 0.4, h, random) if k in windows else []
        walls.append(Wall(np.array(corner, float), np.array(right, float), length, tuple(openings)))
    return walls


def _door(low: float, length: float, random: Random) -> Opening:
    width = random.uniform(0.8, 0.95)
    return Opening("door", random.uniform(low, max(0.4 * (length - width), low)), 0.0, width, random.uniform(1.98, 2.1),
                   random.uniform(0.04, 0.18))  # yapf: disable


def _windows(low: float, high: float, ceiling: float, random: Random) -> list[Opening]:
    """One window, or two of a size, between two points of a wall."""
    count = int(random.integers(1, 3))
    width = min(random.uniform(0.7, 1.8), (high - low) / count - 0.3)
    if width < 0.5:
        return []
    sill, gap = random.uniform(0.75, 1.0), (high - low - count * width) / (count + 1)
    height, depth = min(random.uniform(1.0, 1.4), ceiling - sill - 0.15), random.uniform(0.08, 0.25)
    return [Opening("window", low + gap + k * (width + gap), sill, width, height, depth) for k in range(count)]


def keep_free(plan: FloorPlan, walls: list[Wall]) -> None:
    """Keep the floor before doors free, and high things away from windows."""
    for wall in walls:
        for opening in wall.openings:
            if opening.name == "door":
                plan.kept_free.append(wall.strip(opening, FREE_BEFORE_DOOR))
            else:
                plan.windows.append((wall.strip(opening, 0.4), opening.bottom))


def shell(size: tuple[float, float, float], walls: list[Wall], looks: Looks, daylight: float, random: Random) -> list[Surface]:
    """Floor, ceiling and walls.

    Args:
        size: of the room.
        walls: of the room.
        looks: of the room.
        daylight: how bright windows are; 0 at night.
        random: of colours and of which wall is papered differently.
    """
    w, d, h = size
    plain, accent = looks.pick("wall", random), int(random.integers(-3, 4))
    parts = [rectangle((0, 0, 0), (w, 0, 0), (0, d, 0), looks.pick("floor", random)),
             rectangle((0, d, h), (w, 0, 0), (0, -d, 0), looks.dyed(random, (0.8, 0.93), 0.04))]  # yapf: disable
    frame = looks.dyed(random, (0.7, 0.93), 0.1) if random.random() < 0.7 else looks.pick("wood", random)
    board = frame if random.random() < 0.8 else None
    for k, wall in enumerate(walls):
        material = looks.pick("accent", random) if k == accent else plain
        parts += _around_openings(wall, h, material) + (_skirting(wall, board) if board else [])
        for opening in wall.openings:
            parts += _recess(wall, opening, frame, looks, daylight, random)
    return parts


def _around_openings(wall: Wall, height: float, material: Material) -> list[Surface]:
    """The wall without its openings."""
    parts, start = [], 0.0

    def piece(left: float, right: float, bottom: float, top: float):
        if right - left > 1e-6 and top - bottom > 1e-6:
            part = rectangle(wall.point(left, bottom), (right - left) * wall.right, (top - bottom) * UP, material)
            part.uv[:] += left, bottom  # one pattern over the whole wall
            parts.append(part)

    for opening in wall.openings:
        end, top = opening.left + opening.width, opening.bottom + opening.height
        piece(start, opening.left, 0.0, height)
        piece(opening.left, end, 0.0, opening.bottom)
        piece(opening.left, end, top, height)
        start = end
    piece(start, wall.length, 0.0, height)
    return parts


def _recess(wall: Wall, opening: Opening, frame: Material, looks: Looks, daylight: float, random: Random) -> list[Surface]:
    """The four sides of a recess, and the door or the window at its back."""
    left, bottom, w, h, depth = opening.left, opening.bottom, opening.width, opening.height, opening.depth
    inward, right, up = depth * wall.normal, w * wall.right, h * UP
    low, high = wall.point(left, bottom, -depth), wall.point(left, bottom + h, -depth)
    sides = [rectangle(low + right, inward, up, frame), rectangle(low + inward, -inward, up, frame),
             rectangle(low + inward, right, -inward, frame), rectangle(high, right, inward, frame)]  # yapf: disable
    if opening.name == "door":
        handle = [_bar(wall, left + 0.1 + 0.06, bottom + 1.03, 0.12, 0.025, -depth, 0.05, looks.tinted((0.6, 0.6, 0.62)))]
        return [*sides, rectangle(low, right, up, looks.pick("door", random), fit=True), *(x for y in handle for x in y)]
    pane = Material(looks.pick("outdoors", random).texture, DAYLIGHT, daylight)
    bars = [(left + w / 2, bottom, 0.05, h)] + [(left + w / 2, bottom + y, w, 0.05) for y in (0.0, h - 0.05)]
    bars += [(left + 0.025, bottom, 0.05, h), (left + w - 0.025, bottom, 0.05, h)]
    framing = [part for x, z, wide, high in bars for part in _bar(wall, x, z, wide, high, -depth, 0.03, frame)]
    return [*sides, rectangle(low, right, up, pane, fit=True), *framing]


def _bar(wall: Wall, middle: float, bottom: float, wide: float, high: float, out: float, deep: float,
         material: Material) -> list[Surface]:  # yapf: disable
    """A box on the wall, or on the back of a recess (``out`` negative)."""
    at = wall.point(middle, bottom, out + deep / 2)
    return [part.placed(at, wall.turn) for part in box((wide, deep, high), (0, 0, 0), material)]


def _skirting(wall: Wall, material: Material) -> list[Surface]:
    """A board along the foot of the wall, but for doors."""
    doors = [opening for opening in wall.openings if opening.name == "door"]
    ends = [0.0, *(x for door in doors for x in (door.left, door.left + door.width)), wall.length]
    return [part for left, right in zip(ends[::2], ends[1::2]) if right - left > 0.05
            for part in _bar(wall, (left + right) / 2, 0.0, right - left, 0.07, 0.0, 0.015, material)]  # yapf: disable


def pictures(walls: list[Wall], heights: list[tuple[Rectangle, float]], looks: Looks, random: Random) -> list[Surface]:
    """Framed pictures where the wall is free.

    Args:
        walls: of the room.
        heights: what stands on the floor, and how high it is.
        looks: of the room.
        random: of number, places and sizes.
    """
    parts = []
    for wall in walls:
        for _ in range(random.integers(0, 4)):
            w, h = random.uniform(0.3, 0.9), random.uniform(0.3, 0.7)
            picture = Opening("picture", random.uniform(0.15, wall.length - w - 0.15), random.uniform(1.3, 1.5), w, h, 0.0)
            strip = wall.strip(picture, 0.2)
            hidden = any(height > picture.bottom and overlap(strip, area) for area, height in heights)
            if hidden or any(w > 0 and picture.left < o.left + o.width + 0.1 and o.left < picture.left + w + 0.1
                             for o in wall.openings):  # yapf: disable
                continue
            frame = looks.dyed(random, (0.1, 0.9), 0.2)
            parts += _bar(wall, picture.left + w / 2, picture.bottom, w, h, 0.0, 0.025, frame)
            parts.append(rectangle(wall.point(picture.left + 0.025, picture.bottom + 0.025, 0.027), (w - 0.05) * wall.right,
                                   (h - 0.05) * UP, looks.pick("painting", random), fit=True))  # yapf: disable
            wall = Wall(wall.corner, wall.right, wall.length, (*wall.openings, picture))
    return parts

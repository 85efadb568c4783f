"""Pieces of surface that rooms and furniture are made of: grids of triangles with normals, texture coordinates, materials.

Every piece is the image of the unit square, cut finely enough to hold baked light at its vertices. Its normal points out of
the solid, into free space.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

STEP = 0.14  # longest edge of the triangles, metres
SMALL = 1e-3  # of the unit square, for the normals' differences
Vector = Sequence[float] | Float[np.ndarray, "3"]


@dataclass(frozen=True)
class Material:
    """How a piece looks.

    Attributes:
        texture: index of its texture.
        tint: RGB factor of the texture, linear.
        glow: light that it gives off itself, in units of a well-lit white wall.
    """

    texture: int
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    glow: float = 0.0


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles with what their colour depends on.

    Attributes:
        vertices: (v, 3), metres.
        faces: (f, 3), counter-clockwise seen from free space.
        normals: (v, 3) unit vectors.
        uv: (v, 2) texture coordinates, metres along the surface.
        tint: (v, 3) of the material.
        glow: (v,) of the material.
        texture: (f,) of the material.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    normals: Float[np.ndarray, "v 3"]
    uv: Float[np.ndarray, "v 2"]
    tint: Float[np.ndarray, "v 3"]
    glow: Float[np.ndarray, "v"]
    texture: Int[np.ndarray, "f"]

    def placed(self, position: Vector, turn: float = 0.0) -> "Surface":
        """Turned about the z axis by an angle in radians, then moved."""
        cosine, sine = np.cos(turn), np.sin(turn)
        rotation = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
        return replace(self, vertices=self.vertices @ rotation.T + position, normals=self.normals @ rotation.T)


def joined(pieces: Iterable[Surface]) -> Surface:
    """Several pieces as one."""
    pieces = list(pieces)
    starts = np.cumsum([0, *(len(piece.vertices) for piece in pieces)])
    faces = np.concatenate([piece.faces + start for piece, start in zip(pieces, starts)])
    names = ("vertices", "normals", "uv", "tint", "glow", "texture")
    return Surface(faces=faces, **{name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in names})


def patch(function: Callable, rows: int, columns: int, material: Material, fit: bool = False) -> Surface:
    """The image of the unit square.

    Args:
        function: of arrays s and t in [0, 1] of one shape; returns points (*shape, 3). Columns (t) run to the right of rows
            (s) seen from free space: the normal is d/dt x d/ds.
        rows, columns: of the grid.
        material: of all of it.
        fit: the texture fills the square once, rather than at its own size.
    """
    s, t = np.meshgrid(np.linspace(0, 1, rows + 1), np.linspace(0, 1, columns + 1), indexing="ij")
    points = function(s, t)
    inner_s, inner_t = s.clip(SMALL, 1 - SMALL), t.clip(SMALL, 1 - SMALL)  # a pole has the normal beside it
    along_s = function(inner_s + SMALL, inner_t) - function(inner_s - SMALL, inner_t)
    along_t = function(inner_s, inner_t + SMALL) - function(inner_s, inner_t - SMALL)
    normals = np.cross(along_t, along_s)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    lengths = [np.linalg.norm(np.diff(points, axis=axis), axis=-1).sum(axis).max() for axis in (1, 0)]
    uv = np.stack([t, s], -1) * (1.0 if fit else np.array(lengths))
    faces = _grid_faces(rows, columns)
    corners = points.reshape(-1, 3)[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=-1)
    faces = faces[area > 1e-9]  # poles are corners of empty triangles
    return _of_material(points.reshape(-1, 3), faces, normals.reshape(-1, 3), uv.reshape(-1, 2), material)


def _grid_faces(rows: int, columns: int) -> Int[np.ndarray, "f 3"]:
    index = np.arange((rows + 1) * (columns + 1)).reshape(rows + 1, columns + 1)
    a, b, c, d = (x.reshape(-1) for x in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    return np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])


def steps(length: float) -> int:
    """Number of grid steps along a length in metres."""
    return max(int(np.ceil(length / STEP)), 1)


def rectangle(corner: Vector, right: Vector, up: Vector, material: Material, fit: bool = False) -> Surface:
    """A rectangle from its lower left corner, seen from free space, along its sides; the normal is ``right x up``."""
    return _rectangles([(corner, right, up)], material, fit)


def box(size: Vector, at: Vector, material: Material, on_floor: bool = False) -> list[Surface]:
    """The outside of a box, in a list.

    Args:
        size: along x, y, z.
        at: middle of its bottom.
        material: of all sides.
        on_floor: leave the bottom out.
    """
    (w, d, h), (x, y, z) = size, at
    left, right, back, front = x - w / 2, x + w / 2, y - d / 2, y + d / 2
    sides = [((left, back, z), (w, 0, 0), (0, 0, h)), ((right, back, z), (0, d, 0), (0, 0, h)),
             ((right, front, z), (-w, 0, 0), (0, 0, h)), ((left, front, z), (0, -d, 0), (0, 0, h)),
             ((left, back, z + h), (w, 0, 0), (0, d, 0)), ((left, front, z), (w, 0, 0), (0, -d, 0))]  # yapf: disable
    return [_rectangles(sides[:5 if on_floor else 6], material)]


def _rectangles(sides: list[tuple], material: Material, fit: bool = False) -> Surface:
    """Several rectangles as one surface: most of a room, so they don't pass through :func:`patch` one by one."""
    vertices, faces, normals, uv, start = [], [], [], [], 0
    for side in sides:
        corner, right, up = np.array(side, float)
        length, height = np.linalg.norm(right), np.linalg.norm(up)
        rows, columns = steps(float(height)), steps(float(length))
        grid = np.mgrid[:rows + 1, :columns + 1].reshape(2, -1).T / (rows, columns)
        vertices.append(corner + grid @ np.stack([up, right]))
        normals.append(np.tile(np.cross(right, up) / (length * height), (len(grid), 1)))
        uv.append(grid[:, ::-1] * (1.0 if fit else np.array([length, height])))
        faces.append(_grid_faces(rows, columns) + start)
        start += len(grid)
    return _of_material(np.concatenate(vertices), np.concatenate(faces), np.concatenate(normals), np.concatenate(uv), material)


def _of_material(vertices, faces, normals, uv, material: Material) -> Surface:
    tint = np.tile(np.asarray(material.tint, float), (len(vertices), 1))
    glow = np.full(len(vertices), float(material.glow))
    return Surface(vertices, faces, normals, uv, tint, glow, np.full(len(faces), material.texture))


def turned(profile: Sequence[tuple[float, float]], at: Vector, material: Material, around: int = 14) -> Surface:
    """A surface of revolution about a vertical axis.

    Args:
        profile: radius and height of its outline, from top to bottom outside; straight in between, sharp where it turns by
            more than 60 degrees and shaded as if it were smooth elsewhere.
        at: where the axis meets height 0.
        material: of all of it.
        around: steps around the axis.
    """
    outline = np.asarray(profile, float)
    along = np.diff(outline, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    sharp = np.flatnonzero((along[1:] * along[:-1]).sum(1) < 0.5) + 1
    ends = [0, *sharp.tolist(), len(outline) - 1]
    return joined(_smooth_turned(outline[a:b + 1], np.asarray(at, float), material, around) for a, b in zip(ends, ends[1:]))


def _smooth_turned(outline: Float[np.ndarray, "k 2"], at: Float[np.ndarray, "3"], material: Material, around: int) -> Surface:
    knots = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(outline, axis=0), axis=1))])

    def point(s, t):
        radius, height = (np.interp(s * knots[-1], knots, outline[:, k]) for k in (0, 1))
        angle = -2 * np.pi * t
        return at + np.stack([radius * np.cos(angle), radius * np.sin(angle), height], -1)

    return patch(point, max(steps(float(knots[-1])), 2 * len(outline) - 2), around, material)


def blob(size: Vector, at: Vector, material: Material, roundness: float = 1.0) -> Surface:
    """A superellipsoid (Barr, "Superquadrics and angle-preserving transformations", 1981): a cushion, a leaf, a ball.

    Args:
        size: along x, y, z.
        at: its centre.
        material: of all of it.
        roundness: 1 for an ellipsoid, towards 0 for a box.
    """
    half, at = np.asarray(size, float) / 2, np.asarray(at, float)

    def power(x):
        return np.sign(x) * np.abs(x)**roundness

    def point(s, t):
        polar, angle = np.pi * (0.5 - s), -2 * np.pi * t
        ring = power(np.cos(polar))
        return at + half * np.stack([ring * power(np.cos(angle)), ring * power(np.sin(angle)), power(np.sin(polar))], -1)

    longest = steps(float(max(size)))
    ball = patch(point, min(max(2 * longest, 6), 10), min(max(3 * longest, 10), 18), material)
    return replace(ball, uv=ball.vertices[:, :2] + ball.vertices[:, 2:])  # latitude and longitude would meet at the poles

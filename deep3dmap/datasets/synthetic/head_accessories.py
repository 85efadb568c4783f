"""Accessories outside the ICT model: a hat, hair, glasses. Out-of-distribution shapes for a learned prior.

They are built on the mean head, in its centimetres, and transferred to a head by the affine map fitted to the part they sit
on; hair grows from the head's own scalp.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float, Int

from deep3dmap.datasets.synthetic import head_appearance as look
from deep3dmap.datasets.synthetic import shapes as s

RIM, TEMPLE, BRIDGE = 0.26, 0.22, 0.20  # radii of the glasses' tubes
SUBDIVISIONS = 2
SUNK = 0.35  # centimetres by which the edge of the hair lies below the skin


@dataclass(frozen=True, eq=False)
class Piece:
    """A piece of surface with the attributes of its appearance.

    Attributes:
        vertices: (n, 3) on the head, centimetres.
        faces: (f, 3) counter-clockwise seen from outside.
        canonical: (n, 3) the same points on the mean head.
        material: one of :mod:`~deep3dmap.datasets.synthetic.head_appearance`'s, for each vertex.
    """

    vertices: Float[np.ndarray, "n 3"]
    faces: Int[np.ndarray, "f 3"]
    canonical: Float[np.ndarray, "n 3"]
    material: Float[np.ndarray, " n"]


def joined(pieces: list[Piece]) -> Piece:
    """Pieces concatenated, without shared vertices."""
    starts = np.cumsum([0, *(len(piece.vertices) for piece in pieces)])
    return Piece(np.concatenate([piece.vertices for piece in pieces]),
                 np.concatenate([piece.faces + start for piece, start in zip(pieces, starts)]),
                 np.concatenate([piece.canonical for piece in pieces]),
                 np.concatenate([piece.material for piece in pieces]))  # yapf: disable


def hat(head: Piece, random: np.random.Generator) -> Piece:
    """A hat with a brim around a crown with a dent; size, height and tilt are random."""
    brim, crown, tilt = random.uniform(4.0, 6.5), random.uniform(8.2, 10.0), np.radians(random.uniform(-13, -8))
    # (share of the crown's radius, height): from the inside below the scalp over the brim to the dent on top
    outline = [(0.55, 1.6), (0.97, -0.15), (1.0, -0.3), (1 + 0.5 * brim / 10, -0.5), (1 + brim / 10, 0.1),
               (1.03 + brim / 10, 0.35), (1 + brim / 10, 0.5), (1 + 0.5 * brim / 10, -0.05), (1.05, 0.3), (1.01, 1.2),
               (0.98, 0.5 * crown),
               (0.90, 0.88 * crown), (0.78, crown), (0.55, crown), (0.3, 0.90 * crown), (0.0, 0.87 * crown)]  # yapf: disable
    radius, height = _rounded(np.array(outline), 5).T
    vertices, faces = _revolved(radius, height, 96)
    points = vertices * (8.9, 1, 10.9)
    points[:, 1] += 0.035 * points[:, 0]**2 / 8 * (np.abs(points[:, 0]) > 0)  # the brim curls up at its sides
    cos, sin = np.cos(tilt), np.sin(tilt)
    points = points @ np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]]) + (0, 8.0, 0.9)
    return _put_on(head, points, faces, look.HAT, look.hairline(torch.from_numpy(head.canonical)).numpy() > 0)


def glasses(head: Piece, random: np.random.Generator) -> Piece:
    """Rims, a bridge, and temples that go behind the ears; size and squareness of the rims are random."""
    width, height, square = random.uniform(2.4, 2.8), random.uniform(1.8, 2.3), random.uniform(2.0, 3.5)
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    x = 3.35 + width * np.sign(cos) * np.abs(cos)**(2 / square)
    y = 3.1 + height * np.sign(sin) * np.abs(sin)**(2 / square)
    rim = np.stack([x, y, 11.7 - 0.035 * x**2], -1)
    hinge = np.array([3.35 + width, 4.0, 11.7 - 0.035 * (3.35 + width)**2])
    beside = np.array([[7.4, 4.7, 7.0], [7.9, 5.0, 4.0], [8.15, 5.1, 1.0], [8.15, 4.7, -1.0], [8.0, 3.4, -2.3],
                       [7.7, 2.2, -2.8]])
    temple = _rounded(np.concatenate([hinge[None], hinge[None] + (0.6, 0.2, -0.7), beside]), 6)
    inner = 3.35 - width
    bridge = np.stack([np.linspace(-inner, inner, 9), 3.9 + 0.25 * np.cos(np.linspace(-1.5, 1.5, 9)),
                       11.7 + 0.25 * np.cos(np.linspace(-1.5, 1.5, 9))], -1)  # yapf: disable
    tubes = [_tube(rim, RIM, closed=True), _tube(temple, TEMPLE)]
    tubes += [(v * (-1, 1, 1), f[:, ::-1]) for v, f in tubes]
    tubes.append(_tube(bridge, BRIDGE))
    starts = np.cumsum([0, *(len(v) for v, _ in tubes)])
    vertices, faces = np.concatenate([v for v, _ in tubes]), np.concatenate([f + k for (_, f), k in zip(tubes, starts)])
    y, z = head.canonical[:, 1], head.canonical[:, 2]
    return _put_on(head, vertices, faces, look.GLASSES, (y > 0) & (y < 6) & (z > -2))


def hair(head: Piece, random: np.random.Generator) -> Piece:
    """Voluminous hair: the scalp moved outward, with strands; its edge lies just below the skin."""
    thickness, lift, phase = random.uniform(2.2, 3.6), random.uniform(0.5, 1.5), random.uniform(0, 30)
    above = look.hairline(torch.from_numpy(head.canonical)).numpy()
    ears = (np.abs(head.canonical[:, 0]) > 8.0) & (head.canonical[:, 1] < 6)
    faces = head.faces[((above > -0.8) & ~ears & (head.material == look.SKIN))[head.faces].all(1)]
    normals = trimesh.Trimesh(head.vertices, head.faces, process=False).vertex_normals
    used, faces = np.unique(faces, return_inverse=True)
    scalp = trimesh.Trimesh(head.vertices[used], faces.reshape(-1, 3), process=False)
    rooted = np.ones((len(used), 3))
    rooted[scalp.edges[trimesh.grouping.group_rows(scalp.edges_sorted, require_count=1)]] = 0  # the edge stays below the skin
    values, faces = np.concatenate([head.vertices[used], head.canonical[used], normals[used], rooted], 1), scalp.faces
    for _ in range(SUBDIVISIONS):  # each triangle is cut into four
        values, faces = trimesh.remesh.subdivide(values, faces)
    vertices, canonical, normals, rooted = np.split(values, 4, 1)
    c = torch.from_numpy(canonical)
    fade = s.ramp(look.hairline(c), -0.4, 3.0) * torch.from_numpy(rooted[:, 0])
    volume = thickness * (0.75 + 0.5 * look.noise(c.float() / 3.5 + phase, 1)) + lift * s.ramp(c[:, 1], 8.0, 13.0)
    height = (fade * (volume + _strands(c, phase)) - SUNK * (1 - fade)).numpy()[:, None]
    direction = normals + (0, 0.25, -0.1)
    offset = height * direction / np.linalg.norm(direction, axis=1, keepdims=True)
    return Piece(vertices + offset, faces, canonical + offset, np.full(len(vertices), float(look.HAIR)))


ACCESSORIES: dict[str, Callable[[Piece, np.random.Generator], Piece]] = {"hat": hat, "hair": hair, "glasses": glasses}


def _strands(c, phase: float):
    """How far strands stand out, centimetres: locks that run back from the forehead."""
    angle, away = torch.atan2(c[:, 0] - 0.5, c[:, 1] - 2.0), torch.hypot(c[:, 0] - 0.5, c[:, 1] - 2.0)
    sway = look.noise(c.float() / 3 + phase, 2)
    wave = torch.sin(11 * angle + 6 * sway + 0.35 * c[:, 2]) + 0.6 * torch.sin(29 * angle + 9 * sway)
    return 0.28 * wave * s.ramp(away, 1.0, 5.0)


def _put_on(head: Piece, canonical: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "f 3"], material: int,
            part: Bool[np.ndarray, " v"]) -> Piece:
    """A piece made on the mean head, transformed with a part of the head's vertices: affinely, least squares."""
    source = np.column_stack([head.canonical[part], np.ones(int(part.sum()))])
    affine = np.linalg.lstsq(source, head.vertices[part], rcond=None)[0]
    vertices = np.column_stack([canonical, np.ones(len(canonical))]) @ affine
    return Piece(vertices, faces, canonical, np.full(len(vertices), float(material)))


def _rounded(corners: Float[np.ndarray, "c d"], each: int) -> Float[np.ndarray, "p d"]:
    """A Catmull-Rom spline through corners, ``each`` points per segment, both ends included."""
    c = np.concatenate([2 * corners[:1] - corners[1:2], corners, 2 * corners[-1:] - corners[-2:-1]])
    t = np.arange(each)[:, None, None] / each
    a, b, d, e = c[:-3], c[1:-2], c[2:-1], c[3:]
    line = 0.5 * (2 * b + (d - a) * t + (2 * a - 5 * b + 4 * d - e) * t**2 + (3 * b - a - 3 * d + e) * t**3)
    return np.concatenate([line.transpose(1, 0, 2).reshape(-1, corners.shape[1]), corners[-1:]])


def _revolved(radius: Float[np.ndarray, " p"], height: Float[np.ndarray, " p"], around: int):
    """A surface of revolution around y; faces point outward where the line rises outside."""
    angle = np.arange(around) * 2 * np.pi / around
    ring = np.stack([np.sin(angle), np.cos(angle)], -1)
    vertices = np.stack([radius[:, None] * ring[:, 0],
                         np.repeat(height[:, None], around, 1), radius[:, None] * ring[:, 1]], -1)
    return vertices.reshape(-1, 3), _grid_faces(len(radius), around, closed=False)


def _tube(line: Float[np.ndarray, "p 3"], radius: float, closed: bool = False, around: int = 12):
    """A tube around a line; an open one has pointed ends."""
    step = np.roll(line, -1, 0) - np.roll(line, 1, 0) if closed else np.gradient(line, axis=0)
    axis = step / np.linalg.norm(step, axis=1, keepdims=True)
    side = np.cross(axis, (0.0, 0.3, 1.0))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(axis, side)
    size = np.full(len(line), radius)
    if not closed:
        line = np.concatenate([line[:1], line, line[-1:]])
        side, other, size = (np.concatenate([x[:1], x, x[-1:]]) for x in (side, other, size))
        size[[0, -1]] = 0
    angle = np.arange(around) * 2 * np.pi / around
    circle = np.cos(angle)[None, :, None] * side[:, None] + np.sin(angle)[None, :, None] * other[:, None]
    vertices = line[:, None] + size[:, None, None] * circle
    return vertices.reshape(-1, 3), _grid_faces(len(line), around, closed)


def _grid_faces(rows: int, around: int, closed: bool) -> Int[np.ndarray, "f 3"]:
    """Triangles between consecutive rings of vertices; ``closed``: the last ring connects to the first."""
    i, j = np.meshgrid(np.arange(rows if closed else rows - 1), np.arange(around), indexing="ij")
    a, b = i * around + j, i * around + (j + 1) % around
    c, d = (i + 1) % rows * around + j, (i + 1) % rows * around + (j + 1) % around
    return np.stack([np.stack([a, b, c], -1), np.stack([b, d, c], -1)], 2).reshape(-1, 3)

"""Geometry of a synthetic face: skin, eyeballs, mouth and teeth, with hair, a hat or glasses that are made once and put on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float, Int

from deep3dmap.datasets.faces.ict_maps import ICTMaps
from deep3dmap.datasets.faces.synthetic.people import draw_identity
from deep3dmap.datasets.heads.ict_face.surface import HeadSurface, head_surface
from deep3dmap.datasets.synthetic import head_appearance as look
from deep3dmap.datasets.synthetic.head_accessories import ACCESSORIES, Piece
from deep3dmap.datasets.synthetic.head_lights import open_directions
from deep3dmap.geometry.mesh_operators import vertex_normals
from deep3dmap.geometry.visible_surface import sphere_points
from deep3dmap.structures.face_model import EYEBALLS, ICTFaceModel

MOUTH, TEETH = 10, 11
"""Materials besides those of :mod:`deep3dmap.datasets.synthetic.head_appearance`."""

DIRECTIONS = 160  # of light
VARIANTS = 10  # of each accessory
SEED = 20180908  # of the variants


@dataclass(frozen=True, eq=False)
class Wardrobe:
    """What all synthetic faces share: the model's surface, and accessories made on the mean head.

    Attributes:
        model: the face model.
        surface: skin, with mouth and eyeballs.
        canonical: the surface's vertices on the mean head.
        material: of the surface's vertices.
        opened: which of the directions of light are unoccluded at the vertices of the mean head.
        accessories: variants of each kind, on the mean head.
        teeth: the upper row, on the mean head; None if the surface has teeth.
        draw_identity: coefficients of a random person.
    """

    model: ICTFaceModel
    surface: HeadSurface
    canonical: Float[np.ndarray, "n 3"]
    material: Float[np.ndarray, " n"]
    opened: Bool[np.ndarray, "n d"]
    accessories: dict[str, list[Piece]]
    teeth: Piece | None
    draw_identity: Callable[[np.random.Generator], Float[np.ndarray, " i"]]


@dataclass(frozen=True, eq=False)
class Head:
    """A head's surface, in the model's axes and centimetres.

    Attributes:
        vertices, faces: of all pieces.
        canonical: the vertices on the mean head.
        material: of the vertices.
        normals: outward unit normals.
        opened: which directions of light reach the vertices, 0 to 1.
        model_vertices: all of the model's vertices in this shape.
    """

    vertices: Float[np.ndarray, "n 3"]
    faces: Int[np.ndarray, "f 3"]
    canonical: Float[np.ndarray, "n 3"]
    material: Float[np.ndarray, " n"]
    normals: Float[np.ndarray, "n 3"]
    opened: Float[np.ndarray, "n d"]
    model_vertices: Float[np.ndarray, "v 3"]


@cache
def wardrobe(path: str = "ict_face") -> Wardrobe:
    """Read the model, with the UV layout's landmarks, and make what all faces share; kept for the process."""
    model = replace(ICTFaceModel.load(path), landmarks68=ICTMaps.load().landmarks)
    surface = head_surface(model, mouth=True, eyeballs=True)
    canonical = surface.vertices(model.mean)
    balls = np.isin(surface.used, model.faces(*EYEBALLS))
    inside = ~np.isin(surface.used, model.faces("face", "head_neck")) & np.isin(surface.used, model.faces("mouth_socket"))
    material = np.full(len(canonical), float(look.SKIN))
    material[:len(surface.used)][balls] = look.EYE
    material[:len(surface.used)][inside] = MOUTH
    return outfitted(model, surface, canonical, material, _teeth(), partial(draw_identity, model))


def outfitted(model: ICTFaceModel, surface: HeadSurface, canonical: Float[np.ndarray, "n 3"],
              material: Float[np.ndarray, " n"], teeth: Piece | None, drawn: Callable) -> Wardrobe:
    """What all faces of a model share; arguments as the attributes of :class:`Wardrobe`."""
    opened = open_directions(trimesh.Trimesh(canonical, surface.faces, process=False), sphere_points(DIRECTIONS))
    inside = (material == MOUTH) | (material == TEETH)
    head = Piece(canonical, surface.faces, canonical, np.where(inside, look.SKIN, material))
    random = np.random.default_rng(SEED)
    accessories = {kind: [make(head, random) for _ in range(VARIANTS)] for kind, make in ACCESSORIES.items()}
    return Wardrobe(model, surface, canonical, material, opened, accessories, teeth, drawn)


def dressed(shared: Wardrobe, identity: Float[np.ndarray, " i"], expression: Float[np.ndarray, " e"],
            worn: list[Piece]) -> Head:
    """A head with teeth and what it wears.

    Args:
        shared: of all faces.
        identity, expression: coefficients of the face model.
        worn: accessories of the wardrobe.
    """
    model_vertices = shared.model.vertices(identity, expression)
    skin, neutral = (shared.surface.vertices(v) for v in (model_vertices, shared.model.vertices(identity)))
    fit = _affine(shared.canonical, skin, (shared.canonical[:, 1] > -2) & (shared.material == look.SKIN))
    mouth = (np.abs(shared.canonical - (0, -3.4, 10)) < (3, 2, 3)).all(1) & (shared.material == look.SKIN)
    added = [(piece, fit) for piece in worn]
    if shared.teeth is not None:
        added.insert(0, (shared.teeth, _affine(shared.canonical, neutral, mouth)))
    pieces = [(skin, shared.surface.faces, shared.canonical, shared.material)]
    pieces += [(_moved(piece, by), piece.faces, piece.canonical, piece.material) for piece, by in added]
    starts = np.cumsum([0, *(len(points) for points, *_ in pieces)])
    vertices, canonical, material = (np.concatenate([piece[k] for piece in pieces]) for k in (0, 2, 3))
    faces = np.concatenate([piece[1] + start for piece, start in zip(pieces, starts)])
    opened = np.concatenate([shared.opened, np.ones((len(vertices) - len(skin), DIRECTIONS))])
    opened[material == TEETH], opened[material == MOUTH] = 0.45, 0.25  # the model's mouth is closed
    normals = vertex_normals(*map(torch.from_numpy, (vertices, faces))).numpy()
    return Head(vertices, faces, canonical, material, normals, opened, model_vertices)


def _affine(source, target, part) -> Float[np.ndarray, "4 3"]:
    """The affine map of a part of the vertices, least squares."""
    return np.linalg.lstsq(np.column_stack([source[part], np.ones(int(part.sum()))]), target[part], rcond=None)[0]


def _moved(piece: Piece, by: Float[np.ndarray, "4 3"]) -> Float[np.ndarray, "n 3"]:
    return piece.vertices @ by[:3] + by[3]


def _teeth() -> Piece:
    """The upper row of teeth, a bent band behind the lips."""
    x = np.linspace(-2.4, 2.4, 23)
    rows = [
        np.stack([x, np.full_like(x, y), 10.25 - 0.17 * x**2 + z], -1) for y, z in ((-2.6, 0.0), (-3.0, 0.15), (-3.55, 0.1))
    ]
    vertices = np.concatenate(rows)
    i, j = np.meshgrid(np.arange(len(rows) - 1), np.arange(len(x) - 1), indexing="ij")
    a = (i * len(x) + j).ravel()
    b, c, d = a + 1, a + len(x), a + len(x) + 1
    faces = np.concatenate([np.stack([a, c, b], -1), np.stack([b, c, d], -1)])
    return Piece(vertices, faces, vertices, np.full(len(vertices), float(TEETH)))

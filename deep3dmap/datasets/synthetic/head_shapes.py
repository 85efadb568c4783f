"""Head geometry: heads of the ICT model, with or without accessories, or from a file; their pose in the
world, and vertex attributes for shading."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn.functional import normalize

from deep3dmap.datasets.heads.ict_face.heads import HeadMaker
from deep3dmap.datasets.heads.landmark_checks import check_head_landmarks
from deep3dmap.datasets.synthetic import head_appearance as look
from deep3dmap.datasets.synthetic.capture import loaded
from deep3dmap.datasets.synthetic.head_accessories import ACCESSORIES, Piece, joined
from deep3dmap.datasets.synthetic.head_lights import DIRECTIONS, irradiance, main_light, open_directions
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.geometry.alignment import align_points
from deep3dmap.geometry.visible_surface import sphere_points
from deep3dmap.renderers.mesh.drawing import SurfacePoints
from deep3dmap.structures.face_model import EYEBALLS, ICTFaceModel
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS, HEAD_LANDMARKS_OF_68, MEAN_HEAD_LANDMARKS, landmark_rows

TILT, PLACE = 8.0, 400.0
BEYOND = 0.1  # tolerance of a bust's landmarks outside its box, relative to its diagonal
SCANNED = 0.05  # minimum share of unoccluded directions of a scanned vertex; an open plane's is one half
RINGS = 2  # rings of triangles kept around the visible ones


@dataclass(frozen=True, eq=False)
class HeadShape:
    """A head in millimetres, or its surface in the world.

    Attributes:
        piece: the surface.
        landmarks: (6, 3) rows as ``HEAD_LANDMARKS``.
        heading: direction of the face: radians about y, 0 towards z.
    """

    piece: Piece
    landmarks: Float[np.ndarray, "6 3"]
    heading: float = 0.0


def model_head(model: str | Path, seed: int, split: str, number: int, accessory: str | None, eyeballs: bool,
               random: np.random.Generator) -> HeadShape:
    """A head of the ICT model, looking along z.

    Args:
        model: the model's file, folder, or data set.
        seed, split, number: which head.
        accessory: a name of ``ACCESSORIES``, or None.
        eyeballs: without them the sockets are hollow.
        random: of the accessory.

    Raises:
        DataError: if the model can't be read.
    """
    face = ICTFaceModel.load(model)
    maker = HeadMaker.build(face, seed, mouth=False, eyeballs=eyeballs)
    surface = maker.surface
    balls = np.isin(surface.used, face.faces(*EYEBALLS))
    material = np.append(np.where(balls, look.EYE, look.SKIN), np.full(len(surface.loops), look.SKIN)).astype(float)
    head = Piece(surface.vertices(maker.vertices(split, number)), surface.faces, surface.vertices(face.mean), material)
    piece = joined([head, ACCESSORIES[accessory](head, random)]) if accessory else head
    mm = face.unit_millimetres
    landmarks = mm * maker.landmarks(split, number)[list(HEAD_LANDMARKS_OF_68)].astype(np.float64)
    return HeadShape(Piece(mm * piece.vertices, piece.faces, piece.canonical, piece.material), landmarks)


def bust(mesh: str | Path | trimesh.Trimesh, landmarks: Mapping[str, Sequence[float]] | None,
         unit_millimetres: float) -> tuple[HeadShape, str]:
    """A head from a mesh, rotated by its landmarks to look along z, and its name.

    Raises:
        ConfigError: if landmarks are missing or the unit is not positive.
        DataError: if the mesh can't be read, or the landmarks are implausible.
    """
    if missing := [name for name in HEAD_LANDMARKS if name not in (landmarks or {})]:
        raise ConfigError(f"SyntheticHeadCapture: a mesh needs all six landmarks, in its own frame; {missing[0]} is missing")
    if not unit_millimetres > 0:
        raise ConfigError(f"SyntheticHeadCapture: unit_millimetres must be positive, got {unit_millimetres}")
    for name, point in landmarks.items():
        if len(point) != 3:
            raise ConfigError(f"SyntheticHeadCapture: landmark {name} must be three numbers, got {point}")
    shape, source = loaded(mesh)
    rows = {name: torch.tensor([float(x) for x in point], dtype=torch.float64) for name, point in landmarks.items()}
    check_head_landmarks(rows, source)
    _check_on_mesh(rows, shape, source)
    points = unit_millimetres * landmark_rows(rows)
    motion = align_points(points, torch.tensor(MEAN_HEAD_LANDMARKS, dtype=torch.float64) * 10, with_scale=False).numpy()
    vertices = trimesh.transform_points(unit_millimetres * np.asarray(shape.vertices), motion)
    piece = Piece(vertices, np.asarray(shape.faces), vertices / 10, np.full(len(vertices), float(look.STONE)))
    return HeadShape(piece, trimesh.transform_points(points.numpy(), motion)), source


def _check_on_mesh(landmarks: Mapping[str, Float[Tensor, "3"]], shape: trimesh.Trimesh, source: str) -> None:
    """Refuse landmarks of another mesh, frame or unit: well outside the mesh's box."""
    lower, upper = np.round(shape.bounds, 3)
    for name, point in landmarks.items():
        if np.linalg.norm(point.numpy() - point.numpy().clip(lower, upper)) > BEYOND * np.linalg.norm(upper - lower):
            raise DataError(f"{source}: landmark {name} at {point.tolist()} is far outside the mesh, which extends from "
                            f"{lower.tolist()} to {upper.tolist()}: landmarks must be in its own frame and unit")


def posed(shape: HeadShape, random: np.random.Generator) -> HeadShape:
    """A head at a random position, rotated about y by any angle and tilted by a few degrees."""
    heading, lean, tilt = random.uniform(0, 2 * np.pi), random.uniform(0, 2 * np.pi), random.uniform(0, np.radians(TILT))
    rotation = Rotation.from_rotvec(tilt * np.array([np.cos(lean), 0, np.sin(lean)])) * Rotation.from_rotvec([0, heading, 0])
    place, piece = random.uniform(-PLACE, PLACE, 3), shape.piece
    moved = Piece(rotation.apply(piece.vertices) + place, piece.faces, piece.canonical, piece.material)
    forward = rotation.apply([0.0, 0.0, 1.0])
    return HeadShape(moved, rotation.apply(shape.landmarks) + place, float(np.arctan2(forward[0], forward[2])))


@dataclass(frozen=True, eq=False)
class LitHead:
    """The visible part of a head, lit; a shading for ``render_mesh``.

    Attributes:
        mesh: what is visible from outside, with a margin, in the world.
        scan: what is well visible from outside, as for a scanner.
        values: (v, 7) of its vertices: canonical point, material, RGB irradiance.
        person: its appearance.
        towards: unit direction to the main light.
    """

    mesh: trimesh.Trimesh
    scan: trimesh.Trimesh
    values: Float[Tensor, "v 7"]
    person: look.Person
    towards: Float[Tensor, "3"]

    @classmethod
    def build(cls, shape: HeadShape, person: look.Person, lights: str, turn: float) -> "LitHead":
        """Compute visibility and irradiance.

        Args:
            shape: in the world.
            person: its appearance.
            lights: name of the lighting.
            turn: rotation of the lights about y relative to the face, radians.
        """
        piece, directions = shape.piece, sphere_points(DIRECTIONS)
        whole = trimesh.Trimesh(piece.vertices, piece.faces, process=False)
        opened = open_directions(whole, directions)
        seen, faces = opened.any(1), whole.faces
        for _ in range(RINGS):  # triangles near visible ones
            grown = seen.copy()
            grown[faces[seen[faces].any(1)]] = True
            seen = grown
        used, faces = np.unique(faces[seen[faces].any(1)], return_inverse=True)
        mesh = trimesh.Trimesh(piece.vertices[used], faces.reshape(-1, 3), process=False)
        heading = shape.heading + turn
        light = irradiance(mesh, opened[used], directions, lights, heading)
        values = torch.cat([torch.from_numpy(np.column_stack([piece.canonical, piece.material])[used]), light], 1)
        shown, kept = np.unique(whole.faces[(opened.mean(1) > SCANNED)[whole.faces].any(1)], return_inverse=True)
        scan = trimesh.Trimesh(piece.vertices[shown], kept.reshape(-1, 3), process=False)
        return cls(mesh, scan, values, person, torch.from_numpy(main_light(lights, heading)))

    def __call__(self, surface: SurfacePoints) -> Float[Tensor, "p 3"]:
        """Colours: irradiance times albedo, plus a highlight (Blinn and Phong)."""
        canonical, material, light = surface.values.split([3, 1, 3], 1)
        strength, sharpness = look.gloss(material[:, 0])
        halfway = normalize(self.towards - surface.directions, dim=-1)
        highlight = strength * (surface.normals * halfway).sum(-1).clamp(min=0)**sharpness
        return look.color_of(self.person, canonical, material[:, 0]) * light + highlight[:, None] * light.clamp(max=1)**2

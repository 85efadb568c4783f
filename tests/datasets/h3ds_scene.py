"""A made scene in the layout of H3DS: an egg with a nose, a little larger than life is not, photographed from a ring."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import trimesh

from deep3dmap.datasets.readers import h3ds
from deep3dmap.datasets.synthetic import generate_capture
from deep3dmap.structures import Capture
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS, MEAN_HEAD_LANDMARKS

SCENE, VIEWS = "0123456789abcdef", 5
LIST = f"""version = 0.4
file_id = "none"
file_md5 = "none"

[scenes]
    [scenes.{SCENE}]
    tags = ['h3d-net', 'sira++']
    views = {VIEWS}
        [scenes.{SCENE}.default_views_configs]
        1 = [2]
        3 = [0, 2, 4]
    [scenes.fedcba9876543210]
    tags = ['sira++']
    views = {VIEWS}
        [scenes.fedcba9876543210.default_views_configs]
        3 = [0, 1, 2]
"""


def egg_head(subdivisions: int = 4, nose: float = 26.0) -> trimesh.Trimesh:
    """About as large as a head, in millimetres, with a nose: x to its left, y up, z to where it looks."""
    egg = trimesh.creation.icosphere(subdivisions)
    x, y, z = (egg.vertices * [75.0, 105.0, 80.0]).T
    bump = nose * np.exp(-(x / 14)**2 - ((y - 2) / 17)**2) * (z > 0)
    return trimesh.Trimesh(np.round(np.stack([x, y, z + 25 + bump], 1), 4), egg.faces, process=False)


def landmark_vertices(mesh: trimesh.Trimesh) -> dict[str, int]:
    """Vertices next to where a mean head has the six landmarks."""
    targets = 10 * np.array(MEAN_HEAD_LANDMARKS)
    distances = np.linalg.norm(mesh.vertices[None] - targets[:, None], axis=-1)
    return {name: int(vertex) for name, vertex in zip(HEAD_LANDMARKS, distances.argmin(1))}


def regions(mesh: trimesh.Trimesh) -> dict[str, np.ndarray]:
    """The face (all that looks forward) and the sphere of 95 mm around the nose."""
    nose = mesh.vertices[landmark_vertices(mesh)["nose_tip"]]
    return dict(face=np.flatnonzero(mesh.vertices[:, 2] > 20),
                face_sphere=np.flatnonzero(np.linalg.norm(mesh.vertices - nose, axis=1) < 95))


def made_capture() -> Capture:
    """The head, photographed."""
    mesh = egg_head()
    mesh.metadata["regions"] = regions(mesh)
    capture = generate_capture(mesh, views=VIEWS, test_views=0, size=(48, 64), supersample=1)
    landmarks = {name: torch.tensor(mesh.vertices[vertex]) for name, vertex in landmark_vertices(mesh).items()}
    return replace(capture, landmarks=landmarks)


def write_scene(root: Path) -> Path:
    """The scene below a data set's folder, with its list ``views.toml`` and the version; returns the scene's folder."""
    h3ds.write(made_capture(), root / SCENE)
    (root / "views.toml").write_text(LIST, encoding="utf-8")
    (root / "version.txt").write_text("0.4\n", encoding="utf-8")
    return root / SCENE

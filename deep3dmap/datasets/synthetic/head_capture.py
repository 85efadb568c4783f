"""Photographs of a head as in H3DS, with its true surface and landmarks: a head of the ICT model, or a bust from a file.

The world is in millimetres, y roughly up; the head has a random position, heading and slight tilt, like scans. The result is
determined by the arguments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import trimesh

from deep3dmap.datasets.heads.ict_face.heads import SPLITS
from deep3dmap.datasets.synthetic.head_accessories import ACCESSORIES
from deep3dmap.datasets.synthetic.head_appearance import Person
from deep3dmap.datasets.synthetic.head_cameras import azimuths_between, cameras_around, view_azimuths
from deep3dmap.datasets.synthetic.head_lights import LIGHTS
from deep3dmap.datasets.synthetic.head_shapes import LitHead, bust, model_head, posed
from deep3dmap.datasets.synthetic.photographing import Noise, photographed
from deep3dmap.errors import ConfigError
from deep3dmap.registry import DATASETS, nearest
from deep3dmap.renderers.mesh.drawing import render_mesh
from deep3dmap.renderers.mesh.raycast import RayCastRasterizer
from deep3dmap.structures import Capture
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS

NAME = "SyntheticHeadCapture"
PERSON, POSE, LIGHT, CAMERAS, ACCESSORY = range(5)  # independent random streams
BUST = len(SPLITS)  # instead of a split's index
TURN = 15.0  # maximum random rotation of the lights, degrees


def generate_head_capture(head: str = "test_00000",
                          views: int = 3,
                          test_views: int = 2,
                          size: Sequence[int] = (256, 256),
                          model: str | Path = "ict_face",
                          mesh: str | Path | trimesh.Trimesh | None = None,
                          landmarks: Mapping[str, Sequence[float]] | None = None,
                          unit_millimetres: float = 1.0,
                          lights: str | None = None,
                          accessory: str | None = None,
                          eyeballs: bool = True,
                          camera_noise: float | Sequence[float] = 0.0,
                          mask_noise: float = 0.0,
                          image_noise: float = 0.0,
                          supersample: int = 2,
                          seed: int = 0) -> Capture:
    """Photographs of a head from around it, with exact masks, depth, normals, cameras, surface and landmarks.

    Its ``mesh`` is the visible surface of the head, like a scan: no mouth bag, no scalp below a hat.

    Args:
        head: split and index of an identity of the ICT model, as in ``prepare ict-heads``.
        views: 3 from the front and 45 degrees to both sides; 4 from 45 and 100 degrees to both sides; from 5 on over the full
            circle.
        test_views: additional ones in between.
        size: image height and width, pixels.
        model: the face model: a file, its folder, or its data set's name.
        mesh: a bust instead of a head of the model: a file, or a mesh; it is rendered as stone.
        landmarks: the bust's six landmarks by name, in its own frame and units.
        unit_millimetres: length of the bust's unit.
        lights: a name of ``LIGHTS``; random by default.
        accessory: ``'hat'``, ``'hair'`` or ``'glasses'``, on a head of the model.
        eyeballs: add eyeballs to a head of the model; the sockets are hollow otherwise.
        camera_noise, mask_noise, image_noise: on the training views, see :func:`~deep3dmap.datasets.generate_capture`.
        supersample: colours are averaged over ``supersample**2`` rays per pixel.
        seed: of identities, as in ``prepare ict-heads``, and of all random choices here.

    Raises:
        ConfigError: if a value is out of its range, a name is unknown, or a bust lacks landmarks.
        DataError: if the model or the mesh can't be read.
    """
    noise = Noise.checked(NAME, views, test_views, size, supersample, camera_noise, mask_noise, image_noise, seed)
    _check_names(lights, accessory, mesh, landmarks, seed)
    split, number = (BUST, 0) if mesh is not None else _identity(head)

    def random(purpose: int) -> np.random.Generator:
        return np.random.default_rng([seed, split, number, purpose])

    if mesh is None:
        shape, source = model_head(model, seed, SPLITS[split], number, accessory, eyeballs, random(ACCESSORY)), f"head {head}"
    else:
        shape, source = bust(mesh, landmarks, unit_millimetres)
    shape = posed(shape, random(POSE))
    lighting = random(LIGHT)
    drawn, turn = list(LIGHTS)[lighting.integers(len(LIGHTS))], np.radians(lighting.uniform(-TURN, TURN))
    lit = LitHead.build(shape, Person.drawn(random(PERSON)), lights or drawn, float(turn))
    azimuths = view_azimuths(views)
    cameras = cameras_around(lit.mesh, shape.heading, [*azimuths, *azimuths_between(azimuths, test_views)],
                             (int(size[0]), int(size[1])), (seed, split, number, CAMERAS))
    render = render_mesh(lit.mesh, cameras, supersample=supersample, shading=lit, values=lit.values,
                         rasterizer=RayCastRasterizer())  # yapf: disable
    capture = photographed(lit.scan, cameras, render, views, noise, f"generated from {source}")
    return replace(capture, landmarks=dict(zip(HEAD_LANDMARKS, torch.from_numpy(shape.landmarks))))


DATASETS.register_module(name=NAME, module=generate_head_capture)


def _check_names(lights: str | None, accessory: str | None, mesh, landmarks, seed: int) -> None:
    if seed < 0:
        raise ConfigError(f"{NAME}: seed must not be negative, got {seed}")
    if lights is not None and lights not in LIGHTS:
        raise ConfigError(f"{NAME}: unknown lights '{lights}': {nearest(lights, LIGHTS)}")
    if accessory is not None and accessory not in ACCESSORIES:
        raise ConfigError(f"{NAME}: unknown accessory '{accessory}': {nearest(accessory, ACCESSORIES)}")
    if landmarks is not None and mesh is None:
        raise ConfigError(f"{NAME}: landmarks belong to a mesh; pass one, or omit them (heads of the model have their own)")
    if accessory is not None and mesh is not None:
        raise ConfigError(f"{NAME}: accessory='{accessory}' needs a head of the model, not a mesh; omit one of them")


def _identity(head: str) -> tuple[int, int]:
    """Indices of the split and the head."""
    split, _, number = head.rpartition("_")
    if split not in SPLITS or not (number.isascii() and number.isdigit()):
        raise ConfigError(f"{NAME}: head='{head}': expected a split ({', '.join(SPLITS)}) and a number, such as 'test_00000'")
    return SPLITS.index(split), int(number)

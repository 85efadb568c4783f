"""A shape space learnt in seconds: five balls of growing radius, and ellipsoids, from exact distances of theirs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from deep3dmap.datasets.shapes.sdf_samples.layout import (
    Normalization,
    ShapeName,
    normalization_path,
    samples_path,
    write_normalization,
    write_samples,
    write_split,
)
from deep3dmap.engine.config import build_runner
from deep3dmap.engine.config_check import check_config

#: Semi-axes of the shapes, normalised units.
SHAPES = {"ball_30": (0.30, 0.30, 0.30), "ball_40": (0.40, 0.40, 0.40), "ball_50": (0.50, 0.50, 0.50),
          "ball_60": (0.60, 0.60, 0.60), "ball_70": (0.70, 0.70, 0.70),
          "long_x": (0.70, 0.35, 0.35), "long_y": (0.35, 0.70, 0.35), "long_z": (0.35, 0.35, 0.70)}  # yapf: disable

#: Into the normalised frame, of every shape.
NORMALIZATION = Normalization(np.array([1.0, -2.0, 0.5]), 0.25)


def full_name(name: str) -> str:
    """The name that the training data give a shape."""
    return f"made/{name.partition('_')[0]}/{name}"


def ellipsoid_distance(points: np.ndarray, axes) -> np.ndarray:
    """Distances to an ellipsoid: exact for balls, else of first order near the surface."""
    scaled = np.linalg.norm(points / axes, axis=1)
    return (scaled - 1) * scaled / np.linalg.norm(points / np.square(axes), axis=1).clip(1e-9)


def write_shapes(root: Path, count: int = 4000) -> Path:
    """Samples of all shapes in DeepSDF's layout; returns the split's file."""
    names = [ShapeName(*full_name(name).split("/")) for name in SHAPES]
    for seed, (name, axes) in enumerate(zip(names, SHAPES.values())):
        rng = np.random.default_rng(seed)
        directions = rng.normal(size=(count, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        near = directions[::2] * axes + rng.normal(size=(count // 2, 3)) * 0.06
        points = np.concatenate([near, directions[1::2] * np.cbrt(rng.uniform(size=(count // 2, 1)))])
        write_samples(samples_path(root, name), points, ellipsoid_distance(points, np.array(axes)), seed)
        write_normalization(normalization_path(root, name), NORMALIZATION)
    return write_split(root / "split.json", names)


def config(root: Path, steps: int) -> dict:
    """A decoder small enough to learn this in seconds."""
    return dict(model=dict(type="DeepSDF",
                           decoder=dict(type="DeepSDFDecoder", code_length=4, dims=[64] * 4, dropout=None, latent_in=[2],
                                        norm_layers=[]),
                           losses=dict(sdf=dict(type="ClampedSDFLoss", clamp=0.3), code=dict(type="CodeLoss", weight=1e-4)),
                           code_std=0.02, fit=dict(iterations=150, samples=500)),
                train_dataset=dict(type="SDFShapes", root=str(root), split="split.json", shapes=8, samples=256),
                train_cfg=dict(type="StagedTrainLoop", max_steps=steps),
                optim_wrapper=dict(decoder=dict(optimizer=dict(type="Adam", lr=4e-3)),
                                   codes=dict(optimizer=dict(type="Adam", lr=1e-2))),
                param_scheduler=dict(decoder=dict(type="ProgressLR", schedule=dict(start=1.0, factor=0.3, every=steps // 4)),
                                     codes=dict(type="ProgressLR", schedule=dict(start=1.0, factor=0.3, every=steps // 4))),
                default_hooks=dict(log=dict(interval=100), checkpoint=dict(minutes=None)))  # yapf: disable


@pytest.fixture(scope="session")
def shape_root(tmp_path_factory) -> Path:
    """The samples that :func:`shape_checkpoint` is trained on, with ``split.json``."""
    root = tmp_path_factory.mktemp("shapes")
    write_shapes(root)
    return root


@pytest.fixture(scope="session")
def shape_checkpoint(shape_root, tmp_path_factory) -> Path:
    """The work folder of a finished run, whose surfaces lie within about 0.01 of the true ones."""
    threads, settings = torch.get_num_threads(), config(shape_root, 300)
    torch.set_num_threads(1)
    check_config(settings)
    folder = tmp_path_factory.mktemp("shape_run")
    build_runner(Config(settings), work_dir=str(folder), device="cpu", progress=False).train()
    torch.set_num_threads(threads)
    return folder

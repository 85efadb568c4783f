"""Published checkpoints as our own."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch

from deep3dmap.engine.checkpoint import FORMAT, load_weights, read_pickle, save_checkpoint
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.frameworks.deepsdf.published import read_experiment
from deep3dmap.frameworks.idr.published import infer_config, read_published, rename_weights
from deep3dmap.registry import FRAMEWORKS, nearest
from deep3dmap.structures import Capture
from deep3dmap.version import __version__


def convert_checkpoint(source: str | Path, target: str | Path, method: str = "idr", capture: Capture | None = None) -> Path:
    """Convert a published checkpoint.

    Args:
        source: published checkpoint: ``ModelParameters/EPOCH.pth``. IDR: trained poses beside it in ``CamParameters/`` are
            taken along, and the configuration is read off the weights. DeepSDF: the codes beside it in ``LatentCodes/`` are
            needed; ``specs.json`` above it, and a copy of the training split beside that, are used where they are there.
        target: checkpoint to write.
        method: whose format it is: ``idr`` or ``deepsdf``.
        capture: IDR: what it was trained on, with the ``scene_from_world`` of its cameras' file, so that meshes come out in
            the world's units and videos know the cameras; without it, meshes are in the unit sphere.

    Returns:
        The target.

    Raises:
        CheckpointError: if the file is not a published checkpoint of that method.
        ConfigError: for an unknown method.
        DataError: if the capture has another number of views than the checkpoint has poses.
    """
    if method not in METHODS:
        raise ConfigError(f"method '{method}': {nearest(method, METHODS)}")
    model, info, state = METHODS[method](Path(source), capture)
    framework = FRAMEWORKS.build(model)
    framework.setup(info)
    load_weights(framework, state, str(source))
    meta = dict(version=__version__, framework=model["type"], config=json.dumps(dict(model=model)), seed=0,
                converted_from=str(source))  # yapf: disable
    save_checkpoint(dict(format=FORMAT, meta=meta, info=info, state_dict=framework.state_dict()), Path(target))
    return Path(target)


def _idr(source: Path, capture: Capture | None) -> tuple[dict, dict, dict]:
    published, poses = read_published(source, read_pickle)
    info = _info(capture, poses)
    state = dict(rename_weights(published), scene_from_world=info["scene_from_world"])
    if poses is not None:
        state |= {"cameras.poses.weight": poses, "cameras.K": info["K"].float()}
    return idr_model(published, poses), info, state


def _deepsdf(source: Path, capture: Capture | None) -> tuple[dict, dict, dict]:
    model, weights, codes, names = read_experiment(source, read_pickle)
    info = dict(shapes=names, offsets=torch.zeros(len(codes), 3, dtype=torch.float64),
                scales=torch.ones(len(codes), dtype=torch.float64), source=str(source))  # yapf: disable
    return model, info, {f"decoder.{name}": value for name, value in weights.items()} | {"codes.weight": codes}


#: By method: ``model`` config, what the framework is told about its data, and its state, from a published file.
METHODS = {"idr": _idr, "deepsdf": _deepsdf}


def _info(capture: Capture | None, poses: torch.Tensor | None) -> dict:
    """What the framework is told about its data; see :func:`deep3dmap.datasets.captures.ray_batches.scene_info`."""
    if capture is None:
        unknown = {} if poses is None else dict(cam_to_world=torch.eye(3, 4).repeat(len(poses), 1, 1),
                                                K=torch.eye(3).repeat(len(poses), 1, 1))  # yapf: disable
        return dict(scene_from_world=torch.eye(4, dtype=torch.float64), **unknown)
    if poses is not None and len(poses) != len(capture):
        raise DataError(f"{capture.source}: {len(capture)} views, but the checkpoint has {len(poses)} trained cameras")
    cameras = capture.scene_cameras
    return dict(names=list(capture.names), K=cameras.K, cam_to_world=cameras.cam_to_world, size=list(cameras.size),
                scene_from_world=capture.scene_from_world.double(), source=capture.source)  # yapf: disable


def idr_model(weights: Mapping, poses: torch.Tensor | None) -> dict:
    """The ``model`` config of published IDR weights, with the paper's renderer and losses."""
    losses = dict(rgb=dict(type="ColorLoss"), eikonal=dict(type="EikonalLoss"), mask=dict(type="MaskLoss"))
    return dict(type="IDR",
                **infer_config(weights),
                renderer=dict(type="SphereTracer"),
                losses=losses,
                train_cameras=poses is not None)

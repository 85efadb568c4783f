"""Published checkpoints as our own."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch

from deep3dmap.engine.checkpoint import FORMAT, read_pickle, save_checkpoint
from deep3dmap.errors import CheckpointError, ConfigError
from deep3dmap.frameworks.idr.published import infer_config, read_published, rename_weights
from deep3dmap.registry import FRAMEWORKS, nearest
from deep3dmap.version import __version__

METHODS = ("idr", )


def convert_checkpoint(source: str | Path,
                       target: str | Path,
                       method: str = "idr",
                       scene_from_world: torch.Tensor | None = None) -> Path:
    """Convert a published checkpoint; the model's configuration is read off the weights' shapes.

    Args:
        source: IDR: ``ModelParameters/EPOCH.pth``; trained poses beside it in ``CamParameters/`` are taken along.
        target: file to write.
        method: whose format it is.
        scene_from_world: (4, 4) similarity of the scene that it was trained on (``inverse(scale_mat)``), so that meshes come
            out in the world's units; else they are in the unit sphere's.

    Returns:
        The target.

    Raises:
        CheckpointError: if the file is not a published checkpoint of that method.
        ConfigError: for an unknown method.
    """
    if method not in METHODS:
        raise ConfigError(f"method '{method}': {nearest(method, METHODS)}")
    published, poses = read_published(Path(source), read_pickle)
    model, weights = idr_model(published, poses), rename_weights(published)
    info = dict(scene_from_world=torch.eye(4, dtype=torch.float64) if scene_from_world is None else scene_from_world.double())
    state = dict(weights, scene_from_world=info["scene_from_world"])
    if poses is not None:
        info |= dict(cam_to_world=torch.eye(3, 4).repeat(len(poses), 1, 1), K=torch.eye(3).repeat(len(poses), 1, 1))
        state |= {"cameras.poses.weight": poses, "cameras.K": info["K"]}
    framework = FRAMEWORKS.build(model)
    framework.setup(info)
    try:
        framework.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{source}: {error}") from None
    meta = dict(version=__version__, framework="IDR", config=json.dumps(dict(model=model)), seed=0, converted_from=str(source))
    save_checkpoint(dict(format=FORMAT, meta=meta, info=info, state_dict=framework.state_dict()), Path(target))
    return Path(target)


def idr_model(weights: Mapping, poses: torch.Tensor | None) -> dict:
    """The ``model`` config of published IDR weights, with the paper's renderer and losses."""
    losses = dict(rgb=dict(type="ColorLoss"), eikonal=dict(type="EikonalLoss"), mask=dict(type="MaskLoss"))
    return dict(type="IDR",
                **infer_config(weights),
                renderer=dict(type="SphereTracer"),
                losses=losses,
                train_cameras=poses is not None)

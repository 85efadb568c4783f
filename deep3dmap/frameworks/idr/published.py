"""Conversion of IDR's published checkpoints and configurations."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from deep3dmap.errors import CheckpointError, DataError
from deep3dmap.frameworks.published_files import layer_shapes, read_model_parameters
from deep3dmap.structures import Capture

WRONG_SHAPES = "these weights don't have the shapes of an IDR model"
PREFIXES = {"implicit_network.": "geometry.", "rendering_network.": "radiance."}


def geometry_config(published: Mapping) -> dict:
    """Arguments of ``SDFNetwork`` for a published ``model`` configuration."""
    net = published["implicit_network"]
    return dict(width=_width(net["dims"]),
                depth=len(net["dims"]),
                skip=list(net["skip_in"]),
                frequencies=net["multires"],
                features=published["feature_vector_size"],
                bias=net["bias"],
                weight_norm=net["weight_norm"],
                geometric_init=net["geometric_init"])


def radiance_config(published: Mapping) -> dict:
    """Arguments of ``RadianceNetwork`` for a published ``model`` configuration."""
    net = published["rendering_network"]
    return dict(width=_width(net["dims"]),
                depth=len(net["dims"]),
                features=published["feature_vector_size"],
                mode=net["mode"],
                view_frequencies=net["multires_view"],
                weight_norm=net["weight_norm"])


def _width(dims: Sequence[int]) -> int | list[int]:
    """Widths of hidden layers for our networks: one number if all are equal."""
    return dims[0] if len(set(dims)) == 1 else list(dims)


def rename_weights(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A published state dictionary under our names."""
    renamed = {}
    for name, value in state_dict.items():
        prefix = next((p for p in PREFIXES if name.startswith(p)), None)
        if prefix is None:
            raise CheckpointError(f"'{name}' belongs to neither of IDR's networks ({', '.join(PREFIXES)})")
        renamed[PREFIXES[prefix] + name.removeprefix(prefix)] = value
    return renamed


def infer_config(state_dict: Mapping[str, Tensor]) -> dict:
    """The ``geometry`` and ``radiance`` configs that fit published weights, from their shapes alone.

    A rendering network with six inputs besides the features could lack the view direction, or the normal if directions
    were not encoded; only the former was published.
    """
    geometry, radiance = infer_geometry(state_dict), layer_shapes(state_dict, "rendering_network.", WRONG_SHAPES)
    features = geometry["features"]
    fitting = [(mode, k) for k in range(13)
               for mode, size in (("no_view_dir", 6), ("idr", 9 + 6 * k), ("no_normal", 6 + 6 * k))
               if len(radiance) > 1 and size == radiance[0][1] - features]  # yapf: disable
    if not fitting:
        raise CheckpointError(WRONG_SHAPES)
    mode, frequencies = fitting[0]
    return dict(geometry=geometry,
                radiance=dict(width=_width([out for out, _ in radiance[:-1]]), depth=len(radiance) - 1, features=features,
                              mode=mode, view_frequencies=frequencies,
                              weight_norm=geometry["weight_norm"]))  # yapf: disable


def infer_geometry(state_dict: Mapping[str, Tensor]) -> dict:
    """The ``geometry`` config that fits the published weights of an implicit network, from their shapes alone."""
    layers = layer_shapes(state_dict, "implicit_network.", WRONG_SHAPES)
    if len(layers) < 2:
        raise CheckpointError(WRONG_SHAPES)
    encoded, widths = layers[0][1], [seen for _, seen in layers[1:]]
    missing = [width - out for width, (out, _) in zip(widths, layers)]
    if set(missing) - {0, encoded}:
        raise CheckpointError(WRONG_SHAPES)
    return dict(width=_width(widths), depth=len(widths), skip=[i + 1 for i, size in enumerate(missing) if size],
                frequencies=(encoded - 3) // 6, features=layers[-1][0] - 1,
                weight_norm=any(name.endswith("weight_g") for name in state_dict))  # yapf: disable


def _read_poses(path: Path, read) -> Tensor:
    content = read(path)
    vectors = content.get("pose_vecs_state_dict") if isinstance(content, dict) else None
    poses = vectors.get("weight") if isinstance(vectors, dict) else None
    if not isinstance(poses, Tensor) or poses.ndim != 2 or poses.shape[1] != 7 or not torch.isfinite(poses).all():
        raise CheckpointError(f"{path}: expected pose_vecs_state_dict with the finite poses (views, 7) of a published IDR "
                              "checkpoint; remove it to convert the surface only")
    return poses


def convert(source: Path, read: Callable[[Path], object], capture: Capture | None) -> tuple[dict, dict, dict[str, Tensor]]:
    """A published checkpoint in our terms; see :data:`deep3dmap.frameworks.cards.Converter`.

    Raises:
        CheckpointError: if the file is not a published checkpoint.
        DataError: if the capture has another number of views than the checkpoint has poses.
    """
    published = read_model_parameters(source, read, "IDR")
    poses_path = Path(source).absolute().parents[1] / "CamParameters" / Path(source).name
    poses = _read_poses(poses_path, read) if poses_path.is_file() else None
    info = _info(capture, poses)
    state = dict(rename_weights(published), scene_from_world=info["scene_from_world"])
    if poses is not None:
        state |= {"cameras.poses.weight": poses, "cameras.K": info["K"].float()}
    losses = dict(rgb=dict(type="ColorLoss"), eikonal=dict(type="EikonalLoss"), mask=dict(type="MaskLoss"))
    model = dict(type="IDR", **infer_config(published), renderer=dict(type="SphereTracer"), losses=losses,
                 train_cameras=poses is not None)  # yapf: disable
    return model, info, state


def _info(capture: Capture | None, poses: torch.Tensor | None) -> dict:
    """The framework's information about its data; see :func:`deep3dmap.datasets.captures.ray_batches.scene_info`."""
    if capture is None:
        unknown = {} if poses is None else dict(cam_to_world=torch.eye(3, 4).repeat(len(poses), 1, 1),
                                                K=torch.eye(3).repeat(len(poses), 1, 1))  # yapf: disable
        return dict(scene_from_world=torch.eye(4, dtype=torch.float64), **unknown)
    if poses is not None and len(poses) != len(capture):
        raise DataError(f"{capture.source}: {len(capture)} views, but the checkpoint has {len(poses)} trained cameras")
    cameras = capture.scene_cameras
    return dict(names=list(capture.names), K=cameras.K, cam_to_world=cameras.cam_to_world, size=list(cameras.size),
                scene_from_world=capture.scene_from_world.double(), source=capture.source)  # yapf: disable

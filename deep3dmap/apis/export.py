"""Exports of a trained framework: mesh, videos, and the surface with another scene's appearance."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import trimesh

from deep3dmap.apis.inference import load_framework
from deep3dmap.apis.texturing import find_painter
from deep3dmap.engine.checkpoint import find_checkpoint, load_checkpoint
from deep3dmap.errors import CheckpointError, ConfigError
from deep3dmap.frameworks.base import Framework
from deep3dmap.geometry.lookat import camera_path, short_tour
from deep3dmap.geometry.meshing_grids import check_resolution
from deep3dmap.io.mesh_files import check_mesh_name, save_mesh
from deep3dmap.io.textured_files import check_textured_name, save_textured_mesh
from deep3dmap.ranges import Positive
from deep3dmap.registry import UNUSABLE
from deep3dmap.structures import Cameras
from deep3dmap.visualization.pictures import as_uint8
from deep3dmap.visualization.video import write_video


def export_mesh(checkpoint: str | Path,
                target: str | Path,
                *,
                resolution: int = 512,
                texture: bool | Literal["photographs", "network"] = False,
                texture_size: int = 1024,
                capture: str | Path | None = None,
                device: str = "auto",
                log: Callable[[str], object] = print,
                **options) -> trimesh.Trimesh:
    """Write the mesh of a checkpoint, in the data's own frame and units.

    Args:
        checkpoint: checkpoint, or a work folder for its newest.
        target: mesh to write: ``.ply``, ``.obj`` or ``.glb``.
        resolution: grid points along an edge of the scene's cube.
        texture: unwrap the mesh and paint a texture, for ``.obj`` and ``.glb``: from the training photographs, or from the
            radiance network. By default from the photographs, if they are found.
        texture_size: texels along an edge of the texture.
        capture: folder of the photographs to paint from (default: the run's own).
        device: auto, cpu, cuda ...
        log: prints a line about a texture.
        options: further arguments of the framework's ``extract_mesh``.

    Raises:
        ConfigError: for ``capture`` without a texture from photographs.
    """
    if capture is not None and texture in (False, "network"):
        raise ConfigError("capture: the photographs are used only with texture=True or 'photographs' (--texture)")
    (check_textured_name if texture else check_mesh_name)(target)
    check_resolution(resolution)
    framework = load_framework(checkpoint, device)
    painter = find_painter(checkpoint, framework, texture, texture_size, capture) if texture else None
    mesh = framework.extract_mesh(resolution, **options)
    if painter is None:
        save_mesh(mesh, Path(target))
        return mesh
    painted = painter.paint(mesh, log)
    save_textured_mesh(painted, Path(target))
    return painted


def render_video(checkpoint: str | Path,
                 target: str | Path,
                 *,
                 appearance: str | Path | None = None,
                 frames: int = 60,
                 scale: float = 0.5,
                 fps: Positive = 24.0,
                 device: str = "auto") -> Path:
    """Render a video along the training cameras, optionally with another scene's appearance.

    Args:
        checkpoint: checkpoint, or a work folder for its newest.
        target: video to write: ``.mp4``, ``.gif`` or ``.webp``.
        appearance: checkpoint of another scene whose appearance to use. See :func:`swap_appearance`.
        frames: number of frames.
        scale: size of the frames relative to the photographs.
        fps: frames per second.
        device: auto, cpu, cuda ...
    """
    framework = swap_appearance(checkpoint, appearance, device) if appearance else load_framework(checkpoint, device)
    write_video(_flight(framework, _training_cameras(checkpoint), frames, scale), Path(target), fps)
    return Path(target)


def swap_appearance(geometry: str | Path, appearance: str | Path, device: str = "auto") -> Framework:
    """The surface of one checkpoint with the appearance of another (Yariv et al. 2020, section 4.3).

    Raises:
        CheckpointError: if the method has no separate appearance, or the two don't fit.
    """
    shape, paint = (load_framework(c, device) for c in (geometry, appearance))
    try:
        shape.take_appearance(paint)
    except ConfigError as error:
        raise CheckpointError(f"{geometry} with the appearance of {appearance}: {error}") from None
    return shape


def _training_cameras(checkpoint: str | Path) -> Cameras:
    """Cameras of the training views in the scene's frame."""
    path = find_checkpoint(Path(checkpoint))
    info = load_checkpoint(path)["info"]
    if "size" not in info:
        raise CheckpointError(f"{path}: has no training cameras, so there is no camera path")
    try:
        K, cam_to_world, (height, width) = info["K"].double(), info["cam_to_world"].double(), map(int, info["size"])
        rotation, count = cam_to_world[:, :, :3].transpose(1, 2), len(cam_to_world)
        if (K.shape, cam_to_world.shape) != ((count, 3, 3), (count, 3, 4)) or min(height, width) < 1:
            raise ValueError(f"K {tuple(K.shape)}, cam_to_world {tuple(cam_to_world.shape)}, size {height}x{width}")
        if not (torch.linalg.det(K @ rotation).abs() > 0).all():
            raise ValueError("a camera is singular")
        world_to_cam = torch.cat([rotation, -rotation @ cam_to_world[:, :, 3:]], -1)
        return Cameras(K, world_to_cam, (height, width))
    except UNUSABLE as error:
        raise CheckpointError(f"{path}: the cameras in its 'info' are damaged ({type(error).__name__}: {error})") from None


def _flight(framework: Framework, cameras: Cameras, frames: int, scale: float) -> Iterator[np.ndarray]:
    if frames < 1 or not 0 < scale <= 1:
        raise ConfigError(f"a video needs frames={frames} of at least 1 and scale={scale} in (0, 1]")
    size = tuple(max(round(s * scale), 2) for s in cameras.size)
    closed = len(cameras) > 2
    poses = camera_path(cameras.world_to_cam[short_tour(cameras.centers, closed)], frames, closed)
    path = Cameras(cameras.K.mean(0, keepdim=True).expand(frames, 3, 3), poses, cameras.size).resized(size).to(torch.float32)
    path = replace(path, K=path.K.contiguous())
    for k in range(frames):
        rays = path.view_rays(k)
        inputs = dict(origins=rays.origins, directions=rays.directions, camera_rotation=path.rotations[k].T)
        rgb = framework.test_step(inputs)["rgb"].cpu()
        yield as_uint8(rgb.reshape(*size, 3).numpy())

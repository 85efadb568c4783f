"""Textures for the mesh of a run: painted from its training photographs, or else from its radiance network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
import trimesh

from deep3dmap.apis.inference import config_of
from deep3dmap.datasets.captures.scene import Scene, load_scene
from deep3dmap.errors import CheckpointError, ConfigError, DataError
from deep3dmap.evaluation.images import psnr
from deep3dmap.frameworks.base import Framework
from deep3dmap.geometry.unwrap import SMALLEST, load_xatlas, unwrap
from deep3dmap.registry import UNUSABLE
from deep3dmap.renderers.mesh.drawing import render_mesh
from deep3dmap.renderers.mesh.texture_painting import color_texture, paint_texture
from deep3dmap.structures import Capture

LARGEST = 8192  # texels along an edge: most graphics cards take no more
SAMPLES = 2  # points along a pixel's edge, over which renderings are averaged

Source = Literal["photographs", "network"]


@dataclass(frozen=True)
class Painter:
    """What textures are painted from.

    Attributes:
        framework: whose mesh it is.
        scene: the photographs, or None to use the framework's radiance network.
        size: texels along an edge of the texture.
    """

    framework: Framework
    scene: Scene | None
    size: int = 1024

    def paint(self, mesh: trimesh.Trimesh, log: Callable[[str], object]) -> trimesh.Trimesh:
        """The mesh, in the world, unwrapped and with a texture. Logs the source, and the PSNR on held-out views."""
        unwrapped = unwrap(mesh, self.size)
        if self.scene is None:
            painted = color_texture(unwrapped, self.framework.surface_colors, self.size)
            log(f"texture: {self.size} x {self.size}, from the radiance network")
            return painted
        views = training_views(self.framework, self.scene)
        painted, seen = paint_texture(unwrapped, views, self.size)
        log(f"texture: {self.size} x {self.size}, from {len(views)} photographs, which show {seen:.1%} of the surface")
        if self.scene.test_views:
            log(held_out_psnr(painted, mesh, self.scene.test))
        return painted


def find_painter(checkpoint: str | Path, framework: Framework, source: Source | bool, size: int,
                 capture: str | Path | None = None) -> Painter:  # yapf: disable
    """What the mesh of a checkpoint can be painted from.

    Args:
        checkpoint: file or work folder.
        framework: loaded from it.
        source: True for the photographs, or the radiance network where there are none.
        size: texels along an edge of the texture.
        capture: folder of the photographs, by default the run's own.

    Raises:
        ConfigError: for a size out of range, or if ``source`` is ``network`` and the method has none.
        CheckpointError: if the config of the checkpoint names no scene.
        DataError: if there is nothing to paint from; the message names the option.
        MissingDependencyError: without xatlas.
    """
    if not SMALLEST <= size <= LARGEST:
        raise ConfigError(f"texture_size={size}: a texture needs from {SMALLEST} to {LARGEST} texels along an edge")
    load_xatlas()  # before a mesh is extracted, which may take minutes
    if source == "network":
        _check_network(framework)
        return Painter(framework, None, size)
    path, config = config_of(checkpoint)
    if not isinstance(config.get("scene"), Mapping):
        raise CheckpointError(f"{path}: was not trained on the photographs of a scene, so there is nothing to paint a texture "
                              "from")
    try:
        return Painter(framework, _scene(path, config["scene"], capture), size)
    except DataError as error:
        missing = DataError(f"{error}\nA texture is painted from the photographs of the run: give their folder with --capture")
        if capture is not None or source == "photographs":
            raise missing from None
    try:
        _check_network(framework)
    except ConfigError:
        raise missing from None
    return Painter(framework, None, size)


def _check_network(framework: Framework) -> None:
    framework.surface_colors(torch.zeros(1, 3, dtype=torch.float64))


def _scene(path: Path, arguments: Mapping, capture: str | Path | None) -> Scene:
    """The scene of a checkpoint's config, with the photographs in another folder if one is given."""
    if capture is not None:
        arguments = {k: v for k, v in arguments.items() if k != "reader"} | dict(capture=str(capture))
    try:
        return load_scene(**arguments)
    except UNUSABLE as error:
        raise CheckpointError(f"{path}: the scene in its config is damaged ({type(error).__name__}: {error})") from None


def training_views(framework: Framework, scene: Scene) -> Capture:
    """The training photographs, with trained cameras if the framework has any."""
    views, trained = scene.train, getattr(framework, "trained_cameras", lambda: None)()
    if trained is None:
        return views
    if len(trained) != len(views):
        raise DataError(f"{views.source}: has {len(views)} training views, but {len(trained)} cameras were trained")
    return replace(views, cameras=replace(views.cameras, K=trained.K, world_to_cam=trained.world_to_cam))


def held_out_psnr(textured: trimesh.Trimesh, colored: trimesh.Trimesh, views: Capture) -> str:
    """PSNR of renderings of held-out views, inside their masks (or else the mesh's outline), as a line of text.

    Args:
        textured: in the cameras' world.
        colored: the same surface with vertex colours; not compared if it has none.
        views: held out.
    """
    figures = [f"{_mean_psnr(textured, views):.2f} dB with the texture"]
    if colored.visual.kind == "vertex":
        figures.append(f"{_mean_psnr(colored, views):.2f} dB with vertex colours")
    return f"PSNR on {len(views)} held-out views: {', '.join(figures)}"


def _mean_psnr(mesh: trimesh.Trimesh, views: Capture) -> float:
    drawn = render_mesh(mesh, views.cameras, supersample=SAMPLES)
    images = views.images.cpu().float() / (255 if views.images.dtype == torch.uint8 else 1)
    masks = drawn.mask if views.masks is None else views.masks.cpu()
    each = [psnr(*view) for view in zip(drawn.color, images, masks) if view[2].any()]
    return sum(each) / len(each) if each else float("nan")

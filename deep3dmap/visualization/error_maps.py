"""Error maps: a surface coloured by its distance from another one, from the front and from the side, above
a colour bar. H3D-Net's figures clamp such maps at 5 mm, which is the default here."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import trimesh
from jaxtyping import Float, UInt8
from torch import Tensor

from deep3dmap.errors import DataError
from deep3dmap.renderers.mesh.drawing import SurfacePoints, render_mesh
from deep3dmap.visualization.colormaps import colorize
from deep3dmap.visualization.pictures import as_uint8, label_strip
from deep3dmap.visualization.plots import color_bar
from deep3dmap.visualization.shapes import common_camera

MAXIMUM, UNIT = 5.0, "mm"
AXES = np.eye(3)
VIEWS = {"front": 0.0, "3/4": 40.0}  # degrees from the front to the subject's left


def error_mesh(mesh: trimesh.Trimesh, errors: Float[np.ndarray, "v"], maximum: float = MAXIMUM) -> trimesh.Trimesh:
    """The mesh with vertex colours by error, pale for zero and dark red for ``maximum`` and above.

    Raises:
        DataError: if there is not one error for each vertex.
    """
    if len(errors) != len(mesh.vertices):
        raise DataError(f"an error map needs an error for each vertex; got {len(errors)} errors and {len(mesh.vertices)} "
                        "vertices")
    return trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=colorize(errors, maximum), process=False)


def error_map(maps: Mapping[str, tuple[trimesh.Trimesh, Float[np.ndarray, "_"]]],
              *,
              maximum: float = MAXIMUM,
              unit: str = UNIT,
              cell: int = 256,
              axes: Float[np.ndarray, "3 3"] = AXES,
              views: Mapping[str, float] = VIEWS) -> UInt8[np.ndarray, "h w 3"]:
    """Meshes coloured by their errors, each from all views, side by side at one scale, with a colour bar below.

    Args:
        maps: name to a mesh and the errors of its vertices; all in one frame.
        maximum: error of the last colour.
        unit: of the errors.
        cell: edge of an image in pixels.
        axes: unit vectors to the object's left, up and forward, as rows; see
            :func:`deep3dmap.evaluation.heads.head_axes` for heads.
        views: name to degrees from the front to the left.

    Raises:
        DataError: if there is no mesh, one has no faces, or not one error for each vertex.
    """
    for name, (mesh, _) in maps.items():
        if not len(mesh.faces):
            raise DataError(f"the error map of '{name}' needs a mesh with faces; it has none")
    colored = {name: error_mesh(mesh, errors, maximum) for name, (mesh, errors) in maps.items()}
    cameras = {view: common_camera(list(colored.values()), cell, _direction(axes, angle), tuple(axes[1]))
               for view, angle in views.items()}  # yapf: disable
    strip = label_strip({f"{name}, {view}": _picture(mesh, camera) for name, mesh in colored.items()
                         for view, camera in cameras.items()})  # yapf: disable
    bar = color_bar(maximum, unit, width=strip.shape[1])
    width = max(strip.shape[1], bar.shape[1])
    return np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=255)
                           for part in (strip, bar)])  # yapf: disable


def _direction(axes: Float[np.ndarray, "3 3"], degrees: float) -> Sequence[float]:
    """The direction of a view."""
    angle = math.radians(degrees)
    return tuple(math.sin(angle) * axes[0] + math.cos(angle) * axes[2])


def _picture(mesh: trimesh.Trimesh, camera) -> UInt8[np.ndarray, "h w 3"]:
    return as_uint8(render_mesh(mesh, camera, supersample=2, shading=softly).color[0].numpy())


def softly(surface: SurfacePoints) -> Float[Tensor, "p 3"]:
    """Soft headlight shading that keeps the colours readable."""
    cosine = (surface.normals * surface.directions).sum(-1, keepdim=True).abs()
    return surface.albedo * (0.75 + 0.25 * cosine)

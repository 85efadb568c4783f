"""Images of many shapes: a grid of comparable renderings, and a labelled scatter plot."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import trimesh
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from deep3dmap.errors import DataError
from deep3dmap.geometry.lookat import look_at
from deep3dmap.renderers.mesh.drawing import render_mesh
from deep3dmap.structures.cameras import Cameras
from deep3dmap.visualization.pictures import as_uint8, label_strip
from deep3dmap.visualization.plots import as_pixels, drawing

GAP = 6
LEFT, TOP, BOTTOM = 60, 10, 44
EMPTY = "no surface"
FRONT, Y_UP = (0.5, 0.35, 1.0), (0.0, 1.0, 0.0)
VIEW_ANGLE = math.radians(15)  # half the field of view: long focal length
INKS = ((58, 110, 165), (214, 96, 38), (60, 140, 80), (130, 90, 160))


def shape_grid(meshes: Sequence[trimesh.Trimesh | None],
               names: Sequence[str],
               *,
               columns: int | None = None,
               cell: int = 224) -> UInt8[np.ndarray, "h w 3"]:
    """Shaded renderings of meshes in rows, all by the same camera, so that sizes and positions are comparable.

    Args:
        meshes: in one frame; None, or one without faces, gives an empty, labelled cell.
        names: one above each.
        columns: of the grid; by default chosen for a roughly square grid.
        cell: edge of a rendering in pixels.

    Raises:
        DataError: if there is no mesh, or another number of names.
    """
    if not meshes or len(meshes) != len(names):
        raise DataError(f"a grid needs a name for each of its shapes; got {len(meshes)} shapes and {len(names)} names")
    meshes = [None if mesh is None or not len(mesh.faces) else mesh for mesh in meshes]
    camera = common_camera([mesh for mesh in meshes if mesh is not None], cell)
    cells = [label_strip({name: _render(mesh, camera, cell)}) for mesh, name in zip(meshes, names)]
    columns = min(columns or math.ceil(math.sqrt(len(cells))), len(cells))
    height, width = (n + GAP for n in cells[0].shape[:2])
    grid = np.full((math.ceil(len(cells) / columns) * height - GAP, columns * width - GAP, 3), 255, np.uint8)
    for k, image in enumerate(cells):
        top, left = k // columns * height, k % columns * width
        grid[top:top + image.shape[0], left:left + image.shape[1]] = image
    return grid


def common_camera(meshes: Sequence[trimesh.Trimesh], size: int, front: Sequence[float] = FRONT,
                  up: Sequence[float] = Y_UP) -> Cameras:  # yapf: disable
    """One camera with square images that tightly frames some meshes (or the unit sphere, for none)."""
    bounds = np.array([mesh.bounds for mesh in meshes]) if meshes else np.array([[[-1.0] * 3, [1.0] * 3]])
    centre = (bounds[:, 0].min(0) + bounds[:, 1].max(0)) / 2
    radius = max((np.linalg.norm(mesh.vertices - centre, axis=1).max() for mesh in meshes), default=1.0)
    centre, direction = torch.from_numpy(centre), torch.tensor(front, dtype=torch.float64)
    eye = centre + direction / direction.norm() * max(radius, 1e-12) * 1.05 / math.sin(VIEW_ANGLE)
    focal = size / 2 / math.tan(VIEW_ANGLE)
    K = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]], dtype=torch.float64)
    return Cameras(K[None], look_at(eye[None], centre, up), (size, size))


def _render(mesh: trimesh.Trimesh | None, camera: Cameras, size: int) -> UInt8[np.ndarray, "h w 3"]:
    if mesh is not None:
        plain = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)  # the same grey for all
        return as_uint8(render_mesh(plain, camera, supersample=2, shading="headlight").color[0].numpy())
    image = Image.new("RGB", (size, size), (245, 245, 245))
    ImageDraw.Draw(image).text((size / 2, size / 2), EMPTY, (120, 120, 120), ImageFont.load_default(15), anchor="mm")
    return np.array(image)


def point_map(groups: Mapping[str, Float[np.ndarray, "n 2"]],
              labels: Sequence[tuple[str, float, float]] = (),
              axes: tuple[str, str] = ("", ""),
              *,
              size: int = 640) -> UInt8[np.ndarray, "h w 3"]:
    """A scatter plot of 2D points in coloured groups, with axis ticks and labels at some of them.

    Args:
        groups: name to points; both axes have the same scale, centred at the origin.
        labels: text and its position.
        axes: axis labels.
        size: edge of the square plot area, in pixels.

    Raises:
        DataError: if there are no points.
    """
    points = np.concatenate(list(groups.values())) if groups else np.empty((0, 2))
    if not len(points):
        raise DataError("a map needs at least one point")
    half, inks = max(float(np.abs(points).max()) * 1.1, 1e-9), itertools.cycle(INKS)
    width, height = size + LEFT + GAP, size + TOP + BOTTOM
    with drawing(width, height, layout="none") as figure:
        plot = figure.add_axes((LEFT / width, BOTTOM / height, size / width, size / height),
                               xlim=(-half, half),
                               ylim=(-half, half))
        for (name, some), ink in zip(groups.items(), inks):
            plot.scatter(*some.T, s=36, linewidth=0, color=np.array(ink) / 255, label=f"{name} ({len(some)})")
        for text, x, y in labels:
            side, align = (-6, "right") if x > half / 2 else (6, "left")
            plot.annotate(text, (x, y), (side, 0), textcoords="offset points", ha=align, va="center", parse_math=False)
        plot.set_xlabel(axes[0], loc="right", parse_math=False)
        plot.set_ylabel(axes[1], loc="top", parse_math=False)
        figure.legend(loc="lower left", ncols=len(groups), frameon=False)
        return as_pixels(figure)

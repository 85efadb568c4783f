"""A room's surface that appears as the recording's camera sees it: a video from above, beside the pictures."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float, Float32, UInt8
from PIL import Image, ImageDraw

from deep3dmap.errors import DataError
from deep3dmap.geometry.lookat import look_at
from deep3dmap.io.mesh_files import vertex_colors
from deep3dmap.renderers.mesh.depth import DepthRenderer
from deep3dmap.renderers.mesh.rasterizer import FastRasterizer
from deep3dmap.structures.cameras import Cameras
from deep3dmap.structures.meshes import Meshes
from deep3dmap.structures.recording import Recording
from deep3dmap.visualization.pictures import as_uint8, resize
from deep3dmap.visualization.viewer import GREY, VERTEX_BUDGET, cluster_vertices, means

SIZE = (360, 480)
FIELD_OF_VIEW, ELEVATION = 40.0, 50.0  # degrees
TOLERANCE = 0.05  # metres, and of the depth: how far behind a depth map's surface a vertex still counts as seen
REACH = 0.4  # metres: length of the drawn camera
BACKGROUND = 0.9
PATH_INK, CAMERA_INK = (214, 96, 38), (30, 90, 200)


def growth(mesh: trimesh.Trimesh, recording: Recording, frames: Sequence[int],
           count: int = 40) -> Iterator[UInt8[np.ndarray, "h w 3"]]:  # yapf: disable
    """Pictures of a recording, each beside the part of its surface that was seen until then, with the camera and its way.

    What a frame sees is in front of its depth map, or, if the recording has none, in front of the surface rendered from there.

    Args:
        mesh: the whole surface, in the recording's world.
        recording: posed pictures, with depth maps or without.
        frames: those that the surface was made of; with poses.
        count: of pictures, spread over the frames.

    Raises:
        DataError: if the mesh has no triangle, or none of the frames can be read.
    """
    if not len(mesh.faces):
        raise DataError("a growing surface needs a mesh with triangles; this one has none.")
    chosen = [frames[k] for k in np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))]
    stage = _Stage(mesh, recording.up, recording.poses[frames, :3, 2].mean(0))
    render, seen, way, shown = DepthRenderer(mesh), np.zeros(len(stage.vertices), bool), [], 0
    for frame in chosen:
        way.append(frame)
        try:
            picture = recording.image(frame)
            depth, K = _depth_map(recording, frame, picture.shape[:2], render)
        except DataError:
            continue  # one damaged frame
        seen |= _sees(depth, K, recording.poses[frame], stage.vertices)
        yield np.hstack([_fitted(picture), stage.draw(seen, recording.poses[way])])
        shown += 1
    if not shown:
        raise DataError(f"{recording.name}: no frame could be read for the video of the growing surface.")


def _fitted(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """A picture at the video's height, of even width."""
    height, width = picture.shape[:2]
    return resize(picture, (SIZE[0], 2 * round(width * SIZE[0] / height / 2)))


def _depth_map(recording: Recording, frame: int, size: tuple[int, int],
               render: DepthRenderer) -> tuple[Float32[np.ndarray, "h w"], Float[np.ndarray, "3 3"]]:  # yapf: disable
    """A frame's measured depth map with its ``K``; without any, one rendered for its picture of that size."""
    if recording.depth_intrinsics is not None:
        return recording.depth(frame), recording.depth_intrinsics[frame]
    scale = SIZE[0] / size[0]  # not as large as pictures may be: there are many
    K = recording.intrinsics[frame] * [[scale], [scale], [1]]
    return render(K, recording.poses[frame], (SIZE[0], round(size[1] * scale))), K


def _sees(depth: Float[np.ndarray, "h w"], K: Float[np.ndarray, "3 3"], pose: Float[np.ndarray, "4 4"],
          points: Float[np.ndarray, "v 3"]) -> Bool[np.ndarray, "v"]:  # yapf: disable
    """Which points are not behind a depth map's surface, but in view."""
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    z, (height, width) = local[:, 2], depth.shape
    pixels = (local @ K.T)[:, :2] / np.maximum(z, 1e-6)[:, None]
    inside = (z > 0) & (pixels >= 0).all(1) & (pixels < [width, height]).all(1)
    columns, rows = np.where(inside[:, None], pixels, 0).astype(int).T
    known = depth[rows, columns]
    return inside & (known > 0) & (z < known + TOLERANCE * (1 + known))


def _shaded(mesh: trimesh.Trimesh, up: Float[np.ndarray, "3"]) -> Float[np.ndarray, "v 3"]:
    """Grey that differs by the direction of the surface, for meshes without colours."""
    normals = np.asarray(mesh.vertex_normals, np.float64)
    brightness = 0.8 + 0.15 * normals @ up + 0.15 * normals @ np.cross(up, [0.48, 0.6, 0.64])
    return np.tile(GREY * brightness[:, None], 3)


class _Stage:
    """The mesh, coarse enough to be drawn often, and a camera above it.

    Args:
        mesh: see :func:`growth`.
        up: in its world.
        heading: the camera's direction, made horizontal: that of the recording's, to which the surfaces that it saw turn their
            fronts.
    """

    def __init__(self, mesh: trimesh.Trimesh, up: Float[np.ndarray, "3"], heading: Float[np.ndarray, "3"]):
        cluster, faces = cluster_vertices(np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64),
                                          VERTEX_BUDGET)
        colors = vertex_colors(mesh)
        colors = _shaded(mesh, up) if colors is None else colors[:, :3]
        self.vertices = means(np.asarray(mesh.vertices, np.float64), cluster)
        self.colors = torch.from_numpy(means(colors.astype(np.float64), cluster) / 255)
        self.faces, self.rasterizer = torch.from_numpy(faces), FastRasterizer(cull_backfaces=True)
        center = self.vertices.mean(0)
        radius = float(np.quantile(np.linalg.norm(self.vertices - center, axis=1), 0.95))
        half, slope = np.radians(FIELD_OF_VIEW) / 2, np.radians(ELEVATION)
        level = heading - (heading @ up) * up + 1e-6 * np.roll(up, 1)
        behind = np.sin(slope) * up - np.cos(slope) * level / np.linalg.norm(level)
        eye, target = torch.from_numpy(center + radius / np.sin(half) * behind), torch.from_numpy(center)
        focal, (height, width) = min(SIZE) / 2 / np.tan(half), SIZE
        K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=torch.float64)
        self.camera = Cameras(K[None], look_at(eye[None], target, tuple(up.tolist())), SIZE)

    def draw(self, seen: Bool[np.ndarray, "v"], way: Float[np.ndarray, "n 4 4"]) -> UInt8[np.ndarray, "h w 3"]:
        """The faces seen so far; ``way`` are the recording's poses up to now."""
        faces = self.faces[torch.from_numpy(seen)[self.faces].all(1)]
        fragments = self.rasterizer(Meshes.pack([torch.from_numpy(self.vertices)], [faces]), self.camera)
        color = fragments.to_images(fragments.interpolate(self.colors[faces])[:, 0], BACKGROUND)[0]
        image = Image.fromarray(as_uint8(color.numpy()))
        self._draw_camera(ImageDraw.Draw(image), way)
        return np.array(image)

    def _draw_camera(self, draw: ImageDraw.ImageDraw, way: Float[np.ndarray, "n 4 4"]) -> None:
        """The way of the recording's camera as a line, and its pyramid of view."""
        if len(way) > 1:
            draw.line(self._pixels(way[:, :3, 3]), PATH_INK, 2)
        corners = REACH * np.array([[0, 0, 0], [-0.5, -0.4, 1], [0.5, -0.4, 1], [0.5, 0.4, 1], [-0.5, 0.4, 1]])
        eye, *rim = self._pixels(corners @ way[-1][:3, :3].T + way[-1][:3, 3])
        draw.line([*rim, rim[0]], CAMERA_INK, 2)
        for corner in rim:
            draw.line([eye, corner], CAMERA_INK, 2)

    def _pixels(self, points: Float[np.ndarray, "p 3"]) -> list[tuple[float, float]]:
        """Where points appear."""
        pose = self.camera.world_to_cam[0].numpy()
        local = (points @ pose[:, :3].T + pose[:, 3]) @ self.camera.K[0].numpy().T
        return [tuple(pixel) for pixel in (local[:, :2] / np.maximum(local[:, 2:], 1e-6)).tolist()]

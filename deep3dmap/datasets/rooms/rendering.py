"""Pictures and depth maps of a room, by the toolbox's rasteriser."""

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8

from deep3dmap.datasets.rooms.lamps import irradiance
from deep3dmap.datasets.rooms.room import Room
from deep3dmap.datasets.rooms.textures import SIZE
from deep3dmap.renderers.mesh.fragments import Fragments
from deep3dmap.renderers.mesh.rasterizer import FastRasterizer
from deep3dmap.structures import Cameras, Meshes

LEVELS = 7  # of the textures' pyramids
EXPOSURE = 0.42  # linear value of a surface of albedo 1 in the room's mean light
LENS_BLUR = 0.45  # standard deviation, pixels
DEPTH_UNIT = 2e-4  # metres, to which depth is rounded, so that a cache of 16 bits holds it


class RoomPictures:
    """What cameras see of a room.

    Args:
        room: to be seen.
        random: of textures, and of points on lamps; they are drawn with the first picture.
    """

    def __init__(self, room: Room, random: np.random.Generator):
        self.room, self.random = room, random
        surface = room.surface
        self.meshes = Meshes.pack([torch.from_numpy(surface.vertices)], [torch.from_numpy(surface.faces)])
        self._lit: tuple[torch.Tensor, torch.Tensor, np.ndarray] | None = None

    def fragments(self, pose: Float[np.ndarray, "4 4"], K: Float[np.ndarray, "3 3"], size: tuple[int, int]) -> Fragments:
        """The visible surface of a camera.

        Args:
            pose: camera to world.
            K: in pixels.
            size: height and width.
        """
        world_to_cam = torch.from_numpy(np.linalg.inv(pose)[None, :3])
        return FastRasterizer()(self.meshes, Cameras(torch.from_numpy(K)[None], world_to_cam, size))

    def depth(self, fragments: Fragments) -> Float32[np.ndarray, "h w"]:
        """Depth along the camera's axis, metres, in steps of :data:`DEPTH_UNIT`."""
        depth = fragments.to_images(fragments.depth[:, 0])[0].numpy()
        return (np.round(depth / DEPTH_UNIT) * DEPTH_UNIT).astype(np.float32)

    def image(self, fragments: Fragments, focal: float) -> UInt8[np.ndarray, "h w 3"]:
        """The picture of a camera with a focal length in pixels."""
        values, pyramid, extents = self._baked()
        texture = torch.from_numpy(self.room.surface.texture)[fragments.face[:, 0]]
        found = fragments.interpolate_filled(values).float()
        footprint = fragments.depth[:, 0].float() / focal * SIZE / extents[texture]  # of a pixel, in texels
        albedo = sample(pyramid, texture, found[:, :2] / extents[texture, None], footprint)
        linear = fragments.to_images(fragments.scatter(albedo * found[:, 2:])[:, 0])[0].numpy()
        picture = (1 - np.exp(-EXPOSURE * 2.2 * linear))**np.float32(1 / 2.2)  # highlights saturate softly
        return cv2.GaussianBlur((picture * 255).round().astype(np.uint8), (3, 3), LENS_BLUR)

    def _baked(self) -> tuple:
        """Texture coordinates and light at the faces' corners, textures, and their extents; made once."""
        if self._lit is None:
            surface, looks = self.room.surface, self.room.looks
            painted = looks.painted(self.random)
            light = irradiance(surface, self.room.lamps, looks.average(painted, surface.texture), self.random)
            values = np.column_stack([surface.uv, surface.tint * (light + surface.glow[:, None])]).astype(np.float32)
            corners = torch.from_numpy(values)[self.meshes.faces]
            self._lit = corners, pyramids(painted), torch.from_numpy(looks.extents).float()
        return self._lit


def pyramids(textures: list[Float[np.ndarray, "s s 3"]]) -> Float32[torch.Tensor, "t 3"]:
    """The texels of all levels of all textures, level by level, each half as wide as the one before."""
    levels = [np.stack(textures)]
    while len(levels) < LEVELS:
        last = levels[-1]
        levels.append((last[:, ::2, ::2] + last[:, 1::2, ::2] + last[:, ::2, 1::2] + last[:, 1::2, 1::2]) / 4)
    return torch.from_numpy(np.concatenate([level.reshape(-1, 3) for level in levels]).astype(np.float32))


def sample(pyramid: Float32[torch.Tensor, "t 3"], texture: torch.Tensor, uv: Float32[torch.Tensor, "p 2"],
           footprint: Float32[torch.Tensor, "p"]) -> Float32[torch.Tensor, "p 3"]:
    """Bilinear samples of repeating textures, at the level whose texels are as large as the pixel.

    Args:
        pyramid: of all textures.
        texture: index of each pixel's (p,).
        uv: coordinates, 1 for a whole texture.
        footprint: side of each pixel, in texels of the first level.
    """
    count = len(pyramid) // sum((SIZE >> k)**2 for k in range(LEVELS))
    starts = torch.tensor([0] + [count * (SIZE >> k)**2 for k in range(LEVELS)]).cumsum(0)
    level = footprint.clamp(min=1).log2().round().long().clamp(max=LEVELS - 1)
    side = SIZE >> level
    place = uv * side[:, None] - 0.5
    low = place.floor()
    share, low = place - low, low.long()
    base, out = starts[level] + texture * side**2, torch.zeros(len(uv), 3)
    for down in (0, 1):
        for right in (0, 1):
            texel = base + (low[:, 1] + down) % side * side + (low[:, 0] + right) % side
            weight = (share[:, 0] if right else 1 - share[:, 0]) * (share[:, 1] if down else 1 - share[:, 1])
            out += weight[:, None] * pyramid.index_select(0, texel)
    return out


def measured(depth: Float32[np.ndarray, "h w"], random: np.random.Generator) -> Float32[np.ndarray, "h w"]:
    """Depth as a structured-light sensor measures it: noise, lost edges, none beyond 5 m.

    The standard deviation of the noise is Nguyen, Izadi and Lovell's ("Modeling Kinect sensor noise for improved 3D
    reconstruction and tracking", 2012): 1.2 mm + 1.9 mm (z - 0.4)^2 with z in metres.
    """
    spread = cv2.dilate(depth, np.ones((3, 3), np.uint8)) - cv2.erode(depth, np.ones((3, 3), np.uint8))
    noise = cv2.GaussianBlur(random.normal(size=depth.shape).astype(np.float32), (0, 0), 0.7)
    noisy = depth + noise / noise.std() * (0.0012 + 0.0019 * (depth - 0.4)**2)
    lost = (spread > 0.1 * depth) | (depth > 5.0) | (depth < 0.3)
    return np.where(lost, 0, np.round(noisy / 1e-3) * 1e-3).astype(np.float32)

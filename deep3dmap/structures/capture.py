"""The posed photographs of one scene: the output of every reader and the input of every multi-view method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import trimesh
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from deep3dmap.structures.cameras import Cameras


@dataclass(frozen=True)
class Capture:
    """``n`` photographs of one scene with their cameras.

    ``cameras``, ``mesh`` and ``depth`` are in the *world*: the data's own frame and units. Methods work in the *scene*: the
    world mapped into the unit sphere by the similarity ``scene_from_world``. ``scene_cameras`` are the cameras there.

    Attributes:
        images: (n, h, w, 3) RGB, uint8, or float32 in [0, 1]; uint8 keeps large captures small.
        cameras: in the world.
        names: of the views, unique (usually the images' file names).
        masks: (n, h, w) True on the object, or None.
        scene_from_world: (4, 4) float64 similarity; the identity until the capture is normalised.
        mesh: true surface in the world, if known.
        depth: (n, h, w) true depth (z in the camera's frame, world units; 0 for the background), or None.
        normals: (n, h, w, 3) true outward unit normals in the world (0 for the background), or None.
        source: its origin, for messages: format and folder.
        true_cameras: the exact cameras in the world, if ``cameras`` are only approximate, or None.
        landmarks: of a head, in the world, float64, by name (``HEAD_LANDMARKS``; some may be missing), or None.
        checksums: of the files of each view (photograph, mask, cameras), or None if the capture was not read from files.
    """

    images: UInt8[Tensor, "n h w 3"] | Float[Tensor, "n h w 3"]
    cameras: Cameras
    names: tuple[str, ...]
    masks: Bool[Tensor, "n h w"] | None = None
    scene_from_world: Float[Tensor, "4 4"] | None = None
    mesh: trimesh.Trimesh | None = None
    depth: Float[Tensor, "n h w"] | None = None
    normals: Float[Tensor, "n h w 3"] | None = None
    source: str = ""
    true_cameras: Cameras | None = None
    landmarks: Mapping[str, Float[Tensor, "3"]] | None = None
    checksums: tuple[str, ...] | None = None

    def __post_init__(self):
        if self.scene_from_world is None:
            object.__setattr__(self, "scene_from_world", torch.eye(4, dtype=torch.float64))
        if not len(self.images) == len(self.cameras) == len(self.names):
            raise ValueError(
                f"{len(self.images)} images, {len(self.cameras)} cameras and {len(self.names)} names don't match in number")
        if tuple(self.images.shape[1:3]) != tuple(self.cameras.size):
            raise ValueError(f"images are {tuple(self.images.shape[1:3])} but the cameras' size is {self.cameras.size}")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def scene_cameras(self) -> Cameras:
        """The cameras in the scene's frame (unit sphere)."""
        return self.cameras.transformed(self.scene_from_world)

    def subset(self, views: Sequence[int]) -> "Capture":
        """The capture with only the given views, in that order."""
        views = list(views)

        def pick(values):
            return None if values is None else values[views]

        return replace(self,
                       images=self.images[views],
                       cameras=self.cameras[views],
                       names=tuple(self.names[v] for v in views),
                       masks=pick(self.masks),
                       depth=pick(self.depth),
                       normals=pick(self.normals),
                       true_cameras=pick(self.true_cameras),
                       checksums=self.checksums and tuple(self.checksums[v] for v in views))

    def colors(self, view: Tensor, row: Tensor, column: Tensor) -> Float[Tensor, "... 3"]:
        """Colours in [0, 1] of single pixels, as float32, without converting whole images."""
        color = self.images[view, row, column]
        return color.float() / 255 if color.dtype == torch.uint8 else color

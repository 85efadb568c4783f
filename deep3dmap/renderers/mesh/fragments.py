"""The output of rasterisers and input of shaders: the faces visible in each pixel, and the position in them."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor


@dataclass(frozen=True)
class Fragments:
    """The nearest ``k`` faces of ``p`` pixels of ``n`` images; pixels without a face may be omitted.

    Slots of a pixel are ordered by depth; empty ones come last and hold -1 everywhere.

    Attributes:
        pixel: index into the flattened images, row by row; each pixel at most once, in ascending order.
        face: index into the faces of the rasterised meshes.
        barycentric: weights of the face's corners, in scene space (or in the image, without perspective correction).
        depth: z in the camera's frame, world units.
        distance: squared distance to the face's nearest edge, negative inside the face, in units of half the image's shorter
            side.
        size: number of images, height, width.
    """

    pixel: Int[Tensor, "p"]
    face: Int[Tensor, "p k"]
    barycentric: Float[Tensor, "p k 3"]
    depth: Float[Tensor, "p k"]
    distance: Float[Tensor, "p k"]
    size: tuple[int, int, int]

    @property
    def hit(self) -> Bool[Tensor, "p k"]:
        """Which slots hold a face."""
        return self.face >= 0

    @cached_property
    def filled(self) -> Int[Tensor, "hits"]:
        """Indices of the slots that hold a face, among the slots of all pixels."""
        return torch.nonzero(self.hit.flatten())[:, 0]

    @property
    def nearest(self) -> "Fragments":
        """The same pixels with their nearest face only."""
        if self.face.shape[1] == 1:
            return self
        parts = (self.face, self.barycentric, self.depth, self.distance)
        return Fragments(self.pixel, *(part[:, :1] for part in parts), self.size)

    @property
    def image(self) -> Int[Tensor, "p"]:
        """Which image each pixel belongs to."""
        return self.pixel // (self.size[1] * self.size[2])

    def to_images(self, values: Shaped[Tensor, "p *c"], background=0.0) -> Shaped[Tensor, "n h w *c"]:
        """Values of the listed pixels as images; ``background``, a number or a tensor (*c), elsewhere."""
        shape = (self.size[0] * self.size[1] * self.size[2], *values.shape[1:])
        images = torch.as_tensor(background).to(values).expand(shape)
        return images.index_put((self.pixel, ), values).view(*self.size, *values.shape[1:])

    def dense(self) -> "Fragments":
        """The same fragments with every pixel listed."""
        pixel = torch.arange(self.size[0] * self.size[1] * self.size[2], device=self.pixel.device)
        parts = (self.face, self.barycentric, self.depth, self.distance)
        return Fragments(pixel, *(self.to_images(part, -1).flatten(0, 2) for part in parts), self.size)

    def interpolate(self, corners: Float[Tensor, "f 3 c"]) -> Float[Tensor, "p k c"]:
        """Attributes given at each face's corners, at the fragments; 0 in empty slots."""
        return self.scatter(self.interpolate_filled(corners))

    def interpolate_filled(self, corners: Float[Tensor, "f 3 c"]) -> Float[Tensor, "hits c"]:
        """Attributes given at each face's corners, at the filled slots, in order."""
        weights, faces = self.gather(self.barycentric), self.gather(self.face)
        return (weights[..., None] * corners.index_select(0, faces)).sum(1)

    def gather(self, values: Shaped[Tensor, "p k *c"]) -> Shaped[Tensor, "hits *c"]:
        """Values of the filled slots, in order."""
        return values.flatten(0, 1).index_select(0, self.filled)

    def scatter(self, values: Float[Tensor, "hits *c"]) -> Float[Tensor, "p k *c"]:
        """Values of the filled slots, in order, back in their slots; 0 in empty ones."""
        slots = values.new_zeros(self.face.numel(), *values.shape[1:]).index_copy(0, self.filled, values)
        return slots.view(*self.face.shape, *values.shape[1:])

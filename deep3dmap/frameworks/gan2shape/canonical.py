"""What a picture shows, from the front, and as it is seen from other views in other lights (Pan et al., ICLR 2021, section 3;
the image formation is that of Wu et al., CVPR 2020, sections 3.1 and 3.2).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from deep3dmap.renderers import DepthImageRenderer

#: Units of a view: 60 degrees, 0.1 along x and y, and no movement along z.
VIEW_UNITS = (*[math.radians(60)] * 3, 0.1, 0.1, 0.0)
#: Columns at each side that are kept at a fixed depth, and how much of it they take: as published, more than all.
BORDER, BORDER_SHARE = 2, 1.02
#: Place of the border's depth between the smallest and the largest.
BORDER_DEPTH = 0.7


def scaled_views(views: Float[Tensor, "n 6"]) -> Float[Tensor, "n 6"]:
    """Views in radians and units of depth, from those in units of about 1."""
    return views * torch.tensor(VIEW_UNITS).to(views)


def depth_between(raw: Float[Tensor, "n h w"], least: float, most: float) -> Float[Tensor, "n h w"]:
    """A network's output as depth: without its mean, between two limits."""
    relative = (raw - raw.mean((1, 2), keepdim=True)).tanh()
    return (1 + relative) / 2 * most + (1 - relative) / 2 * least


def with_border(depth: Float[Tensor, "n h w"], least: float, most: float) -> Float[Tensor, "n h w"]:
    """Depth whose outer columns are those of the background; the limits as for :func:`depth_between`."""
    share = torch.full(depth.shape[1:], BORDER_SHARE).to(depth)
    share[:, BORDER:-BORDER] = 0
    return depth * (1 - share) + share * (BORDER_DEPTH * most + (1 - BORDER_DEPTH) * least)


@dataclass
class Light:
    """Lights: ambient, and a directed one from the camera's side.

    Attributes:
        ambient, diffuse: brightness.
        direction: unit vectors along which it shines, z away from the camera.
    """

    ambient: Float[Tensor, " n"]
    diffuse: Float[Tensor, " n"]
    direction: Float[Tensor, "n 3"]

    @classmethod
    def of(cls, numbers: Float[Tensor, "n 4"]) -> "Light":
        """Lights from a network's numbers: brightness of both in [-1, 1], x and y of the direction."""
        return cls(numbers[:, 0] / 2 + 0.5, numbers[:, 1] / 2 + 0.5, direction_of(numbers[:, 2:]))

    def diffuse_shading(self, normals: Float[Tensor, "n h w 3"]) -> Float[Tensor, "n 1 h w"]:
        """Cosine of the angle between normals and the directed light; 0 in its shadow."""
        return (normals * self.direction[:, None, None]).sum(-1).clamp(min=0)[:, None]

    def texture(self, albedo: Float[Tensor, "n 3 h w"], shading: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 3 h w"]:
        """Lit colours, from -1 on.

        Args:
            albedo: colours in [-1, 1].
            shading: see :meth:`diffuse_shading`.
        """
        brightness = self.ambient[:, None, None, None] + self.diffuse[:, None, None, None] * shading
        return (albedo / 2 + 0.5) * brightness * 2 - 1


def direction_of(xy: Float[Tensor, "n 2"]) -> Float[Tensor, "n 3"]:
    """Unit vectors with these x and y for a z of 1."""
    return normalize(torch.nn.functional.pad(xy, (0, 1), value=1.0), dim=1)


@dataclass
class Seen:
    """Pictures of a canonical shape.

    Attributes:
        image: colours in [-1, 1].
        depth: seen by each pixel.
        visible: 1 where a pixel shows the shape, 0 elsewhere; without gradients.
        origin: normalised coordinates in the canonical picture of what a pixel shows.
        texture: lit canonical colours.
        shading: canonical, of the directed light.
    """

    image: Float[Tensor, "n 3 h w"]
    depth: Float[Tensor, "n h w"]
    visible: Float[Tensor, "n 1 h w"]
    origin: Float[Tensor, "n h w 2"]
    texture: Float[Tensor, "n 3 h w"]
    shading: Float[Tensor, "n 1 h w"]


@dataclass
class Canonical:
    """What a picture shows, from the front; with its mirror image as a second one, where symmetry is asked for.

    Attributes:
        depth: of one or two shapes.
        albedo: their colours in [-1, 1].
        normals: of the depths.
        view: how the picture sees the shape, radians and units of depth.
        light: numbers of the picture's light.
    """

    depth: Float[Tensor, "m h w"]
    albedo: Float[Tensor, "m 3 h w"]
    normals: Float[Tensor, "m h w 3"]
    view: Float[Tensor, "1 6"]
    light: Float[Tensor, "1 4"]

    def seen(self, renderer: DepthImageRenderer, views: Float[Tensor, "b 6"], lights: Float[Tensor, "b 4"]) -> Seen:
        """Each shape from all views, after one another; a pixel is visible where both mirror images are.

        Args:
            renderer: of depth images.
            views: radians and units of depth.
            lights: numbers of the light of each view.
        """
        count, shapes = len(views), len(self.depth)
        views, light = views.repeat(shapes, 1), Light.of(lights.repeat(shapes, 1))
        depth, albedo, normals = (each.repeat_interleave(count, 0) for each in (self.depth, self.albedo, self.normals))
        shading = light.diffuse_shading(normals)
        texture = light.texture(albedo, shading)
        seen = renderer.warped_depth(depth, views)
        visible = (seen < renderer.background)[:, None].to(seen).view(shapes, count, 1, *seen.shape[1:])
        visible = visible.prod(0, keepdim=True).expand_as(visible).flatten(0, 1)
        origin = renderer.warped(seen, views, inverse=True)[1]
        image = grid_sample(texture, origin, align_corners=renderer.align_corners).clamp(-1, 1)
        return Seen(image, seen, visible, origin, texture, shading)

    def mask(self, renderer: DepthImageRenderer, mask: Float[Tensor, "1 1 h w"]) -> Float[Tensor, "1 1 h w"]:
        """The mask of the picture as the first shape has it."""
        place = renderer.warped(self.depth[:1], self.view)[1]
        return grid_sample(mask, place, align_corners=renderer.align_corners)

    def shown(self, renderer: DepthImageRenderer) -> dict[str, Tensor]:
        """What the picture shows.

        Returns:
            ``depth`` (1, h, w), known where ``visible`` (1, h, w) is 1, ``normals`` (1, h, w, 3) and ``image`` (1, 3, h, w) as
            the picture sees them; ``canonical_depth`` (1, h, w), ``albedo`` and lit ``texture`` (1, 3, h, w) from the front;
            ``view`` (1, 6) and ``light`` (1, 4).
        """
        seen = self.seen(renderer, self.view, self.light)
        return dict(depth=seen.depth, visible=seen.visible[:, 0], normals=renderer.normals(seen.depth), image=seen.image,
                    texture=seen.texture, canonical_depth=self.depth, albedo=self.albedo, view=self.view,
                    light=self.light)  # yapf: disable

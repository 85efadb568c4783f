"""Pseudo samples: the canonical shape in random lights from random views, of which the GAN is to make pictures (Pan et al.,
ICLR 2021, section 3.2, step 2).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample

from deep3dmap.annotations import Positive
from deep3dmap.backbones import LearnedGaussian
from deep3dmap.frameworks.gan2shape.canonical import Canonical, Light, scaled_views
from deep3dmap.renderers import DepthImageRenderer


@dataclass(frozen=True)
class PseudoRanges:
    """What pseudo samples are drawn from; the defaults are the published ones of celeba.

    Attributes:
        light_x, light_y: limits of x and y of the light's direction, for a z of 1.
        gain: limits of what is added to the directed light's brightness.
        ambient: times the gain, is added to the ambient light.
        view_scale: factor of the angle about the vertical axis.
    """

    light_x: Sequence[float] = (-1.0, 1.0)
    light_y: Sequence[float] = (-0.2, 0.8)
    gain: Sequence[float] = (-0.1, 0.6)
    ambient: float = -0.6
    view_scale: Positive = 1.2


@dataclass
class PseudoDraws:
    """Random numbers of pseudo samples.

    Attributes:
        light: x and y of the lights' directions.
        gain: of the directed light.
        views: units of about 1, see :func:`~deep3dmap.frameworks.gan2shape.canonical.scaled_views`.
    """

    light: Float[Tensor, "b 2"]
    gain: Float[Tensor, " b"]
    views: Float[Tensor, "b 6"]


def draw(count: int, views: LearnedGaussian, ranges: PseudoRanges) -> PseudoDraws:
    """Random numbers for pseudo samples."""
    light = torch.stack([torch.empty(count).uniform_(*limits) for limits in (ranges.light_x, ranges.light_y)], 1)
    gain = torch.empty(count).uniform_(*ranges.gain)
    turned = views.sample(count) * torch.tensor([1.0, ranges.view_scale, 1.0, 1.0, 1.0, 1.0]).to(views.mean)
    return PseudoDraws(light.to(views.mean), gain.to(views.mean), turned)


def lights_of(canonical: Canonical, direction: Float[Tensor, "b 2"], gain: Float[Tensor, " b"],
              ambient: float) -> Float[Tensor, "b 4"]:  # yapf: disable
    """Numbers of other lights of a canonical shape, see :meth:`.canonical.Light.of`.

    Args:
        canonical: the shape, and its own light.
        direction: x and y of the lights' directions, for a z of 1.
        gain: added to the brightness of its own directed light.
        ambient: see :class:`PseudoRanges`.
    """
    more = 2 * gain[:, None]
    return torch.cat([canonical.light[:, :1] + ambient * more, canonical.light[:, 1:2] + more, direction], 1)


def views_and_lights(canonical: Canonical, draws: PseudoDraws,
                     ambient: float) -> tuple[Float[Tensor, "n 6"], Float[Tensor, "n 4"]]:  # yapf: disable
    """Views and numbers of the lights of pseudo samples, and last those of the picture itself; see :func:`pseudo_samples`."""
    lights = lights_of(canonical, draws.light, draws.gain, ambient)
    return torch.cat([scaled_views(draws.views), canonical.view]), torch.cat([lights, canonical.light])


def relit(canonical: Canonical, lights: Float[Tensor, "b 4"]) -> Float[Tensor, "b 3 h w"]:
    """Lit colours of the first canonical shape in other lights, given by their numbers."""
    light = Light.of(lights)
    shading = light.diffuse_shading(canonical.normals[:1].expand(len(lights), -1, -1, -1))
    return light.texture(canonical.albedo[:1].expand(len(lights), -1, -1, -1), shading)


def pseudo_samples(canonical: Canonical, mask: Float[Tensor, "1 1 h w"], draws: PseudoDraws, ambient: float,
                   renderer: DepthImageRenderer) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 1 h w"]]:  # yapf: disable
    """Pictures of the first canonical shape, and their masks.

    Args:
        canonical: the shape.
        mask: of the canonical picture.
        draws: random numbers.
        ambient: see :class:`PseudoRanges`.
        renderer: of depth images.
    """
    count, texture = len(draws.gain), relit(canonical, lights_of(canonical, draws.light, draws.gain, ambient))
    views, depth = scaled_views(draws.views), canonical.depth[:1].expand(count, -1, -1)
    origin = renderer.warped(renderer.warped_depth(depth, views), views, inverse=True)[1]
    image = grid_sample(texture, origin, align_corners=renderer.align_corners).clamp(-1, 1)
    masks = mask.expand(count, -1, -1, -1)
    return image, grid_sample(masks, origin, mode="nearest", align_corners=renderer.align_corners)

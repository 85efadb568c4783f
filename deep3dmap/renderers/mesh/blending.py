"""Blending of the faces of a pixel to one colour and one opacity.

Softmax and sigmoid blending: Liu et al., "Soft Rasterizer", ICCV 2019, equations 4 to 6; with PyTorch3D's background weight.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.renderers.mesh.fragments import Fragments

EPSILON = 1e-10  # least weight of the background


def coverage(fragments: Fragments, sigma: float) -> Float[Tensor, "p k"]:
    """Probability that each face covers its pixel: 1/2 on its edge, more inside; 0 in empty slots.

    Args:
        fragments: with distances.
        sigma: squared distance over which the probability falls off, in the units of ``distance``.
    """
    return torch.where(fragments.hit, torch.sigmoid(-fragments.distance / sigma), 0)


def hard_blend(colors: Float[Tensor, "p k c"], fragments: Fragments,
               background: Float[Tensor, "c"]) -> tuple[Float[Tensor, "p c"], Float[Tensor, "p"]]:
    """The nearest face's colour, opaque."""
    hit = fragments.hit[:, 0]
    return torch.where(hit[:, None], colors[:, 0], background), hit.to(colors)


def sigmoid_blend(colors: Float[Tensor, "p k c"], fragments: Fragments, background: Float[Tensor, "c"],
                  sigma: float) -> tuple[Float[Tensor, "p c"], Float[Tensor, "p"]]:
    """The nearest face's colour, and the probability that any face covers the pixel: a soft silhouette."""
    color = torch.where(fragments.hit[:, :1], colors[:, 0], background)
    return color, 1 - torch.prod(1 - coverage(fragments, sigma), -1)


def softmax_blend(colors: Float[Tensor, "p k c"], fragments: Fragments, background: Float[Tensor, "c"], sigma: float,
                  gamma: float, near: float, far: float) -> tuple[Float[Tensor, "p c"], Float[Tensor, "p"]]:
    """Colours weighted by coverage and by nearness, so that colour has gradients to positions and to hidden faces.

    Args:
        colors: of each face in its pixel.
        fragments: with distances and depths.
        background: colour where no face covers the pixel.
        sigma: see :func:`coverage`.
        gamma: softness of the choice of the nearest face; smaller is sharper.
        near: depth mapped to the largest nearness, 1; world units.
        far: depth mapped to nearness 0; world units.
    """
    probability = coverage(fragments, sigma)
    nearness = torch.where(fragments.hit, (far - fragments.depth) / (far - near), 0)
    nearest = nearness.amax(-1, keepdim=True).clamp(min=EPSILON)
    weights = probability * torch.exp((nearness - nearest) / gamma)
    rest = torch.exp((EPSILON - nearest) / gamma).clamp(min=EPSILON)
    color = ((weights[..., None] * colors).sum(1) + rest * background) / (weights.sum(-1, keepdim=True) + rest)
    return color, 1 - torch.prod(1 - probability, -1)


def soft_depth(fragments: Fragments, sigma: float, far: float) -> Float[Tensor, "p"]:
    """Depth of each pixel, composited front to back by coverage, the rest at ``far``, world units."""
    reached = torch.cat([coverage(fragments, sigma), torch.ones_like(fragments.depth[:, :1])], -1).cumsum(-1).clamp(max=1)
    weights = torch.diff(reached, dim=-1, prepend=torch.zeros_like(reached[:, :1]))
    return (weights[:, :-1] * fragments.depth).sum(-1) + weights[:, -1] * far

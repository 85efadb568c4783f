"""The traced surface point as a differentiable function of geometry and camera (IDR, Yariv et al. 2020, eq. 3)."""

import torch
from jaxtyping import Float
from torch import Tensor


def differentiable_intersection(sdf: Float[Tensor, "n"],
                                surface_sdf: Float[Tensor, "n"],
                                surface_gradient: Float[Tensor, "n 3"],
                                distance: Float[Tensor, "n"],
                                origins: Float[Tensor, "n 3"],
                                directions: Float[Tensor, "n 3"],
                                least_slope: float = 0.0) -> Float[Tensor, "n 3"]:
    """Surface points with the values of the trace and the gradients of the implicit surface.

    The distance along the ray moves with the sdf: ``t = distance - (sdf - surface_sdf) / (gradient . direction)``, and the
    point is ``origins + t directions``. The direction in the denominator carries no gradient. In IDR the caller detaches
    ``surface_sdf`` and ``surface_gradient`` too, and lets ``sdf``, ``origins`` and ``directions`` carry theirs.

    Args:
        sdf: at the traced points, as a function of the parameters.
        surface_sdf: its value, a constant.
        surface_gradient: of the sdf at the traced points.
        distance: of the traced points along the rays.
        origins, directions: of the rays.
        least_slope: bound on ``gradient . direction`` from below. For grazing rays the slope is nearly zero
            and a single ray could dominate the batch; with a bound its gradient is smaller than the paper's.
    """
    slope = (surface_gradient * directions.detach()).sum(1)
    if least_slope:
        slope = torch.where(slope > 0, slope.clamp(min=least_slope), slope.clamp(max=-least_slope))
    t = distance - (sdf - surface_sdf) / slope
    return origins + t[:, None] * directions

"""Fused ReLU and dropout, without the scaling, for wide layers trained on a CPU.

Dropout (Srivastava et al. 2014) multiplies the kept entries by ``1 / (1 - p)``. Here the next layer scales its weights
instead, which are far fewer than the activations; and only the output itself is saved for the backward pass: its
zeros are where no gradient passes.
"""

import torch
from jaxtyping import Float
from torch import Tensor

#: Probabilities are rounded to a multiple of its inverse on a CPU: four random numbers are taken from one 64-bit draw.
LEVELS = 2**16


class _ReluDropout(torch.autograd.Function):

    @staticmethod
    def forward(ctx, z, probability):
        out = torch.relu(z)
        if probability > 0 and out.device.type != "cpu":
            out.masked_fill_(torch.rand(out.shape, device=out.device) < probability, 0)
        elif probability > 0:
            count = out.numel()
            bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(-2**63, None).view(torch.int16)[:count]
            out.masked_fill_((bits < round(probability * LEVELS) - LEVELS // 2).view(out.shape), 0)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx, by_out):
        out, = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(by_out, out, 0), None


def relu_dropout(z: Float[Tensor, "*shape"], probability: float = 0.0) -> Float[Tensor, "*shape"]:
    """``relu(z)`` with entries set to zero at random; the others are *not* scaled by :func:`kept_scale`.

    Args:
        z: any shape.
        probability: of an entry to be dropped, in [0, 1).
    """
    return _ReluDropout.apply(z, probability)


def kept_scale(probability: float) -> float:
    """The factor that makes the expectation of :func:`relu_dropout` that of ``relu``."""
    return 1 / (1 - probability)

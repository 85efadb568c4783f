"""Losses of StyleGAN2's training (Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def critic_loss(real: Float[Tensor, "b 1"], fake: Float[Tensor, "b 1"]) -> Float[Tensor, ""]:
    """The discriminator's logistic loss of logits (Goodfellow et al., NeurIPS 2014)."""
    return functional.softplus(fake).mean() + functional.softplus(-real).mean()


def generator_loss(fake: Float[Tensor, "b 1"]) -> Float[Tensor, ""]:
    """The generator's non-saturating loss of logits."""
    return functional.softplus(-fake).mean()


def gradient_penalty(logits: Float[Tensor, "b 1"], images: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """Mean squared norm of the logits' gradients by real pictures: R1 without its factor 1/2 (Mescheder et al., ICML 2018).

    Args:
        logits: of the pictures; with gradients.
        images: the pictures; with gradients.
    """
    gradient, = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def path_lengths(images: Float[Tensor, "b 3 h w"], latents: Float[Tensor, "b l s"],
                 noise: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:  # yapf: disable
    """How far pictures move as their styles do: norms of a random direction's gradient (section 3.2).

    Args:
        images: generated pictures; with gradients.
        latents: the styles they were generated from; with gradients.
        noise: standard normal; its size doesn't depend on the pictures'.
    """
    direction = noise / math.sqrt(images.shape[2] * images.shape[3])
    gradient, = torch.autograd.grad((images * direction).sum(), latents, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()


def path_length_penalty(lengths: Float[Tensor, " b"],
                        mean: Float[Tensor, ""],
                        decay: float,
                        batch_mean: float | None = None) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Mean squared deviation of path lengths from their running mean, and the updated mean.

    Args:
        lengths: of a batch, or of this process's share of it.
        mean: of earlier batches.
        decay: weight of the new batch in the mean.
        batch_mean: mean length of the whole batch, if ``lengths`` are a share of it.
    """
    own = lengths.mean()
    whole = own.detach() if batch_mean is None else own.new_tensor(batch_mean)
    mean = mean + decay * (whole - mean)
    through_mean = -2 * decay * (whole - mean) * (own - own.detach())  # 0: its gradient is that by way of the mean
    return (lengths - mean).square().mean() + through_mean, mean

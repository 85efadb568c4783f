"""Fourier encoding of coordinates (NeRF, Mildenhall et al. 2020, eq. 4, without its factor pi, as IDR uses it)."""

import torch
from jaxtyping import Float
from torch import Tensor


def encoded_size(channels: int, frequencies: int) -> int:
    """Number of output channels of :func:`fourier_encoding` for ``channels``."""
    return channels * (1 + 2 * frequencies)


def fourier_encoding(x: Float[Tensor, "n d"], frequencies: int) -> Float[Tensor, "n e"]:
    """Coordinates, then for each octave ``k < frequencies`` the sines of all ``2^k x``, then their cosines.

    Args:
        x: coordinates.
        frequencies: number of octaves; 0 gives ``x`` itself.

    Returns:
        ``e = d (1 + 2 frequencies)`` channels.
    """
    if frequencies == 0:
        return x
    phase = x[:, None] * octaves(frequencies, x)[:, None]
    waves = torch.stack([phase.sin(), phase.cos()], 2)
    return torch.cat([x, waves.flatten(1)], 1)


def encoding_pullback(encoded: Float[Tensor, "n e"], cotangent: Float[Tensor, "n e"],
                      frequencies: int) -> Float[Tensor, "n d"]:
    """Gradient of a function of ``x``, given its gradient with respect to ``fourier_encoding(x)``.

    Args:
        encoded: ``fourier_encoding(x, frequencies)``; its sines and cosines are reused as each other's derivatives.
        cotangent: gradient with respect to ``encoded``.
        frequencies: number of octaves.
    """
    if frequencies == 0:
        return cotangent
    d = encoded.shape[1] // (1 + 2 * frequencies)
    sin, cos = encoded[:, d:].unflatten(1, (frequencies, 2, d)).unbind(2)
    by_sin, by_cos = cotangent[:, d:].unflatten(1, (frequencies, 2, d)).unbind(2)
    waves = (by_sin * cos - by_cos * sin) * octaves(frequencies, encoded)[:, None]
    return cotangent[:, :d] + waves.sum(1)


def octaves(frequencies: int, like: Tensor) -> Float[Tensor, "k"]:
    """``2^0 ... 2^(frequencies - 1)`` on the device and in the type of ``like``."""
    return 2.0**torch.arange(frequencies, device=like.device, dtype=like.dtype)

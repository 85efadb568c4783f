"""What the codes of the training shapes say of all codes: a prior to draw from, and the axes along which they differ most.

Park et al., CVPR 2019, section 4.2, take a zero-mean Gaussian for the prior. Trained codes are not spread like that, so it may
also have their mean and covariance, shrunk as by Ledoit and Wolf, "A well-conditioned estimator for large-dimensional
covariance matrices", 2004, for there may be fewer shapes than a code has entries.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from deep3dmap.errors import ConfigError, DataError

PRIORS = ("empirical", "diagonal", "paper")


class CodePrior(NamedTuple):
    """A Gaussian over codes, in double precision on the CPU.

    Attributes:
        mean: (l,).
        root: (l, l) symmetric; its square is the covariance.
    """

    mean: Float[Tensor, "l"]
    root: Float[Tensor, "l l"]

    def draw(self, count: int, generator: Generator) -> Float[Tensor, "count l"]:
        """Codes in single precision; the first few are the same whatever the count."""
        normal = torch.stack([torch.randn(len(self.mean), generator=generator, dtype=torch.float64) for _ in range(count)])
        return (self.mean + normal @ self.root).float()


def fit_prior(codes: Float[Tensor, "n l"], kind: str = "empirical") -> CodePrior:
    """The Gaussian that codes are drawn from.

    Args:
        codes: of the training shapes.
        kind: ``empirical`` has the codes' mean and (shrunk) covariance; ``diagonal`` their mean and each entry's variance, as
            the start of the authors' fitting; ``paper`` is around zero and alike in all directions, with the variance under
            which the codes are likeliest.

    Raises:
        ConfigError: if there is no such kind.
        DataError: if there are too few codes: one has no spread around its mean.
    """
    if kind not in PRIORS:
        raise ConfigError(f"prior '{kind}': expected one of {', '.join(PRIORS)}")
    if len(codes) < (1 if kind == "paper" else 2):
        raise DataError(f"{len(codes)} training shape(s) have no spread to draw codes from; with one, take the prior 'paper'")
    codes = codes.detach().cpu().double()
    if kind == "paper":
        return CodePrior(torch.zeros_like(codes[0]), codes.square().mean().sqrt() * torch.eye(codes.shape[1]).double())
    if kind == "diagonal":
        return CodePrior(codes.mean(0), torch.diag(codes.std(0)))
    values, vectors = torch.linalg.eigh(shrunk_covariance(codes))
    return CodePrior(codes.mean(0), (vectors * values.clamp(min=0).sqrt()) @ vectors.T)


def shrunk_covariance(codes: Float[Tensor, "n l"]) -> Float[Tensor, "l l"]:
    """Ledoit and Wolf's estimate: ``(1 - s) S + s m I``, S the covariance over n, m the mean of its diagonal.

    The share ``s`` is what makes the expected squared error least; it goes to 0 with many codes.
    """
    n, length = codes.shape
    centred = codes - codes.mean(0)
    covariance = centred.T @ centred / n
    target = covariance.diagonal().mean() * torch.eye(length).to(codes)
    distance = (covariance - target).square().sum()
    error = (centred.square().sum(1).square().sum() / n - covariance.square().sum()).clamp(min=0) / n
    share = 1.0 if distance == 0 else float((error / distance).clamp(max=1))
    return (1 - share) * covariance + share * target


class PrincipalAxes(NamedTuple):
    """Directions in which codes differ, most first; on the CPU, in double precision.

    Attributes:
        mean: (l,).
        axes: (k, l) orthonormal rows; each one's entry of largest size is positive.
        shares: (k,) of the codes' variance, in descending order; they add up to 1 if all axes are kept.
    """

    mean: Float[Tensor, "l"]
    axes: Float[Tensor, "k l"]
    shares: Float[Tensor, "k"]

    def coordinates(self, codes: Float[Tensor, "n l"]) -> Float[Tensor, "n k"]:
        """Codes along the axes, from the mean."""
        return (codes.detach().cpu().double() - self.mean) @ self.axes.T


def principal_axes(codes: Float[Tensor, "n l"], count: int) -> PrincipalAxes:
    """Principal component analysis of codes; fewer axes than ``count`` where the codes don't differ in so many directions.

    Raises:
        DataError: if there are fewer than two codes, or all are the same.
    """
    codes = codes.detach().cpu().double()
    if len(codes) < 2 or bool((codes == codes[0]).all()):
        raise DataError(
            f"{len(codes)} training code(s) that don't differ have no principal axes; at least 2 shapes are needed")
    mean = codes.mean(0)
    _, sizes, axes = torch.linalg.svd(codes - mean, full_matrices=False)
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    kept = min(count, int((sizes > 1e-6 * sizes[0]).sum()))
    return PrincipalAxes(mean, (axes * largest.sign())[:kept], (sizes.square() / sizes.square().sum())[:kept])

"""Statistics of the training shapes' codes: a prior to sample from, and principal axes.

Park et al., CVPR 2019, section 4.2, use a zero-mean Gaussian as the prior. Trained codes are distributed differently, so it
may also have their mean and covariance, with the shrinkage of Ledoit and Wolf, "A well-conditioned estimator for
large-dimensional covariance matrices", 2004, since there may be fewer shapes than code entries.
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
        """Codes in single precision; the first ones don't depend on the count."""
        normal = torch.stack([torch.randn(len(self.mean), generator=generator, dtype=torch.float64) for _ in range(count)])
        return (self.mean + normal @ self.root).float()


def fit_prior(codes: Float[Tensor, "n l"], kind: str = "empirical") -> CodePrior:
    """The Gaussian from which codes are sampled.

    Args:
        codes: of the training shapes.
        kind: ``empirical`` has the codes' mean and (shrunk) covariance; ``diagonal`` their mean and each entry's variance, as
            in the initialisation of the authors' fitting; ``paper`` is zero-mean and isotropic, with the maximum-likelihood
            variance.

    Raises:
        ConfigError: if there is no such kind.
        DataError: if there are too few codes: a single one has no variance.
    """
    if kind not in PRIORS:
        raise ConfigError(f"prior '{kind}': expected one of {', '.join(PRIORS)}")
    if len(codes) < (1 if kind == "paper" else 2):
        raise DataError(
            f"{len(codes)} training shape(s) have no variance to sample codes from; for one, use the prior 'paper'")
    codes = codes.detach().cpu().double()
    if kind == "paper":
        return CodePrior(torch.zeros_like(codes[0]), codes.square().mean().sqrt() * torch.eye(codes.shape[1]).double())
    if kind == "diagonal":
        return CodePrior(codes.mean(0), torch.diag(codes.std(0)))
    values, vectors = torch.linalg.eigh(shrunk_covariance(codes))
    return CodePrior(codes.mean(0), (vectors * values.clamp(min=0).sqrt()) @ vectors.T)


def shrunk_covariance(codes: Float[Tensor, "n l"]) -> Float[Tensor, "l l"]:
    """Ledoit and Wolf's estimate: ``(1 - s) S + s m I``, S the covariance over n, m the mean of its diagonal.

    The shrinkage ``s`` minimises the expected squared error; it tends to 0 with many codes.
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
    """Principal directions of codes, by decreasing variance; on the CPU, in double precision.

    Attributes:
        mean: (l,).
        axes: (k, l) orthonormal rows; each one's entry of largest magnitude is positive.
        shares: (k,) of the codes' variance, in descending order; they sum to 1 if all axes are kept.
    """

    mean: Float[Tensor, "l"]
    axes: Float[Tensor, "k l"]
    shares: Float[Tensor, "k"]

    def coordinates(self, codes: Float[Tensor, "n l"]) -> Float[Tensor, "n k"]:
        """Coordinates of codes along the axes, relative to the mean."""
        return (codes.detach().cpu().double() - self.mean) @ self.axes.T


def principal_axes(codes: Float[Tensor, "n l"], count: int) -> PrincipalAxes:
    """Principal component analysis of codes; fewer axes than ``count`` if the codes span fewer dimensions.

    Raises:
        DataError: if there are fewer than two codes, or all are equal.
    """
    codes = codes.detach().cpu().double()
    if len(codes) < 2 or bool((codes == codes[0]).all()):
        raise DataError(f"{len(codes)} identical training code(s) have no principal axes; at least 2 shapes are needed")
    mean = codes.mean(0)
    _, sizes, axes = torch.linalg.svd(codes - mean, full_matrices=False)
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    kept = min(count, int((sizes > 1e-6 * sizes[0]).sum()))
    return PrincipalAxes(mean, (axes * largest.sign())[:kept], (sizes.square() / sizes.square().sum())[:kept])

"""A multivariate normal distribution as a part: of the views or lights of a category's pictures."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deep3dmap.errors import ConfigError
from deep3dmap.registry import BACKBONES


@BACKBONES.register_module()
class LearnedGaussian(nn.Module):
    """A normal distribution of vectors.

    Published ones are files with ``mean`` and ``cov``, which ``weights=dict(path=...)`` reads.

    Args:
        mean: of the vectors, without such a file.
        deviation: standard deviations of their numbers, which are independent then.

    Raises:
        ConfigError: if the two differ in length.
    """

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]):
        super().__init__()
        if len(mean) != len(deviation):
            raise ConfigError(f"LearnedGaussian: mean has {len(mean)} numbers, deviation {len(deviation)}")
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("cov", torch.tensor(deviation, dtype=torch.float32).square().diag())

    def sample(self, count: int) -> Float[Tensor, "n p"]:
        """Random vectors.

        Raises:
            ConfigError: if the covariance isn't positive definite.
        """
        factor, failure = torch.linalg.cholesky_ex(self.cov)
        if failure:
            raise ConfigError("LearnedGaussian: the covariance is not positive definite, so nothing can be drawn from it; "
                              "check the file's cov, or deviations of 0")
        return self.mean + torch.randn(count, len(self.mean)).to(factor) @ factor.T

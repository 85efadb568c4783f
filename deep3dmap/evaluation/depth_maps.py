"""Errors of depth maps (Eigen et al., NeurIPS 2014), in the definitions of Atlas and NeuralRecon."""

import numpy as np
from jaxtyping import Float

HIGHER_IS_BETTER = ("r1", "r2", "r3", "complete")
NAMES = ("abs_rel", "abs_diff", "sq_rel", "rmse", "log_rmse", *HIGHER_IS_BETTER)


def depth_metrics(predicted: Float[np.ndarray, "h w"],
                  truth: Float[np.ndarray, "h w"],
                  max_depth: float = 10.0) -> dict[str, float]:
    """Errors of a depth map where both depths are known.

    Args:
        predicted: depth along the camera's z axis, metres; 0 where there is none.
        truth: the same.
        max_depth: true depths from here on, metres, don't count.

    Returns:
        Means of the absolute (``abs_diff``, metres), absolute relative (``abs_rel``) and squared relative (``sq_rel``, metres)
        error; the root of the mean squared error (``rmse``, metres) and of that of the logarithm (``log_rmse``); shares of
        pixels whose two depths differ by less than a factor of 1.25, 1.25^2 and 1.25^3 (``r1`` to ``r3``). NaN if no pixel has
        both depths. ``complete`` is the predicted pixels' share of all.
    """
    seen = predicted > 0
    known = seen & (truth > 0) & (truth < max_depth)
    complete = float(seen.mean())
    if not known.any():
        return dict.fromkeys(NAMES, float("nan")) | dict(complete=complete)
    depth, true = predicted[known].astype(np.float64), truth[known].astype(np.float64)
    error, factor = np.abs(depth - true), np.log(depth / true)
    metrics = dict(abs_rel=(error / true).mean(), abs_diff=error.mean(), sq_rel=(error**2 / true).mean(),
                   rmse=np.sqrt((error**2).mean()), log_rmse=np.sqrt((factor**2).mean()))  # yapf: disable
    metrics |= {f"r{power}": (np.abs(factor) < power * np.log(1.25)).mean() for power in (1, 2, 3)}
    return {name: float(value) for name, value in metrics.items()} | dict(complete=complete)

"""LPIPS with the weights of the parity fixtures."""

from functools import cache

from deep3dmap.losses import LPIPS
from tests import weight_recipe

SEED = 1


@cache
def reference_lpips() -> LPIPS:
    """LPIPS with the recipe's weights, and absolute values for heads."""
    metric = LPIPS()
    shapes = {name: tuple(value.shape) for name, value in metric.state_dict().items()}
    state = weight_recipe.state("lpips", SEED, "", shapes)
    state |= {name: 0.1 * value.abs() for name, value in state.items() if name.startswith("lin")}
    metric.load_state_dict(metric.state_dict() | state)
    return metric

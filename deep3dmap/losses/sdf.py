"""Distance of a network's sdf to known distances."""

from jaxtyping import Float
from torch import Tensor

from deep3dmap.losses.base import Loss
from deep3dmap.registry import LOSSES


@LOSSES.register_module()
class SDFLoss(Loss):
    """Mean absolute difference of signed distances."""

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss, in scene units.

        Args:
            outputs: ``sdf`` (p,) of the network.
            inputs: ``sdf`` (p,), the targets.
        """
        return (outputs["sdf"] - inputs["sdf"]).abs().mean()

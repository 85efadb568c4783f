"""Keeps a code likely under the Gaussian of the training codes (H3D-Net, Ramon et al., ICCV 2021, section 3)."""

from jaxtyping import Float
from torch import Tensor

from deep3dmap.losses.base import Loss
from deep3dmap.registry import LOSSES


@LOSSES.register_module()
class LatentLoss(Loss):
    """Mean square of a latent vector's entries, about 1 for samples of the prior."""

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss, given ``latent`` (l,) among the outputs, in units of the prior's standard deviations."""
        return outputs["latent"].square().mean()

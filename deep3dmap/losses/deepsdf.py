"""The loss terms of DeepSDF (Park et al., CVPR 2019, eqs. 3, 4 and 9), and that of H3D-Net's code."""

from jaxtyping import Float
from torch import Tensor

from deep3dmap.annotations import Positive
from deep3dmap.losses.base import Loss
from deep3dmap.registry import LOSSES


@LOSSES.register_module()
class ClampedSDFLoss(Loss):
    """Mean absolute difference of clamped signed distances (eq. 4).

    Args:
        clamp: maximum distance that the network should represent, normalised units.
        weight: see :class:`deep3dmap.losses.Loss`.
    """

    def __init__(self, clamp: Positive = 0.1, weight=1.0):
        super().__init__(weight)
        self.clamp = clamp

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss.

        Args:
            outputs: ``sdf`` (s, k) of the network.
            inputs: ``sdf`` (s, k), the targets.
        """
        found, wanted = outputs["sdf"].clamp(-self.clamp, self.clamp), inputs["sdf"].clamp(-self.clamp, self.clamp)
        return (found - wanted).abs().mean()


@LOSSES.register_module()
class CodeLoss(Loss):
    """Mean length of the codes (not squared), as in the authors' code."""

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss, given ``codes`` (s, l) among the outputs."""
        return outputs["codes"].norm(dim=1).mean()


@LOSSES.register_module()
class LatentLoss(Loss):
    """Mean square of a latent vector's entries, about 1 for samples of the prior.

    It keeps a code likely under the Gaussian of the training codes (H3D-Net, Ramon et al., ICCV 2021, section 3).
    """

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss, given ``latent`` (l,) or (n, l) among the outputs, in the prior's standard deviations."""
        return outputs["latent"].square().mean()

"""H3D-Net: Ramon et al., "H3D-Net: Few-Shot High-Fidelity 3D Head Reconstruction", ICCV 2021.

IDR whose surface is a head of a learned shape space. First the head's code, pose and colours are optimised with a frozen
decoder; then the decoder is fine-tuned as well, so that the head may leave the space (section 3). Before both, the
colours of the initial head are learned: random colours would give harmful gradients for its shape.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor

from deep3dmap.datasets.captures import SceneDataset
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.frameworks.base import Stage
from deep3dmap.frameworks.h3dnet.network import PlacedHead
from deep3dmap.frameworks.h3dnet.start import start_head
from deep3dmap.frameworks.idr import IDR
from deep3dmap.registry import FRAMEWORKS


@FRAMEWORKS.register_module()
class H3DNet(IDR):
    """A head from few photographs, with masks and cameras.

    Stages: ``colors`` (frozen head), ``code`` (frozen decoder) and ``train``; their ``params`` select what is optimised.
    Arguments are those of :class:`deep3dmap.frameworks.idr.IDR`; ``geometry`` is a :class:`PlacedHead`, and losses may include
    ``code``.
    """

    stages = ("colors", "code", "train")

    def __init__(self, geometry: Mapping | None = None, **options):
        super().__init__(geometry=dict(type="PlacedHead") | dict(geometry or {}), **options)
        if not isinstance(self.geometry, PlacedHead):
            raise ConfigError(f"H3DNet: geometry is a {type(self.geometry).__name__}, but must be a PlacedHead")

    def begin_stage(self, stage: Stage, data: object) -> Sequence[str]:
        """Initialise the head before the first stage: its pose from landmarks, if any, and masks, its code from masks.

        Returns:
            Warnings about it.

        Raises:
            DataError: if the data are not a scene, or don't determine the head's pose.
        """
        if stage.number:
            return ()
        if not isinstance(data, SceneDataset):
            raise DataError(f"{type(data).__name__}: H3D-Net needs the photographs of a scene, such as RayBatches")
        return start_head(self.geometry, data.scene.train)

    def render(self, inputs: dict, training: bool) -> dict[str, Tensor]:
        """See :meth:`IDR.render`; adds ``latent`` (l,), the head's code in units of the prior."""
        return super().render(inputs, training) | dict(latent=self.geometry.latent)

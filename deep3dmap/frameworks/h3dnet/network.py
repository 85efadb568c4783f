"""A head placed in a scene: the prior's decoder, the head's code, and the similarity between their frames."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deep3dmap.annotations import Positive, Whole
from deep3dmap.frameworks.h3dnet.prior import load_prior
from deep3dmap.geometry.rotations import quaternion_to_rotation
from deep3dmap.registry import BACKBONES


@BACKBONES.register_module()
class PlacedHead(nn.Module):
    """The signed distance of a head in a scene's frame, with the interface of IDR's geometry.

    With ``head = A scene + b`` the distance is the decoder's at ``head``, over the scale of ``A``. The code is
    ``mean + root latent``, so that ``latent`` of a head like those of the prior is standard normal.

    Parameters are ``decoder.*``, ``latent`` (l,), and corrections of the initial pose in the head's frame: ``delta_rotation``
    (3,) (half of it is the vector part of a quaternion), ``delta_translation`` (3,) and ``delta_log_scale`` (1,).

    Args:
        prior: its name or file, see :func:`deep3dmap.frameworks.h3dnet.prior.load_prior`.
        features: size of the feature vector handed to the radiance network.
        unit_millimetres: length of the world's unit, if known: then the head's size depends on its code only, and
            ``delta_log_scale`` is ignored.

    Raises:
        DataError: if the prior can't be read.
    """

    def __init__(self, prior: str | Path = "ict_heads", features: Whole = 64, unit_millimetres: Positive | None = None):
        super().__init__()
        self.features, self.unit_millimetres = features, unit_millimetres
        self.prior = load_prior(prior)
        self.decoder = self.prior.decoder(features)
        self.latent = nn.Parameter(torch.zeros(self.decoder.code_length))
        for name, size in (("delta_rotation", 3), ("delta_translation", 3), ("delta_log_scale", 1)):
            self.register_parameter(name, nn.Parameter(torch.zeros(size)))
        for name, value in (("code_mean", self.prior.codes.mean), ("code_root", self.prior.codes.root),
                            ("rotation", torch.eye(3)), ("translation", torch.zeros(3)), ("scale", torch.ones(()))):
            self.register_buffer(name, value.float())

    @torch.no_grad()
    def place(self,
              rotation: Float[Tensor, "3 3"],
              translation: Float[Tensor, "3"],
              scale: float,
              latent: Float[Tensor, "l"] | None = None) -> None:
        """Set the initial pose ``head = scale * rotation @ scene + translation``, and the code, if given."""
        for name, value in (("rotation", rotation), ("translation", translation), ("scale", torch.as_tensor(scale))):
            getattr(self, name).copy_(value)
        for name in ("delta_rotation", "delta_translation", "delta_log_scale"):
            getattr(self, name).zero_()
        if latent is not None:
            self.latent.copy_(latent)

    def similarity(self) -> tuple[Float[Tensor, "3 3"], Float[Tensor, "3"], Float[Tensor, ""]]:
        """The current ``rotation``, ``translation`` and ``scale`` of ``head = scale * rotation @ scene + translation``."""
        rotation = quaternion_to_rotation(torch.cat([torch.ones_like(self.delta_log_scale), self.delta_rotation / 2]))
        scale = self.delta_log_scale.exp()[0] if self.unit_millimetres is None else torch.ones_like(self.scale)
        return rotation @ self.rotation, scale * (rotation @ self.translation) + self.delta_translation, scale * self.scale

    def code(self) -> Float[Tensor, "l"]:
        """The head's code, as input to the decoder."""
        return self.code_mean + self.code_root @ self.latent

    def in_head(self, points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "3 3"], Float[Tensor, ""]]:
        """Scene points in the head's frame, and rotation and scale between the two."""
        with torch.autocast(points.device.type, enabled=False):  # half precision would move the head by millimetres
            rotation, translation, scale = self.similarity()
            return torch.addmm(translation, points, (scale * rotation).T), rotation, scale

    @contextmanager
    def _coded(self) -> Iterator[None]:
        with torch.autocast(self.latent.device.type, enabled=False):
            code = self.code()
        with self.decoder.coded(code):
            yield

    def sdf(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
        """Signed distances, scene units."""
        head, _, scale = self.in_head(points)
        with self._coded():
            return self.decoder.sdf(head) / scale

    def gradient(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """Gradient of the signed distance at points; differentiable."""
        return self.sdf_and_gradient(points)[1]

    def sdf_and_gradient(
            self, points: Float[Tensor,
                                "n 3"]) -> tuple[Float[Tensor, "n"], Float[Tensor, "n 3"], Float[Tensor, "n features"]]:
        """Signed distance, its gradient, and features; see :meth:`deep3dmap.backbones.SDFNetwork.sdf_and_gradient`."""
        head, rotation, scale = self.in_head(points)
        with self._coded():
            sdf, gradient, features = self.decoder.sdf_and_gradient(head)
        with torch.autocast(points.device.type, enabled=False):
            return sdf / scale, gradient @ rotation, features

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Prepare the weights once for many evaluations without gradient; see :class:`deep3dmap.backbones.SDFNetwork`."""
        with self._coded(), self.decoder.frozen():
            yield

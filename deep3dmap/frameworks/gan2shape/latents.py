"""From pictures to latents of a GAN, near the latent of a picture that is known (Pan et al., ICLR 2021, section 3.2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deep3dmap.backbones import StyleGenerator
from deep3dmap.errors import ConfigError

#: Random styles among which an inversion finds its start, and how many are looked at together.
STARTS, TOGETHER = 128, 32


@torch.no_grad()
def nearest_style(generator: StyleGenerator, wanted: Sequence[Tensor],
                  looks: Callable[[Tensor], Sequence[Tensor]]) -> Float[Tensor, "1 s"]:  # yapf: disable
    """The nearest of the mean style and random ones, which are the same in each call.

    Args:
        generator: the GAN.
        wanted: a picture and its features, each (1, c, h, w).
        looks: the same of styles (b, s), each (b, c, h, w).
    """
    z = torch.randn(STARTS, generator.style_size, generator=torch.Generator().manual_seed(0))
    styles = torch.cat([generator.mean_style(), generator.style(z.to(generator.input.input))])
    found = zip(*map(looks, styles.split(TOGETHER)))
    distances = sum((torch.cat(each) - like).abs().mean((1, 2, 3)) for each, like in zip(found, wanted))
    return styles[distances.argmin()][None]


@dataclass
class LatentProjection:
    """An encoder's numbers pass through the mapping network's last layers, as an offset of the known latent.

    Attributes:
        generator: the GAN.
        encoder: of pictures.
        tail: as ``F1_d`` of the published code: as many layers of the mapping, and one more, since it counts the normalisation
            before them; all layers, with the normalisation, if it is their number.
        relative: whether the known picture's own numbers are subtracted.
    """

    generator: StyleGenerator
    encoder: nn.Module
    tail: int = 2
    relative: bool = True

    def __post_init__(self):
        layers = len(self.generator.style) - 1
        if self.tail > layers:
            raise ConfigError(f"tail={self.tail}: the generator's mapping network has {layers} layers")
        self._cut = layers - self.tail

    @property
    def center_w(self) -> Float[Tensor, "1 s"]:
        """The style of a zero vector."""
        return self.generator.style(self._zero)

    @property
    def center_h(self) -> Float[Tensor, "1 s"]:
        """What a zero vector is before the last layers of the mapping."""
        return self.generator.style[:self._cut](self._zero)

    @property
    def _zero(self) -> Float[Tensor, "1 s"]:
        return self.generator.input.input.new_zeros(1, self.generator.style_size)

    def offsets(self, images: Float[Tensor, "b 3 h w"], known: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "b s"]:
        """Offsets of the known latent.

        Args:
            images: pictures whose latents are sought.
            known: the GAN's picture of the known latent.
        """
        hidden = self.encoder(images)
        hidden = hidden - self.encoder(known) if self.relative else hidden
        return self.generator.style[self._cut:](hidden + self.center_h) - self.center_w

    def pictures(self, latents: Float[Tensor, "b s"]) -> Float[Tensor, "b 3 size size"]:
        """The GAN's pictures of styles, with the registered noise, in [-1, 1]."""
        return self.generator(self.generator.w_plus(latents), self.generator.registered_noise).clamp(-1, 1)

"""StyleGAN2: generator, discriminator, and their layers."""

from deep3dmap.backbones.stylegan2.discriminator import StyleDiscriminator
from deep3dmap.backbones.stylegan2.generator import StyleGenerator

__all__ = ["StyleDiscriminator", "StyleGenerator"]

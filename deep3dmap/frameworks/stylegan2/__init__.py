"""StyleGAN2: generator and discriminator trained against each other."""

from deep3dmap.frameworks.stylegan2.framework import StyleGAN2

__all__ = ["StyleGAN2"]

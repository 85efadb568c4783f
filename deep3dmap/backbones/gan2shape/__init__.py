"""Networks that find the depth, albedo, view, light and GAN latent of a picture."""

from deep3dmap.backbones.gan2shape.gaussian import LearnedGaussian
from deep3dmap.backbones.gan2shape.networks import ImageAutoencoder, ImageEncoder, ResidualEncoder

__all__ = ["ImageAutoencoder", "ImageEncoder", "LearnedGaussian", "ResidualEncoder"]

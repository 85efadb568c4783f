"""GAN2Shape: the shape in one picture, from what a GAN makes of it in other views and lights (Pan et al., ICLR 2021)."""

from deep3dmap.frameworks.cards import Card, register_card
from deep3dmap.frameworks.gan2shape.framework import GAN2Shape

__all__ = ["GAN2Shape"]

register_card(
    Card(name="gan2shape",
         framework="GAN2Shape",
         title="GAN2Shape",
         takes="one photograph and a GAN",
         gives="shape, light, albedo",
         paper="Pan et al., ICLR 2021",
         benchmark="deep3dmap.benchmarks.gan2shape",
         page="docs/gan2shape.md",
         your_own="configs/gan2shape/your_own.py",
         source="instances.dataset.source",
         single_pictures=True))

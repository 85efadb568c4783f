"""StyleGAN2: a generator of pictures, trained against a discriminator (Karras et al., CVPR 2020)."""

from pathlib import Path

from deep3dmap.frameworks.cards import Card, register_card
from deep3dmap.frameworks.stylegan2.framework import StyleGAN2
from deep3dmap.frameworks.stylegan2.published import convert

__all__ = ["StyleGAN2"]

WEIGHTS = Path(__file__).parent / "assets" / "faces_64.pth"

register_card(
    Card(name="stylegan2",
         framework="StyleGAN2",
         title="StyleGAN2",
         takes="pictures of a class",
         gives="a generator of such pictures",
         paper="Karras et al., CVPR 2020",
         page="docs/stylegan2.md",
         weights=str(WEIGHTS) if WEIGHTS.is_file() else None,
         learns_from_data=True,
         convert=convert,
         benchmark="deep3dmap.benchmarks.stylegan2"))

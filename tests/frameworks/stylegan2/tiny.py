"""A tiny StyleGAN2, and pictures to train it on."""

import torch

from deep3dmap.datasets.kinds import BatchDataset
from deep3dmap.registry import DATASETS

SIZE = 8
WIDTH = dict(size=SIZE, width=8 / 512)
OPTIONS = dict(type="StyleGAN2", generator=dict(type="StyleGenerator", style=8, mapping=2, **WIDTH),
               discriminator=dict(type="StyleDiscriminator", **WIDTH), r1_every=2, path_every=3)  # yapf: disable


@DATASETS.register_module()
class TwoColors(BatchDataset):
    """Pictures whose left half is about dark red, and whose right half is about light green.

    Args:
        count: pictures of a batch.
        size: of the pictures.
    """

    def __init__(self, count: int = 8, size: int = SIZE):
        self.count, self.size = count, size

    def __len__(self) -> int:
        return 10

    def batch(self, step: int, generator: torch.Generator, rank: int = 0, world: int = 1) -> dict:
        colors = torch.tensor([[90.0, 20, 20], [150, 230, 150]]) + torch.randn(self.count, 2, 3, generator=generator) * 10
        halves = colors.clamp(0, 255).byte().repeat_interleave(self.size // 2, 1)
        return dict(images=halves[:, None].expand(-1, self.size, -1, -1)[rank::world].contiguous())


def run_config(steps: int, adam: bool = True, **changes) -> dict:
    """The config of a run."""
    optimizer = dict(type="Adam", lr=1e-2, betas=(0.0, 0.99)) if adam else dict(type="SGD", lr=1e-2)
    config = dict(model=OPTIONS | dict(augment_target=0.3, augment_pictures=100),
                  train_dataset=dict(type="TwoColors"),
                  optim_wrapper=dict(generator=dict(optimizer=optimizer, average=0.9),
                                     discriminator=dict(optimizer=optimizer)),
                  train_cfg=dict(type="StagedTrainLoop", max_steps=steps),
                  default_hooks=dict(log=dict(interval=1), checkpoint=dict(minutes=None, steps=1, keep=0)))
    return config | changes

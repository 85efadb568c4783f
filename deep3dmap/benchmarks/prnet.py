"""PRNet's benchmark: position maps of pictures, training steps, and whole faces, without data.

Pictures are noise, and the map to learn is the mean face's: the cost depends on neither.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deep3dmap.backbones import ResFCN
from deep3dmap.backbones.posed_resfcn import CENTRE, DEPTH, FACE, mean_face
from deep3dmap.benchmarks import work
from deep3dmap.benchmarks.cases import Method, Network, Work
from deep3dmap.benchmarks.work import Job, Optimizers
from deep3dmap.engine.optim import load_optimizers_state
from deep3dmap.frameworks.base import Framework

#: Pictures in a step of the preparation.
PREPARED = 2


def pictures(framework: Framework, count: int) -> Tensor:
    """Pictures (count, 3, r, r) of the network's resolution."""
    size = framework.backbone.resolution
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0)).to(framework.device)


def mean_map(framework: Framework) -> Tensor:
    """The mean face in the middle of the crop (3, r, r), in units of the network's output."""
    size, centre = framework.layout.size, torch.tensor([CENTRE, CENTRE, DEPTH])[:, None]
    return (FACE * mean_face(framework.layout) + centre).view(3, size, size).to(framework.device)


def batch_of_faces(framework: Framework, count: int) -> dict[str, Tensor]:
    """A batch for a training step, under the keys that the framework reads."""
    images = pictures(framework, count)
    maps = framework.reach * framework.layout.size * mean_map(framework).expand_as(images)
    inputs = dict(image=images, position_map=maps, crop=torch.eye(3).to(images).expand(count, 3, 3))
    return {key: inputs[name] for name, key in framework.input_keys.items()}


# --- the state ------------------------------------------------------------------------------------------------------------


def _training(framework: Framework, count: int, rate: float, amp: bool) -> tuple[Callable[[], Any], Optimizers]:
    optimizers = dict(backbone=dict(optimizer=dict(type="Adam", lr=rate)))
    return work.training(framework, [batch_of_faces(framework, count)], optimizers, amp)


def _prepare(framework: Framework, fit_steps: int, train_steps: int, rate: float) -> Optimizers:
    """Train shortly with warm-up."""
    step, optimizers = _training(framework, PREPARED, rate, False)
    work.train_with_warmup(step, optimizers, train_steps)
    return optimizers


# --- the work -------------------------------------------------------------------------------------------------------------


def _forward(network: torch.nn.Module, images: Tensor, amp: bool) -> Job:
    """The fused network's maps; in mixed precision its layers' numbers are bfloat16."""
    fused = network.fused(torch.bfloat16 if amp else torch.float32)
    return Job(torch.no_grad()(lambda: fused(images)))


def _maps(framework: Framework, count: int, amp: bool, **_) -> Job:
    return _forward(framework.backbone, pictures(framework, count), amp)


def _unfused_maps(framework: Framework, count: int, amp: bool, **_) -> Job:
    """The maps of the network as it is trained."""
    network, images = framework.eval().backbone, pictures(framework, count)

    @torch.no_grad()
    def run():
        with torch.autocast(framework.device.type, dtype=torch.bfloat16, enabled=amp):
            network(images)

    return Job(run)


def _maps_of_size(framework: Framework, size: int, amp: bool, **_) -> Job:
    """The map of one picture by a network with other widths."""
    network = ResFCN(size, framework.backbone.resolution, framework.backbone.variant).to(framework.device)
    return _forward(network, pictures(framework, 1), amp)


def _train_step(framework: Framework, count: int, rate: float, amp: bool, optimizer: Mapping, **_) -> Job:
    step, wrapper = _training(framework, count, rate, amp)
    load_optimizers_state(wrapper, optimizer)
    return Job(step, work.STEPS)


def _face(framework: Framework, side: int, **_) -> Job:
    """All results of the face that fills half of a square photograph: the network twice, meshes, texture, pictures.

    The network is run, but since it isn't trained, the mean face takes the place of what it finds.
    """
    face = mean_map(framework)[None]
    framework.backbone.register_forward_hook(lambda *_: face)
    image = np.random.default_rng(0).integers(256, size=(side, side, 3), dtype=np.uint8)
    item = dict(name="face", img=image, box=np.array([side / 4, side / 4, 3 * side / 4, 3 * side / 4], np.float32))
    return Job(lambda: list(framework.eval().reconstruct(item)))


# --- what is measured -----------------------------------------------------------------------------------------------------

PLAIN = {"amp": False}
MIXED_PRECISION = {"amp": True}
#: The published size, with the open layout, so that no files are needed.
PUBLISHED = dict(type="ResFCN", size=16, resolution=256)
SIZES = {"small": {}} | {name: {"model.backbone": PUBLISHED | dict(variant=name), "model.losses.position.size": 256}
                         for name in ("official", "compact", "port")}  # yapf: disable

METHOD = Method(
    networks=dict(small=Network("configs/prnet/small.py", rate=1e-3)),
    variants={f"{name}{suffix}": size | precision for name, size in SIZES.items()
              for suffix, precision in (("", PLAIN), (", mixed precision", MIXED_PRECISION))},
    work=dict(maps=Work("pictures", (1, 2, 4, 8, 16), (1, 2), 8, job=_maps),
              unfused_maps=Work("pictures", (1, 8), (1, 2), 8, job=_unfused_maps),
              maps_of_size=Work("channels", (4, 8, 16, 32), (1, 2), job=_maps_of_size),
              train_step=Work("pictures", (2, 4, 8, 16), (2, 4), 8, job=_train_step),
              face=Work("pixels a side", (256, 512, 1024), (64, ), job=_face)),
    parts=("backbone", "losses"),
    prepare=_prepare,
    watch=lambda framework, change: None,
    preparation=(0, 10),
    quick_preparation=(0, 1),
)  # yapf: disable

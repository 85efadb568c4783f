"""StyleGAN2's benchmark: pictures from styles, with gradients and without, logits, and training steps; without data.

Pictures are noise and weights random: the cost depends on neither.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from deep3dmap.benchmarks import work
from deep3dmap.benchmarks.cases import Method, Network, Work
from deep3dmap.benchmarks.work import Job, Optimizers
from deep3dmap.engine.optim import load_optimizers_state
from deep3dmap.frameworks.base import Framework

#: Pictures in a step of the preparation.
PREPARED = 4


def batch_of_pictures(framework: Framework, count: int) -> dict[str, Tensor]:
    """A batch for a training step, under the key that the framework reads."""
    side, random = framework.generator.size, torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, side, side, 3), dtype=torch.uint8, generator=random).to(framework.device)
    return {framework.input_keys["images"]: images}


# --- the state ------------------------------------------------------------------------------------------------------------


def _training(framework: Framework, count: int, rate: float, amp: bool) -> tuple[Callable[[], Any], Optimizers]:
    adam = dict(optimizer=dict(type="Adam", lr=rate, betas=(0.0, 0.99)))
    return work.training(framework, [batch_of_pictures(framework, count)], dict(generator=adam, discriminator=adam), amp)


def _prepare(framework: Framework, fit_steps: int, train_steps: int, rate: float) -> Optimizers:
    """Train shortly with warm-up."""
    step, optimizers = _training(framework, PREPARED, rate, False)
    work.train_with_warmup(step, optimizers, train_steps)
    return optimizers


# --- the work -------------------------------------------------------------------------------------------------------------


def _styles(framework: Framework, count: int) -> Tensor:
    """W+ (count, layers, s) of random pictures."""
    with torch.no_grad():
        return framework.generator.w_plus(framework.styles(framework.latents(count, 0)))


def _pictures(framework: Framework, count: int, amp: bool, **_) -> Job:
    """Pictures of styles."""
    generator, styles = framework.eval().generator, _styles(framework, count)

    @torch.no_grad()
    def run():
        with torch.autocast(framework.device.type, dtype=torch.bfloat16, enabled=amp):
            generator(styles, generator.registered_noise)

    return Job(run)


def _inversion(framework: Framework, count: int, amp: bool, **_) -> Job:
    """Pictures of styles, and gradients of the styles, as where a picture's style is searched."""
    generator, styles = framework.eval().requires_grad_(False).generator, _styles(framework, count).requires_grad_()

    def run():
        with torch.autocast(framework.device.type, dtype=torch.bfloat16, enabled=amp):
            images = generator(styles, generator.registered_noise)
        torch.autograd.grad(images.float().square().sum(), styles)

    return Job(run)


def _logits(framework: Framework, count: int, amp: bool, **_) -> Job:
    """The discriminator's verdicts on pictures."""
    critic, side = framework.eval().discriminator, framework.generator.size
    images = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0)).to(framework.device)

    @torch.no_grad()
    def run():
        with torch.autocast(framework.device.type, dtype=torch.bfloat16, enabled=amp):
            critic(images)

    return Job(run)


def _train_step(framework: Framework, count: int, rate: float, amp: bool, optimizer: Mapping, **_) -> Job:
    """A step of both networks; the mean of as many as one regularisation of the discriminator is for."""
    step, wrapper = _training(framework, count, rate, amp)
    load_optimizers_state(wrapper, optimizer)
    return Job(step, framework.r1_every)


# --- what is measured -----------------------------------------------------------------------------------------------------

PLAIN, MIXED_PRECISION = {"amp": False}, {"amp": True}


def _published(size: int, multiplier: float) -> dict:
    """The networks of a published size."""
    sizes = dict(size=size, multiplier=multiplier, width=1.0)
    return {"model.generator": dict(type="StyleGenerator", style=512, mapping=8, **sizes),
            "model.discriminator": dict(type="StyleDiscriminator", **sizes)}  # yapf: disable


SIZES = {"faces_64": {}, "published 128": _published(128, 1.0), "published 256": _published(256, 2.0)}

METHOD = Method(
    networks=dict(faces_64=Network("configs/stylegan2/faces_64.py", rate=2e-3)),
    variants={f"{name}{suffix}": size | precision for name, size in SIZES.items()
              for suffix, precision in (("", PLAIN), (", mixed precision", MIXED_PRECISION))},
    work=dict(pictures=Work("pictures", (1, 4, 16), (1, 2), 4, job=_pictures),
              inversion=Work("pictures", (1, 4, 16), (1, 2), 4, job=_inversion),
              logits=Work("pictures", (1, 4, 16), (1, 2), 4, job=_logits),
              train_step=Work("pictures", (4, 8, 16), (1, 2), 4, job=_train_step)),
    parts=("generator", "discriminator"),
    prepare=_prepare,
    watch=lambda framework, change: None,
    preparation=(0, 2),
    quick_preparation=(0, 1),
)  # yapf: disable

"""GAN2Shape's benchmark: the depth network, steps of all stages, the collection of pictures, a whole run; without data.

Pictures are noise and the GAN is untrained: the cost depends on neither. The depth network is fitted to the prior first, since
rough surfaces cost more to draw.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from deep3dmap.benchmarks import work
from deep3dmap.benchmarks.cases import Method, Network, Work
from deep3dmap.benchmarks.work import Job, Optimizers
from deep3dmap.engine.config import load_config
from deep3dmap.engine.optim import build_optimizers
from deep3dmap.engine.stages import StageConfig
from deep3dmap.frameworks.base import Framework

CONFIG = "configs/gan2shape/small.py"
#: Rate of the fit to the prior.
FIT_RATE = 1e-3


@cache
def stages() -> tuple[StageConfig, ...]:
    """The stages of a run."""
    return tuple(map(StageConfig.read, load_config(CONFIG).to_dict()["train_cfg"]["stages"]))


def pictures(framework: Framework, count: int) -> Tensor:
    """Noise (count, 3, s, s) in [-1, 1]."""
    size = framework.renderer.size
    return (torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1).to(framework.device)


def _steps(framework: Framework, stage: StageConfig, rate: float, amp: bool = False) -> tuple[Callable[[], Any], Optimizers]:
    """A function that does a step of a stage, and its optimiser."""
    framework.enter_stage(stage.stage())
    framework.begin_stage(framework.stage, None)
    adam = dict(optimizer=dict(type="Adam", lr=rate, weight_decay=5e-4))
    wrapper = build_optimizers(framework.train(), adam, amp=amp)
    return work.steps_on(framework, [dict(image=pictures(framework, 1))], wrapper), wrapper


def _prepare(framework: Framework, fit_steps: int, train_steps: int, rate: float) -> Optimizers:
    """Fit the depth to the prior."""
    step, optimizers = _steps(framework, StageConfig("prior", params=["depth.*"]), FIT_RATE)
    for _ in range(fit_steps):
        step()
    return optimizers


# --- the work -------------------------------------------------------------------------------------------------------------


def _depth(framework: Framework, count: int, amp: bool, gradients: bool = False, **_) -> Job:
    """Depth images of pictures."""
    network, images = framework.depth, pictures(framework, count)
    network.requires_grad_(gradients)

    def run():
        with torch.set_grad_enabled(gradients), torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=amp):
            depth = network(images)
        if gradients:
            torch.autograd.grad(depth.float().square().sum(), list(network.parameters()))

    return Job(run)


def _step(framework: Framework, samples: int, rate: float, amp: bool, name: str, **_) -> Job:
    """Steps of a stage with a number of pseudo samples, or pictures from a collection of them."""
    stage, framework.samples = next(each for each in stages() if each.name.endswith(name)), samples
    framework.latent.data = framework.generator.mean_style()
    step, _ = _steps(framework, stage, rate, amp)
    images = pictures(framework, 2 * samples)
    framework.pool.fill("", [(images, torch.ones_like(images[:, :1]))])
    return Job(step, work.STEPS)


def _start(framework: Framework, count: int, **_) -> Job:
    """The choice of the style that an inversion begins with."""
    batch, none = dict(image=pictures(framework, count)), torch.zeros_like(framework.latent)
    framework.enter_stage(StageConfig("inversion", params=["latent"]).stage())

    @torch.no_grad()
    def run():
        framework.latent.data = none.clone()
        framework(batch, "loss")

    return Job(run)


def _collect(framework: Framework, count: int, **_) -> Job:
    """Collection of the GAN's pictures of pseudo samples."""
    framework.latent.data = framework.generator.mean_style()
    framework.collected = count // framework.samples
    batch = dict(image=pictures(framework.eval(), 1))
    return Job(lambda: framework.collect(batch))


def _whole_run(framework: Framework, one_in: int, rate: float, amp: bool, **_) -> Job:
    """One in so many of the steps of all stages, and of the collected pictures, times their number; without the start."""
    framework.latent.data = framework.generator.mean_style()
    framework.collected = max(framework.collected // one_in, 1)

    def run():
        for stage in stages():
            step, _ = _steps(framework, stage, rate, amp)
            for _ in range(max(round(stage.max_steps / one_in), 1)):
                step()

    return Job(run, steps=1, scale=one_in)


# --- what is measured -----------------------------------------------------------------------------------------------------

PLAIN, MIXED_PRECISION = {"amp": False}, {"amp": True}


def _published(size: int, gan: int, multiplier: float) -> dict:
    """The networks of published sizes."""
    networks = dict(size=gan, multiplier=multiplier, width=1.0)
    auto, encoder = (dict(type=kind, size=size, width=64) for kind in ("ImageAutoencoder", "ImageEncoder"))
    return {"model.generator": dict(type="StyleGenerator", style=512, mapping=8, **networks),
            "model.discriminator": dict(type="StyleDiscriminator", **networks),
            "model.depth": dict(outputs=1, tanh=False, **auto), "model.albedo": dict(outputs=3, **auto),
            "model.view": dict(outputs=6, **encoder), "model.light": dict(outputs=4, **encoder),
            "model.latent_encoder": dict(type="ResidualEncoder", outputs=512, size=size, width=32),
            "model.renderer.size": size}  # yapf: disable


SIZES = {"small": {}, "published 64": _published(64, 128, 1.0), "published 128": _published(128, 128, 1.0)}

METHOD = Method(
    networks=dict(small=Network(CONFIG)),
    variants={f"{name}{suffix}": size | precision for name, size in SIZES.items()
              for suffix, precision in (("", PLAIN), (", mixed precision", MIXED_PRECISION))},
    work=dict(depth=Work("pictures", (1, 4, 16), (1, 2), 1, job=_depth),
              depth_gradients=Work("pictures", (1, 4, 16), (1, 2), 1, job=partial(_depth, gradients=True)),
              start=Work("pictures", (1, ), (1, ), 1, job=_start),
              inversion=Work("pictures", (1, ), (1, ), 1, job=partial(_step, name="inversion")),
              prior=Work("pictures", (1, ), (1, ), 1, job=partial(_step, name="prior")),
              appearance=Work("pictures", (1, ), (1, ), 1, job=partial(_step, name="appearance")),
              views=Work("samples", (4, 8, 16), (1, 2), 8, job=partial(_step, name="views")),
              projection=Work("samples", (4, 8, 16), (1, 2), 8, job=partial(_step, name="projection")),
              shape=Work("samples", (4, 8, 16), (1, 2), 8, job=partial(_step, name="shape")),
              collect=Work("pictures", (16, 32, 64), (8, 16), 32, job=_collect),
              whole_run=Work("of the steps, one in", (20, ), (1000, ), 20, job=_whole_run)),
    parts=("depth", "renderer"),
    prepare=_prepare,
    watch=lambda framework, change: None,
    preparation=(200, 0),
    quick_preparation=(2, 0),
)  # yapf: disable

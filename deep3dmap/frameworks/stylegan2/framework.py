"""StyleGAN2: a generator of pictures that learns from pictures alone.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from mmengine.optim import OptimWrapperDict
from torch import Tensor

from deep3dmap.annotations import Count, NotNegative, Share
from deep3dmap.backbones.stylegan2.generator import truncated
from deep3dmap.frameworks.base import CustomFramework
from deep3dmap.frameworks.optimizer_steps import update_params
from deep3dmap.losses.adversarial import (
    critic_loss,
    generator_loss,
    gradient_penalty,
    path_length_penalty,
    path_lengths,
)
from deep3dmap.processes import all_reduce, shared_draws
from deep3dmap.registry import BACKBONES, FRAMEWORKS
from deep3dmap.structures import Reconstruction


@FRAMEWORKS.register_module()
class StyleGAN2(CustomFramework):
    """A generator against a discriminator, regularised in every few steps only, by steps of their own.

    A batch holds ``images`` (b, 3, s, s) uint8.

    Args:
        generator: see :class:`deep3dmap.backbones.StyleGenerator`.
        discriminator: see :class:`deep3dmap.backbones.StyleDiscriminator`.
        r1_weight: of the squared gradients of the discriminator by real pictures, halved.
        r1_every: steps between two of its regularisation, weighted accordingly.
        path_weight: of the deviations of path lengths from their mean.
        path_every: steps between two of the generator's regularisation, weighted accordingly.
        path_share: share of the batch for it: its memory is twice an ordinary step's.
        path_decay: weight of a new batch in the mean path length.
        mixing: share of the pictures with two styles.
        input_keys: see :class:`deep3dmap.frameworks.base.Framework`.
    """

    items = {"images": "pictures"}

    def __init__(self,
                 generator: dict,
                 discriminator: dict,
                 r1_weight: NotNegative = 10.0,
                 r1_every: Count = 16,
                 path_weight: NotNegative = 2.0,
                 path_every: Count = 4,
                 path_share: Share = 0.5,
                 path_decay: Share = 0.01,
                 mixing: Share = 0.9,
                 input_keys: Sequence[str] | Mapping[str, str] | None = None,
                 data_preprocessor: dict | None = None):
        super().__init__(input_keys, data_preprocessor)
        self.generator, self.discriminator = BACKBONES.build(generator), BACKBONES.build(discriminator)
        self.r1_weight, self.r1_every = r1_weight, r1_every
        self.path_weight, self.path_every, self.path_share, self.path_decay = path_weight, path_every, path_share, path_decay
        self.mixing, self.steps = mixing, 0
        self.register_buffer("path_mean", torch.zeros(()))

    def training_state(self) -> dict:
        """The number of steps, by which regularisation is due."""
        return dict(steps=self.steps)

    def load_training_state(self, state: Mapping) -> None:
        """Restore the number of steps."""
        self.steps = state.get("steps", 0)

    def forward(self, inputs: Mapping, mode: str = "tensor") -> dict:
        """The pictures of ``z`` (b, s), in [-1, 1] or a little beyond, with the registered noise."""
        generator = self.generator
        return dict(images=generator(generator.w_plus(generator.style(inputs["z"])), generator.registered_noise))

    def train_step(self, data: Mapping, optim_wrapper: OptimWrapperDict) -> dict[str, Tensor]:
        """A step of the discriminator and one of the generator, and of their regularisation if it is due."""
        real = self.prepare_inputs(data, True)["images"].float() / 127.5 - 1
        values = self._critic_step(real, optim_wrapper["discriminator"])
        if self.r1_weight and self.steps % self.r1_every == 0:
            values |= self._critic_regularisation(real, optim_wrapper["discriminator"])
        values |= self._generator_step(len(real), optim_wrapper["generator"])
        if self.path_weight and self.steps % self.path_every == 0:
            values |= self._generator_regularisation(max(round(self.path_share * len(real)), 1), optim_wrapper["generator"])
        self.steps += 1
        return {name: value.detach() for name, value in values.items()}

    def _critic_step(self, real: Float[Tensor, "b 3 s s"], wrapper) -> dict[str, Tensor]:
        wrapper.zero_grad()  # the generator's step leaves gradients here, too
        with torch.no_grad():
            fake = self.generator(self.random_latents(len(real)))
        with wrapper.optim_context(self):
            scores = self.discriminator(real), self.discriminator(fake)
            loss = critic_loss(*scores)
        update_params(loss, wrapper)
        return dict(loss_discriminator=loss, score_real=scores[0].mean(), score_fake=scores[1].mean())

    def _critic_regularisation(self, real: Float[Tensor, "b 3 s s"], wrapper) -> dict[str, Tensor]:
        real = real.requires_grad_()
        penalty = gradient_penalty(self.discriminator(real), real)
        update_params(self.r1_weight / 2 * self.r1_every * penalty, wrapper)
        return dict(r1=penalty)

    def _generator_step(self, count: int, wrapper) -> dict[str, Tensor]:
        with wrapper.optim_context(self):
            loss = generator_loss(self.discriminator(self.generator(self.random_latents(count))))
        update_params(loss, wrapper)
        return dict(loss_generator=loss)

    def _generator_regularisation(self, count: int, wrapper) -> dict[str, Tensor]:
        latents = self.random_latents(count)
        images = self.generator(latents)
        draws = shared_draws(count)
        noise = torch.randn(draws.total, *images.shape[1:], generator=draws.generator)[draws.share].to(images)
        penalty, mean = path_length_penalty(path_lengths(images, latents, noise), self.path_mean, self.path_decay)
        update_params(self.path_weight * self.path_every * penalty, wrapper)
        self.path_mean.fill_(all_reduce(float(mean), op="mean")[0])
        return dict(path_length=self.path_mean.clone())

    def random_latents(self, count: int) -> Float[Tensor, "b layers s"]:
        """Styles of so many random pictures, some of which have another style from a random layer on."""
        generator, draws = self.generator, shared_draws(count)
        size, random = generator.style[-1].weight.shape[1], draws.generator
        z = torch.randn(2, draws.total, size, generator=random)[:, draws.share]
        first = torch.randint(1, generator.layers, (draws.total, ), generator=random)
        first = torch.where(torch.rand(draws.total, generator=random) < self.mixing, first, generator.layers)[draws.share]
        w, other = generator.style(z.flatten(0, 1).to(self.device)).unflatten(0, (2, -1))
        own = (torch.arange(generator.layers) < first[:, None]).to(self.device)
        return torch.where(own[..., None], w[:, None], other[:, None])

    @torch.no_grad()
    def reconstruct(self, batch: Mapping, resolution: int = 256) -> Iterator[Reconstruction]:
        """A random picture for each name, always the same for the same one: the counterparts of real pictures in metrics."""
        names = [batch["name"]] if isinstance(batch["name"], str) else batch["name"]
        for name in names:
            random = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            image = self.sample(torch.randn(1, self.generator.style[-1].weight.shape[1], generator=random))[0]
            yield Reconstruction(name, images=dict(rgb=image.permute(1, 2, 0).cpu()))

    @torch.no_grad()
    def sample(self, z: Float[Tensor, "b s"], truncation: float = 1.0,
               mean: Float[Tensor, "1 s"] | None = None) -> Float[Tensor, "b 3 size size"]:  # yapf: disable
        """Pictures in [0, 1] with the registered noise.

        Args:
            z: random vectors.
            truncation: share of the styles' distance from their mean.
            mean: of the styles; needed for truncation.
        """
        generator = self.generator
        w = generator.style(z.to(self.device))
        w = w if mean is None else truncated(w, mean.to(w), truncation)
        return ((generator(generator.w_plus(w), generator.registered_noise) + 1) / 2).clamp(0, 1)

"""StyleGAN2: a generator of pictures that learns from pictures alone.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float, UInt8
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor, nn

from deep3dmap.annotations import Count, NotNegative, Share
from deep3dmap.backbones.stylegan2.discriminator import check_groups
from deep3dmap.backbones.stylegan2.generator import truncated
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.frameworks.base import CustomFramework
from deep3dmap.frameworks.optimizer_steps import update_params
from deep3dmap.frameworks.stylegan2.augmentation import AdaptiveAugmentation
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

SHEET = (4, 8)  # rows and columns of the pictures shown during training


@FRAMEWORKS.register_module()
class StyleGAN2(CustomFramework):
    """A generator against a discriminator, regularised in every few steps only, by steps of their own.

    A batch holds ``images`` (b, s, s, 3) uint8. Any number of processes trains the same networks, if the share of a batch
    that each one gets is a multiple of four.

    Args:
        generator: see :class:`deep3dmap.backbones.StyleGenerator`.
        discriminator: see :class:`deep3dmap.backbones.StyleDiscriminator`; None to generate only.
        r1_weight: of the squared gradients of the discriminator by real pictures, halved.
        r1_every: steps between two of its regularisation, weighted accordingly.
        path_weight: of the deviations of path lengths from their mean.
        path_every: steps between two of the generator's regularisation, weighted accordingly.
        path_share: share of the batch for it: its memory is twice an ordinary step's.
        path_decay: weight of a new batch in the mean path length.
        mixing: share of the pictures with two styles.
        augment_target: of :class:`AdaptiveAugmentation`; None for no augmentation.
        augment_pictures: real pictures within which the augmentation's probability can go from 0 to 1.
        input_keys: see :class:`deep3dmap.frameworks.base.Framework`; by default, a batch's key is ``images``, too.

    Raises:
        ConfigError: if the two networks have pictures of different sizes, or ``input_keys`` name no images.
    """

    items = {"images": "pictures", "img": "pictures"}

    def __init__(self,
                 generator: dict,
                 discriminator: dict | None = None,
                 r1_weight: NotNegative = 10.0,
                 r1_every: Count = 16,
                 path_weight: NotNegative = 2.0,
                 path_every: Count = 4,
                 path_share: Share = 0.5,
                 path_decay: Share = 0.01,
                 mixing: Share = 0.9,
                 augment_target: Share | None = None,
                 augment_pictures: Count = 500_000,
                 input_keys: Sequence[str] | Mapping[str, str] | None = None,
                 data_preprocessor: dict | None = None):
        super().__init__(dict(images="images") if input_keys is None else input_keys, data_preprocessor)
        if "images" not in self.input_keys:
            raise ConfigError("StyleGAN2: input_keys must name the batch's pictures, as in dict(images='img'); got "
                              f"{self.input_keys}")
        self.generator = BACKBONES.build(generator)
        self.discriminator = None if discriminator is None else BACKBONES.build(discriminator)
        if self.discriminator is not None and self.discriminator.size != self.generator.size:
            raise ConfigError(f"StyleGAN2: the generator's pictures have {self.generator.size} pixels along a side, the "
                              f"discriminator's {self.discriminator.size}: give both the same size")
        self.r1_weight, self.r1_every = r1_weight, r1_every
        self.path_weight, self.path_every, self.path_share, self.path_decay = path_weight, path_every, path_share, path_decay
        self.mixing, self.steps = mixing, 0
        self.augmentation = None if augment_target is None else AdaptiveAugmentation(augment_target, augment_pictures)
        self.register_buffer("path_mean", torch.zeros(()))

    def training_state(self) -> dict:
        """The number of steps, by which regularisation is due."""
        return dict(steps=self.steps)

    def load_training_state(self, state: Mapping) -> None:
        """Restore the number of steps."""
        self.steps = state.get("steps", 0)

    def check_inputs(self, batch: Mapping, source: str) -> None:
        """Also check type, size and number of a batch's pictures.

        Raises:
            DataError: if they don't suit the networks, or can't be divided into groups for the discriminator.
        """
        super().check_inputs(batch, source)
        images, side = batch[self.input_keys["images"]], self.generator.size
        if images.dtype != torch.uint8 or images.shape[1:] != (side, side, 3):
            raise DataError(f"{source}: its pictures are {images.dtype} of shape {tuple(images.shape[1:])}, but StyleGAN2 "
                            f"needs torch.uint8 of shape {(side, side, 3)}: give data set and networks the same size")
        check_groups(len(images))

    def forward(self, inputs: Mapping, mode: str = "tensor") -> dict:
        """The pictures of ``z`` (b, s), in [-1, 1] or a little beyond, with the registered noise."""
        generator = self.generator
        return dict(images=generator(generator.w_plus(generator.style(inputs["z"])), generator.registered_noise))

    # --- training -----------------------------------------------------------------------------------------------------------

    def train_step(self, data: Mapping, optim_wrapper: OptimWrapper | OptimWrapperDict) -> dict[str, Tensor]:
        """A step of the discriminator and one of the generator, and of their regularisation if it is due."""
        trained = set(optim_wrapper.keys()) if isinstance(optim_wrapper, OptimWrapperDict) else set()
        if self.discriminator is None or not {"generator", "discriminator"} <= trained:
            raise ConfigError("StyleGAN2 is trained with a discriminator, and with an optimiser for each network: "
                              "optim_wrapper=dict(generator=dict(optimizer=...), discriminator=dict(optimizer=...))")
        real = to_signed(self.prepare_inputs(data, True)["images"])
        values = self._critic_step(real, optim_wrapper["discriminator"])
        if self.r1_weight and self.steps % self.r1_every == 0:
            values |= self._critic_regularisation(real, optim_wrapper["discriminator"])
        with frozen(self.discriminator):
            values |= self._generator_step(len(real), optim_wrapper["generator"])
        if self.path_weight and self.steps % self.path_every == 0:
            values |= self._generator_regularisation(max(round(self.path_share * len(real)), 1), optim_wrapper["generator"])
        self.steps += 1
        return {name: value.detach() for name, value in values.items()}

    def _scores(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 1"]:
        """The discriminator's logits of pictures, which are changed first where the config says so."""
        return self.discriminator(images if self.augmentation is None else self.augmentation(images)).float()

    def _critic_step(self, real: Float[Tensor, "b 3 s s"], wrapper: OptimWrapper) -> dict[str, Tensor]:
        with wrapper.optim_context(self):
            with torch.no_grad():
                fake = self.random_pictures(len(real))[0]
            scores = self._scores(real), self._scores(fake)
            loss = critic_loss(*scores)
        update_params(loss, wrapper)
        values = dict(loss_discriminator=loss, score_real=scores[0].mean(), score_fake=scores[1].mean())
        if self.augmentation is not None:
            self.augmentation.adapt(scores[0], shared_draws(len(real)).total)
            values |= dict(augmentation=self.augmentation.probability.clone())
        return values

    def _critic_regularisation(self, real: Float[Tensor, "b 3 s s"], wrapper: OptimWrapper) -> dict[str, Tensor]:
        real = real.detach().requires_grad_()
        penalty = gradient_penalty(self._scores(real), real)
        update_params(self.r1_weight / 2 * self.r1_every * penalty, wrapper)
        return dict(r1=penalty)

    def _generator_step(self, count: int, wrapper: OptimWrapper) -> dict[str, Tensor]:
        with wrapper.optim_context(self):
            loss = generator_loss(self._scores(self.random_pictures(count)[0]))
        update_params(loss, wrapper)
        return dict(loss_generator=loss)

    def _generator_regularisation(self, count: int, wrapper: OptimWrapper) -> dict[str, Tensor]:
        images, latents = self.random_pictures(count)
        draws = shared_draws(count)
        noise = torch.randn(draws.total, *images.shape[1:], generator=draws.generator)[draws.share].to(images)
        lengths = path_lengths(images, latents, noise)
        mean, = all_reduce(float(lengths.detach().mean()), op="mean")
        penalty, self.path_mean[...] = path_length_penalty(lengths, self.path_mean.clone(), self.path_decay, mean)
        update_params(self.path_weight * self.path_every * penalty, wrapper)
        return dict(path_length=self.path_mean.clone())

    # --- pictures -----------------------------------------------------------------------------------------------------------

    def random_pictures(self, count: int) -> tuple[Float[Tensor, "b 3 s s"], Float[Tensor, "b layers style"]]:
        """So many random pictures with fresh noise, and their styles; those of several processes together are one draw."""
        latents, draws = self.random_latents(count), shared_draws(count)
        noise = [torch.randn(draws.total, *each.shape[1:], generator=draws.generator)[draws.share].to(self.device)
                 for each in self.generator.registered_noise]  # yapf: disable
        return self.generator(latents, noise), latents

    def random_latents(self, count: int) -> Float[Tensor, "b layers style"]:
        """Styles of so many random pictures, some of which have another style from a random layer on."""
        generator, draws = self.generator, shared_draws(count)
        random = draws.generator
        z = torch.randn(2, draws.total, generator.style_size, generator=random)[:, draws.share]
        first = torch.randint(1, generator.layers, (draws.total, ), generator=random)
        first = torch.where(torch.rand(draws.total, generator=random) < self.mixing, first, generator.layers)[draws.share]
        w, other = generator.style(z.flatten(0, 1).to(self.device)).unflatten(0, (2, -1))
        own = (torch.arange(generator.layers) < first[:, None]).to(self.device)
        return torch.where(own[..., None], w[:, None], other[:, None])

    @torch.no_grad()
    def reconstruct(self, batch: Mapping, resolution: int = 256) -> Iterator[Reconstruction]:
        """A random picture for each name, always the same for the same one: the counterparts of real pictures in metrics."""
        names = [batch["name"]] if isinstance(batch["name"], str) else batch["name"]
        images = self.sample(torch.cat([self.latents(1, zlib.crc32(name.encode())) for name in names]))
        for name, image in zip(names, images):
            yield Reconstruction(name, images=dict(rgb=image.permute(1, 2, 0).cpu()))

    def training_picture(self) -> Float[Tensor, "h w 3"]:
        """A sheet of random pictures, always of the same z."""
        rows, columns = SHEET
        images = self.sample(self.latents(rows * columns, 0))
        return images.unflatten(0, (rows, columns)).permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(1, 2).cpu()

    def latents(self, count: int, seed: int) -> Float[Tensor, "b style"]:
        """Random vectors z; the first ones of a seed are the same for every count."""
        random = torch.Generator().manual_seed(seed)  # one by one: the values of a larger draw may be others
        return torch.cat([torch.randn(1, self.generator.style_size, generator=random) for _ in range(count)])

    def styles(self, z: Float[Tensor, "b style"], truncation: float = 1.0,
               mean: Float[Tensor, "1 style"] | None = None) -> Float[Tensor, "b style"]:  # yapf: disable
        """Styles w of random vectors.

        Args:
            z: random vectors.
            truncation: share of the styles' distance from their mean.
            mean: of the styles; :meth:`StyleGenerator.mean_style` by default.
        """
        w = self.generator.style(z.to(self.device))
        return w if truncation == 1 else truncated(w, self.generator.mean_style() if mean is None else mean, truncation)

    @torch.no_grad()
    def sample(self, z: Float[Tensor, "b style"], truncation: float = 1.0,
               mean: Float[Tensor, "1 style"] | None = None) -> Float[Tensor, "b 3 size size"]:  # yapf: disable
        """Pictures in [0, 1] with the registered noise; arguments as those of :meth:`styles`."""
        return self.pictures(self.styles(z, truncation, mean))

    @torch.no_grad()
    def pictures(self, w: Float[Tensor, "b style"]) -> Float[Tensor, "b 3 size size"]:
        """Pictures of styles, in [0, 1], with the registered noise."""
        generator = self.generator
        return ((generator(generator.w_plus(w), generator.registered_noise) + 1) / 2).clamp(0, 1)


def to_signed(images: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b 3 h w"]:
    """Stored pictures as the networks have them, in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """No gradients for a module's parameters, for a step of what is before it."""
    moving = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in moving:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in moving:
            parameter.requires_grad_(True)

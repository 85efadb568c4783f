"""GAN2Shape (Pan, Dai, Liu, Loy and Luo, "Do 2D GANs Know 3D Shape? Unsupervised 3D Shape Reconstruction from 2D Image GANs",
ICLR 2021): the shape in one picture, from what a GAN makes of it in other views and lights.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from mmengine import dist
from torch import Tensor, nn

from deep3dmap.annotations import Count, Positive, Whole
from deep3dmap.errors import ConfigError, DataError, nearest
from deep3dmap.frameworks.base import BaseFramework, Stage
from deep3dmap.frameworks.gan2shape.canonical import Canonical, Seen, depth_between, scaled_views, with_border
from deep3dmap.frameworks.gan2shape.latents import LatentProjection, nearest_style
from deep3dmap.frameworks.gan2shape.outputs import Outputs, Shown
from deep3dmap.frameworks.gan2shape.pictures import cropped, resized
from deep3dmap.frameworks.gan2shape.pool import Pool
from deep3dmap.frameworks.gan2shape.prior import Category, ellipsoid
from deep3dmap.frameworks.gan2shape.pseudo import PseudoDraws, PseudoRanges, draw, pseudo_samples, views_and_lights
from deep3dmap.frameworks.gan2shape.published import is_network, networks_of
from deep3dmap.registry import BACKBONES, FRAMEWORKS, check_arguments
from deep3dmap.structures import Reconstruction

#: Loss terms by name: of pictures, of maps, and of the projection.
IMAGE_LOSSES, PROJECTION_LOSSES = ("color", "perceptual"), ("color", "features", "latent")
ALL_LOSSES = (*IMAGE_LOSSES, "smoothness", "relief", "features", "latent")
#: Blocks of the discriminator whose features are compared.
LEVELS = 4


@FRAMEWORKS.register_module()
class GAN2Shape(BaseFramework):
    """The depth, albedo, view and light in one picture.

    Stages (the paper's steps): ``inversion`` finds the picture's latent, where it isn't given, beginning at the nearest of
    many random ones. ``prior`` fits the depth to an ellipsoid, ``appearance`` (step 1) the albedo to the picture.
    ``projection`` (step 2) trains the encoder of latents, so that the GAN's pictures match pseudo samples: renderings in
    random views and lights. ``shape`` (step 3) fits all four networks to the picture, and to the GAN's pictures of pseudo
    samples, which are collected in its first step. The stages ``mirrored_...`` also compare the pictures with those of the
    mirrored shape.

    A batch has ``image`` (1, 3, s, s) in [-1, 1], the same in all steps of a run, and optionally the object's ``mask``
    (1, 1, s, s) in [0, 1], and the picture's ``latent`` (1, d), a style of the GAN.

    Args:
        generator, discriminator: configs of the GAN's networks; never trained.
        depth, albedo, view, light: configs of the networks that get the picture.
        latent_encoder: config of the network for offsets of the latent.
        view_prior, light_prior: configs of the normal distributions of views and lights, whose means are added to the
            networks' outputs; random views are drawn from the former.
        category: decides the place of the ellipsoid, see :func:`.prior.ellipsoid`.
        prior_near, prior_far: its smallest depth, and the depth of the plane behind it.
        pseudo: changes of :class:`.pseudo.PseudoRanges`.
        samples: pseudo samples in a step.
        collected: times ``samples`` pictures are collected for the stage ``shape``; in joint training for all together.
        masked: whether pseudo samples are compared within the mask; otherwise it only places the ellipsoid.
        joint: train the networks on many pictures in turn, those of :class:`~deep3dmap.datasets.EachItemBatches`.
        tail, relative: of :class:`.latents.LatentProjection`.
        crop: the GAN's pictures are resized to the first number of pixels, and the middle, of the second number, is used.
        outputs: changes of :class:`.outputs.Outputs`, of what is written of a picture.
        parts: ``renderer``, ``losses``, ``input_keys`` of the base class. Losses may be ``color`` and ``perceptual`` (of
            pictures), ``smoothness`` (of ``depth`` and ``shading``), ``relief`` (of ``depth``), ``features`` (of the
            discriminator) and ``latent`` (of offsets).

    Raises:
        ConfigError: for another loss, or parts that don't fit together.
    """

    stages = ("inversion", "prior", "appearance", "mirrored_appearance", "views", "projection", "shape", "mirrored_shape")
    items = {"image": "pictures"}
    from_files = ("discriminator", "losses.perceptual")

    def __init__(self,
                 generator: dict,
                 discriminator: dict,
                 depth: dict,
                 albedo: dict,
                 view: dict,
                 light: dict,
                 latent_encoder: dict,
                 view_prior: dict,
                 light_prior: dict,
                 category: Category = "face",
                 prior_near: Positive = 0.91,
                 prior_far: Positive = 1.02,
                 pseudo: Mapping | None = None,
                 samples: Count = 16,
                 collected: Count = 100,
                 masked: bool = True,
                 joint: bool = False,
                 tail: Whole = 2,
                 relative: bool = True,
                 crop: Sequence[Count] | None = None,
                 outputs: Mapping | None = None,
                 **parts):
        super().__init__(**parts)
        networks = dict(generator=generator, discriminator=discriminator, depth=depth, albedo=albedo, view=view, light=light,
                        latent_encoder=latent_encoder, view_prior=view_prior, light_prior=light_prior)  # yapf: disable
        for name, config in networks.items():
            self.add_module(name, BACKBONES.build(config))
        check_arguments(PseudoRanges, pseudo or {}, "GAN2Shape: pseudo")
        self.pseudo, self.samples, self.collected = PseudoRanges(**pseudo or {}), samples, collected
        check_arguments(Outputs, outputs or {}, "GAN2Shape: outputs")
        self.outputs = Outputs(**outputs or {})
        self.masked, self.joint = masked, joint
        self.category, self.prior_near, self.prior_far = category, prior_near, prior_far
        self.crop = None if crop is None else tuple(crop)
        self.projection = LatentProjection(self.generator, self.latent_encoder, tail, relative)
        self.latent = nn.Parameter(torch.zeros_like(self.projection.center_w))
        self.pool = Pool()
        self._kept: dict[str, tuple[Stage, Tensor, object]] = {}
        for name in self.losses:
            if name not in ALL_LOSSES:
                raise ConfigError(f"GAN2Shape has no loss '{name}': {nearest(name, ALL_LOSSES)}")

    # --- what the networks say of a picture --------------------------------------------------------------------------------

    def free_depth(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n h w"]:
        """Canonical depth without its border."""
        return depth_between(self.depth(image)[:, 0], self.renderer.min_depth, self.renderer.max_depth)

    def views(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 6"]:
        """How pictures see the shape, in radians and units of depth."""
        return scaled_views(self.view(images) + self.view_prior.mean)

    def lights(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 4"]:
        """Numbers of the pictures' lights, see :class:`.canonical.Light`."""
        return self.light(images) + self.light_prior.mean

    def canonical(self, image: Float[Tensor, "1 3 h w"], mirrored: bool = False) -> Canonical:
        """What a picture shows, from the front; with its mirror image, if ``mirrored``."""
        depth = with_border(self.free_depth(image), self.renderer.min_depth, self.renderer.max_depth)
        albedo = self.albedo(image)
        if mirrored:
            depth, albedo = torch.cat([depth, depth.flip(2)]), torch.cat([albedo, albedo.flip(3)])
        return Canonical(depth, albedo, self.renderer.normals(depth), self.views(image), self.lights(image))

    def mask_of(self, inputs: Mapping) -> Float[Tensor, "1 1 h w"]:
        """The mask of the object in the picture; ones without one."""
        mask = inputs.get("mask")
        return torch.ones_like(inputs["image"][:, :1]) if mask is None else mask

    # --- the GAN -----------------------------------------------------------------------------------------------------------

    def latent_of(self, inputs: Mapping) -> Float[Tensor, "1 d"]:
        """The picture's latent: given with it, or found in the stage ``inversion``.

        Raises:
            ConfigError: if there is none.
        """
        if not self.knows_latent(inputs):
            raise ConfigError("GAN2Shape needs the picture's latent: begin with a stage 'inversion', or add 'latent' to the "
                              "data")
        return inputs["latent"] if "latent" in inputs else self._own_latent(inputs)

    def knows_latent(self, inputs: Mapping) -> bool:
        """Whether the picture's latent is given, or was found."""
        return "latent" in inputs or (self._name(inputs) in self.pool.names and bool(self._own_latent(inputs).any()))

    def _own_latent(self, inputs: Mapping) -> Float[Tensor, "1 d"]:
        """The picture's row of the latents; in joint training with a sparse gradient, so that no other row moves."""
        row = torch.tensor([self.pool.names.index(self._name(inputs))], device=self.device)
        return nn.functional.embedding(row, self.latent, sparse=self.joint)

    def _name(self, inputs: Mapping) -> str:
        """The picture's name in joint training, else an empty one."""
        return inputs.get("name", ["?"])[0] if self.joint else ""

    def gan_pictures(self, latents: Float[Tensor, "b d"]) -> Float[Tensor, "b 3 s s"]:
        """The GAN's pictures, of the size that the networks take."""
        images = self.projection.pictures(latents)
        if self.crop is not None:
            images = cropped(resized(images, self.crop[0]), self.crop[1])
        return resized(images, self.renderer.size)

    def projected(self, images: Float[Tensor, "b 3 h w"],
                  inputs: Mapping) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b d"]]:  # yapf: disable
        """The GAN's pictures that are to match others, and the offsets of their latents from the picture's."""
        with torch.no_grad():
            latent = self.latent_of(inputs)
            known = self._once("known", inputs, lambda: self.gan_pictures(latent))
        offsets = self.projection.offsets(images, known)
        return self.gan_pictures(latent + offsets), offsets

    @torch.no_grad()
    def pseudo_samples(self, inputs: Mapping, draws: PseudoDraws | None = None) -> tuple[Tensor, Tensor]:
        """Renderings (b, 3, h, w) in random views and lights, and their masks (b, 1, h, w).

        Args:
            inputs: the batch.
            draws: random numbers; by default fresh ones.
        """
        canonical, mask = self._canonical_and_mask(inputs)
        draws = draw(self.samples, self.view_prior, self.pseudo) if draws is None else draws
        return pseudo_samples(canonical, mask, draws, self.pseudo.ambient, self.renderer)

    @torch.no_grad()
    def _canonical_and_mask(self, inputs: Mapping) -> tuple[Canonical, Tensor]:

        def make() -> tuple[Canonical, Tensor]:
            canonical, own = self.canonical(inputs["image"]), inputs if self.masked else dict(image=inputs["image"])
            return canonical, canonical.mask(self.renderer, self.mask_of(own))

        return self._once("canonical", inputs, make)

    @torch.no_grad()
    def collect(self, inputs: Mapping) -> None:
        """Fill the pool of the GAN's pictures of a picture's pseudo samples."""
        samples = (self.pseudo_samples(inputs) for _ in range(-(-self.collected // len(self.pool.names))))
        self.pool.fill(self._name(inputs), ((self.projected(images, inputs)[0], masks) for images, masks in samples))

    def _once(self, name: str, inputs: Mapping, make: Callable):
        """What doesn't change within a stage, since nothing that it depends on is trained: made once for a picture."""
        stage, image, value = self._kept.get(name, (None, None, None))
        if stage is not self.stage or not torch.equal(image, inputs["image"]):
            value = make()
            if self.stage.name in ("views", "projection"):
                self._kept[name] = self.stage, inputs["image"], value
        return value

    # --- losses ------------------------------------------------------------------------------------------------------------

    def forward(self, inputs: dict, mode: str = "tensor") -> dict:
        """Loss terms of the stage, or a prediction, see :meth:`predict`.

        Raises:
            DataError: if there isn't one picture, or none of the size that the networks take.
        """
        size, shape = self.renderer.size, tuple(inputs["image"].shape)
        if shape[1:] != (3, size, size) or (mode == "loss" and shape[0] != 1):
            raise DataError(f"GAN2Shape needs one picture (1, 3, {size}, {size}) a run (`instances` for several), got {shape}")
        if mode != "loss":
            return self.predict(inputs)
        return getattr(self, f"_{self.stage.name.removeprefix('mirrored_')}_losses")(inputs)

    def _terms(self, names: Sequence[str], outputs: dict, targets: dict, ending: str = "") -> dict[str, Tensor]:
        active = self.losses if self.stage.losses is None else self.stage.losses
        return {
            f"loss_{name}{ending}": self.losses[name].weight * self.losses[name](outputs, targets)
            for name in names if name in self.losses and name in active
        }

    def image_losses(self,
                     seen: Seen,
                     images: Float[Tensor, "b 3 h w"],
                     masks: Float[Tensor, "b 1 h w"] | None = None,
                     ending: str = "") -> dict[str, Tensor]:
        """Loss terms between pictures and those of one or both canonical shapes.

        Args:
            seen: of the shapes.
            images: what they are compared with.
            masks: of these.
            ending: of the terms' names.
        """
        terms = {}
        for shape in range(len(seen.image) // len(images)):
            part = slice(shape * len(images), (shape + 1) * len(images))
            mask = seen.visible[part] if masks is None else seen.visible[part] * masks
            terms |= self._terms(IMAGE_LOSSES, dict(image=seen.image[part], mask=mask), dict(image=images),
                                 ending + "_mirrored" * shape)
        return terms

    def _inversion_losses(self, inputs: dict) -> dict[str, Tensor]:
        image, latent = inputs["image"], self._own_latent(inputs)
        if not latent.any():
            self.latent.data = self._nearest_style(image)
            latent = self._own_latent(inputs)
        found = self.gan_pictures(latent)
        with torch.no_grad():
            wanted = self.discriminator.features(image, LEVELS)
        outputs = dict(image=found, features=self.discriminator.features(found, LEVELS))
        return self._terms((*IMAGE_LOSSES, "features"), outputs, dict(image=image, features=wanted))

    def _nearest_style(self, image: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 d"]:

        def looks(images: Tensor) -> list[Tensor]:
            return [images, *self.discriminator.features(images, LEVELS)]

        return nearest_style(self.generator, looks(image), lambda styles: looks(self.gan_pictures(styles)))

    def _prior_losses(self, inputs: dict) -> dict[str, Tensor]:
        target = ellipsoid(self.mask_of(inputs)[0, 0], self.category, self.prior_near, self.prior_far)
        return dict(loss_prior=(self.free_depth(inputs["image"]) - target).square().mean())

    def _appearance_losses(self, inputs: dict) -> dict[str, Tensor]:
        return self.reconstruction_losses(inputs)[1]

    def reconstruction_losses(self, inputs: dict) -> tuple[Canonical, dict[str, Tensor]]:
        """The canonical shape, and the loss terms between the picture and what is seen of it (step 1)."""
        canonical = self.canonical(inputs["image"], self.stage.name.startswith("mirrored"))
        seen = canonical.seen(self.renderer, canonical.view, canonical.light)
        terms = self.image_losses(seen, inputs["image"])
        return canonical, terms | self._terms(["smoothness"], dict(depth=canonical.depth, shading=seen.shading), {})

    def _views_losses(self, inputs: dict) -> dict[str, Tensor]:
        """Squared errors of the views and lights that are found in pseudo samples; in the picture, which counts as much as all
        of them, they are to stay.

        Beside the samples, the picture fills them: otherwise their borders would betray their views.
        """
        draws = draw(self.samples, self.view_prior, self.pseudo)
        samples, masks = self.pseudo_samples(inputs, draws)
        images = torch.cat([torch.where(masks > 0, samples, inputs["image"]), inputs["image"]])
        canonical, _ = self._canonical_and_mask(inputs)
        views, lights = views_and_lights(canonical, draws, self.pseudo.ambient)
        errors = dict(view=self.views(images) - views, light=self.lights(images) - lights)
        return {f"loss_{name}": (each := error.square().mean(1))[:-1].mean() + each[-1] for name, error in errors.items()}

    def _projection_losses(self, inputs: dict) -> dict[str, Tensor]:
        return self.projection_losses(inputs, *self.pseudo_samples(inputs))

    def projection_losses(self, inputs: Mapping, images: Float[Tensor, "b 3 h w"],
                          masks: Float[Tensor, "b 1 h w"]) -> dict[str, Tensor]:  # yapf: disable
        """Loss terms between pseudo samples and the GAN's pictures that are to match them (step 2)."""
        found, offsets = self.projected(images, inputs)
        with torch.no_grad():
            wanted = self.discriminator.features(images, LEVELS)
        outputs = dict(image=found, mask=masks, features=self.discriminator.features(found, LEVELS), latent=offsets)
        return self._terms(PROJECTION_LOSSES, outputs, dict(image=images, features=wanted))

    def _shape_losses(self, inputs: dict) -> dict[str, Tensor]:
        if self._name(inputs) not in self.pool:
            self.collect(inputs)
        return self.shape_losses(inputs, *self.pool.draw(self._name(inputs), self.samples, self.device))

    def shape_losses(self, inputs: Mapping, images: Float[Tensor, "b 3 h w"],
                     masks: Float[Tensor, "b 1 h w"]) -> dict[str, Tensor]:  # yapf: disable
        """Loss terms between the picture, and the GAN's pictures of pseudo samples, and what is seen of the shape (step 3)."""
        canonical, terms = self.reconstruction_losses(inputs)
        place = canonical.mask(self.renderer, self.mask_of(inputs)).detach()
        terms |= self._terms(["relief"], dict(depth=canonical.depth[:1], mask=place), {})
        seen = canonical.seen(self.renderer, self.views(images), self.lights(images))
        return terms | self.image_losses(seen, images, masks, "_projected")

    # --- a run -------------------------------------------------------------------------------------------------------------

    def setup(self, info: Mapping) -> None:
        """Make room for the latents of all pictures of a joint training.

        Raises:
            ConfigError: if the data are of another kind.
        """
        if self.joint:
            if not info.get("names"):
                raise ConfigError("GAN2Shape: joint=True needs train_dataset=dict(type='EachItemBatches', dataset=...)")
            self.pool.names = list(info["names"])
            self.latent.data = self.latent.new_zeros(len(self.pool.names), self.latent.shape[1])

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A state with the five networks of a file: the authors', or a checkpoint of another run, such as a joint one."""
        return {name: value for name, value in self.state_dict().items() if not is_network(name)} | networks_of(state)

    def begin_stage(self, stage: Stage, data: object) -> Sequence[str]:
        """Empty the pool before new samples are to be collected. In joint training, choose where the inversions of all
        pictures start, and fill the pool before the shape of any picture changes."""
        if stage.name == "inversion" and self.joint:
            batches = (self.prepare_inputs(batch, True) for batch in data.share())
            self.latent.data = torch.cat([self._nearest_style(batch["image"]) for batch in batches])
        if stage.name == "projection":
            self.pool.clear()
        if stage.name.endswith("shape") and self.joint and not self.pool:
            for batch in data.share(*dist.get_dist_info()):
                self.collect(self.prepare_inputs(batch, True))
        return ()

    def training_state(self) -> dict:
        """The pool."""
        return self.pool.state()

    def load_training_state(self, state: Mapping) -> None:
        """Restore the pool; see :meth:`.pool.Pool.load`."""
        self.pool.load(state)

    @torch.no_grad()
    def predict(self, inputs: Mapping) -> dict[str, Tensor]:
        """What each picture of a batch shows, see :meth:`.canonical.Canonical.shown`."""
        found = [self.canonical(image).shown(self.renderer) for image in inputs["image"].split(1)]
        return {name: torch.cat([each[name] for each in found]) for name in found[0]}

    def reconstruct(self, batch: Mapping, resolution: int = 256) -> Iterator[Reconstruction]:
        """The shape in each picture of a batch; for a ``resolution`` of 0 without its mesh, files and videos."""
        single = isinstance(batch["name"], str)
        inputs = self.prepare_inputs({key: value[None] if single else value for key, value in batch.items()
                                      if isinstance(value, Tensor)}, False)  # yapf: disable
        for k, name in enumerate([batch["name"]] if single else batch["name"]):
            one = {key: value[k:k + 1] for key, value in inputs.items()}
            yield self._result(name, one | dict(name=[name]), bool(resolution))

    @torch.no_grad()
    def _result(self, name: str, inputs: Mapping, meshes: bool) -> Reconstruction:
        inverted = self.gan_pictures(self.latent_of(inputs)) if self.knows_latent(inputs) else None
        shown = Shown(inputs["image"], self.predict(inputs), self.renderer, self.pseudo.ambient, inverted,
                      lambda images: self.projected(images, inputs)[0])  # yapf: disable
        return self.outputs.of(name, shown, meshes)

"""The framework of the parity fixtures, and the settings that are in no file but in words."""

import json

import torch

from deep3dmap.frameworks.gan2shape.framework import GAN2Shape
from tests import weight_recipe
from tests.goldens import FOLDER, pictures, read, tensor
from tests.lpips_fixture import reference_lpips

SEED = json.loads((FOLDER / "gan2shape" / "config.json").read_text())["seed"]
RENDERER = json.loads((FOLDER / "gan2shape" / "config.json").read_text())["renderer"]
CODE, GROUP = 16, 4
LOSSES = dict(color=dict(type="MaskedL1Loss"), smoothness=dict(type="SmoothnessLoss", weight=0.01),
              features=dict(type="FeatureLoss"), latent=dict(type="LatentLoss", weight=0.01))  # yapf: disable
PERCEPTUAL = 0.5
PREFIXES = dict(generator="G", discriminator="D", depth="netD", albedo="netA", view="netV", light="netL",
                latent_encoder="netEnc")  # yapf: disable


def width_of(file: str, name: str) -> int:
    """The channels after the first layer of a network, of which a fixture has the gradient."""
    golden = read(f"gan2shape/{file}")
    return next(golden[key].shape[0] for key in golden.files if key.endswith(f"grad/{name}.network.0.weight"))


def framework_config(size: int, style: int, **options) -> dict:
    """The arguments of the fixtures' framework."""
    gan = dict(size=size, width=read("gan2shape/d_features")["full/last"].shape[1] / 512)
    auto = dict(type="ImageAutoencoder", size=size, code=CODE, group=GROUP)
    encoder = dict(type="ImageEncoder", size=size)
    gaussian = dict(type="LearnedGaussian")
    return dict(
        generator=dict(type="StyleGenerator", style=style, **gan),
        discriminator=dict(type="StyleDiscriminator", **gan),
        depth=dict(outputs=1, tanh=False, width=width_of("step1", "netD"), **auto),
        albedo=dict(outputs=3, width=width_of("step1", "netA"), **auto),
        view=dict(outputs=6, width=width_of("step1", "netV"), **encoder),
        light=dict(outputs=4, width=width_of("step1", "netL"), **encoder),
        latent_encoder=dict(type="ResidualEncoder", outputs=style, size=size, width=width_of("step2", "netEnc")),
        view_prior=dict(mean=[0.0] * 6, deviation=[1.0] * 6, **gaussian),
        light_prior=dict(mean=[0.0] * 4, deviation=[1.0] * 4, **gaussian),
        renderer=dict(type="DepthImageRenderer", size=size, fov=RENDERER["fov"], min_depth=RENDERER["min_depth"],
                      max_depth=RENDERER["max_depth"], rotation_center=RENDERER["rot_center_depth"]),
        losses=LOSSES, **options)  # yapf: disable


def reference_framework(stage: str, **options) -> tuple[GAN2Shape, dict]:
    """The framework with the fixtures' weights in a stage, all networks with gradients, and the picture's batch."""
    golden = read("gan2shape/step1")
    image, latent = pictures(golden["input_u8"]), tensor(golden["latent_w"])
    framework = GAN2Shape(**framework_config(image.shape[-1], latent.shape[-1], **options))
    for name, prefix in PREFIXES.items():
        network = framework.get_submodule(name)
        shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        family = "stylegan2" if len(prefix) == 1 else "gan2shape"
        network.load_state_dict(weight_recipe.state(family, SEED, f"steps.{prefix}.", shapes), strict=False)
    for name in ("view", "light"):
        state = {key: tensor(golden[f"{name}_{key}"]) for key in ("mean", "cov")}
        framework.get_submodule(f"{name}_prior").load_state_dict(state)
    framework.losses["perceptual"] = reference_lpips()
    framework.stage = type(framework.stage)(stage)
    return framework, dict(image=image, mask=tensor(golden["input_mask"]), latent=latent)


def unweighted(framework: GAN2Shape, terms: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Loss terms without their weights, by name."""
    return {name: value / framework.losses[name.split("_")[1]].weight for name, value in terms.items()}

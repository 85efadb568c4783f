"""The steps of GAN2Shape end to end against values of the reference."""

from contextlib import contextmanager

import pytest
import torch
from torch.nn.functional import grid_sample

from deep3dmap.evaluation.depth_images import depth_image_errors, eroded
from deep3dmap.frameworks.gan2shape.canonical import Canonical, Light, scaled_views
from deep3dmap.frameworks.gan2shape.framework import LEVELS
from deep3dmap.frameworks.gan2shape.prior import ellipsoid
from deep3dmap.frameworks.gan2shape.pseudo import PseudoDraws
from tests.frameworks.gan2shape.fixture import PERCEPTUAL, PREFIXES, reference_framework, unweighted
from tests.frameworks.gan2shape.undecided import Rasterised
from tests.goldens import read, tensor


class Golden:
    """A fixture's arrays below a prefix, by the rest of their names."""

    def __init__(self, name, prefix=""):
        self.file, self.prefix = read(f"gan2shape/{name}"), prefix

    def __getitem__(self, key):
        return tensor(self.file[self.prefix + key])

    def gradients(self):
        start = f"{self.prefix}grad/"
        return {key.removeprefix(start): tensor(self.file[key]) for key in self.file.files if key.startswith(start)}


def assert_near(actual, expected, tolerance=1e-5):
    torch.testing.assert_close(actual.detach(), expected.view(actual.shape), rtol=1e-4, atol=tolerance)


def assert_map(actual, expected, tolerance=1e-5):
    """A rasterised map, or with a larger ``tolerance`` a picture sampled by one, whose contrast enlarges differences."""
    assert actual.shape == expected.shape
    assert ((actual.detach() - expected).abs() > tolerance).float().mean() <= 0.005


def assert_loss(actual, expected):
    assert float(actual.detach()) == pytest.approx(float(expected), rel=1e-4)


@contextmanager
def in_stage(stage, **options):
    """The fixtures' framework in a stage, and its batch, with LPIPS as they weight it."""
    framework, inputs = reference_framework(stage, **options)
    metric = framework.losses["perceptual"]
    plain, metric.weight_schedule = metric.weight_schedule, lambda progress: PERCEPTUAL
    yield framework, inputs
    metric.weight_schedule = plain


def parameter_of(framework, name):
    """The parameter that a fixture means; ``network.last`` is the last layer."""
    module = framework.get_submodule({prefix: name for name, prefix in PREFIXES.items()}[name.split(".")[0]])
    if ".last." in name:
        return [value for key, value in module.named_parameters() if key.endswith("weight")][-1]
    return module.get_parameter(name.partition(".")[2])


def assert_gradients(framework, golden, total, rasterised):
    """Gradients differ by no more than 5e-4 of their maximum, and what pixels on edges may do."""
    total.backward(retain_graph=True)
    expected = golden.gradients()
    parameters = [parameter_of(framework, name) for name in expected]
    for found, wanted, spread in zip(parameters, expected.values(), rasterised.spread(parameters)):
        assert ((found.grad - wanted).abs() <= 5e-4 * wanted.abs().max() + spread).all()
        assert spread.max() <= 0.1 * wanted.abs().max()


@pytest.mark.parametrize("name, stage", [("step1", "appearance"), ("step1_flip_gt", "mirrored_appearance")])
def test_step_1(name, stage):
    golden, first = Golden(name, f"{name}/"), Golden("step1", "step1/")
    with in_stage(stage) as (framework, inputs):
        rasterised = Rasterised(framework.renderer)
        canonical = framework.canonical(inputs["image"], stage.startswith("mirrored"))
        seen = canonical.seen(framework.renderer, canonical.view, canonical.light)
        assert_near(framework.view(inputs["image"]) + framework.view_prior.mean, golden["view"])
        assert_near(canonical.view, golden["view_trans"])
        assert_near(scaled_views(golden["view"]), golden["view_trans"])
        for key in ("depth", "albedo"):
            assert_near(getattr(canonical, key), golden[key])
        count = len(canonical.depth)
        light = Light.of(canonical.light.expand(count, -1))
        lights = dict(light=canonical.light.expand(count, -1), light_a=light.ambient, light_b=light.diffuse,
                      light_d=light.direction)  # yapf: disable
        for key, actual in lights.items():
            assert_near(actual, golden[key])
        assert_map(seen.depth, golden["recon_depth"])
        assert_map(seen.image, golden["recon_im"], 1e-3)
        assert_near(seen.shading, golden["diffuse_shading"], 1e-4)  # slopes enlarge the rounding of depths; exact ones below
        if name == "step1":
            assert_near(canonical.mask(framework.renderer, inputs["mask"]), first["canon_mask"])
        with rasterised.recording():
            terms = framework(inputs, "loss")
        values = unweighted(framework, terms)
        assert_loss(values["loss_color"], golden["loss_l1_im"])
        assert_loss(values["loss_perceptual"], golden["loss_perc_im"])
        assert_loss(values["loss_smoothness"], golden["loss_smooth"])
        assert_loss(sum(terms.values()), golden["loss_total"])
        assert_gradients(framework, golden, sum(terms.values()), rasterised)


def test_each_map_of_step_1_from_the_references_own():
    golden = Golden("step1", "step1/")
    framework, _ = reference_framework("appearance")
    renderer = framework.renderer
    assert_near(renderer.normals(golden["depth"]), golden["normal"])
    canonical = Canonical(golden["depth"], golden["albedo"], golden["normal"], golden["view_trans"], golden["light"])
    seen = canonical.seen(renderer, canonical.view, canonical.light)
    light = Light.of(golden["light"])
    assert_near(seen.shading, golden["diffuse_shading"])
    assert_near(light.ambient.view(-1, 1, 1, 1) + light.diffuse.view(-1, 1, 1, 1) * seen.shading, golden["shading"])
    assert_near(seen.texture, golden["texture"])
    assert_map(seen.depth, golden["recon_depth"])
    assert_map(seen.origin, golden["grid_2d_from_canon"])
    assert_near(renderer.warped(golden["recon_depth"], golden["view_trans"], inverse=True)[1], golden["grid_2d_from_canon"])
    sampled = grid_sample(golden["texture"], golden["grid_2d_from_canon"], align_corners=True)
    assert_near(sampled.clamp(-1, 1), golden["recon_im"])
    raw = framework.depth(reference_framework("appearance")[1]["image"])[:, 0]
    assert_near(raw, golden["depth_raw"])


def test_errors_of_step_1():
    golden = Golden("step1_flip_gt", "step1_flip_gt/")
    framework, inputs = reference_framework("mirrored_appearance")
    renderer, truth = framework.renderer, Golden("step1_flip_gt")["depth_gt"]
    with torch.no_grad():
        canonical = framework.canonical(inputs["image"], mirrored=True)
        seen = canonical.seen(renderer, canonical.view, canonical.light)
    mask = eroded((truth < truth.max()).float()) * eroded(seen.visible[:1, 0])
    errors = depth_image_errors(seen.depth[:1], truth, mask, renderer.K)
    assert_loss(errors["side"], golden["SIDE"])
    assert_loss(errors["mad"], golden["MAD"])


def test_step_2():
    golden = Golden("step2")
    with in_stage("projection") as (framework, inputs):
        assert_near(framework.projection.center_w, golden["center_w"])
        assert_near(framework.projection.center_h, golden["center_h"])
        assert_near(framework.gan_pictures(inputs["latent"]), golden["gan_im"])
        light = torch.stack([golden["rand_light_dx"], golden["rand_light_dy"]], 1)
        scale = torch.tensor([1.0, framework.pseudo.view_scale, 1.0, 1.0, 1.0, 1.0])
        image, mask = framework.pseudo_samples(inputs, PseudoDraws(light, golden["rand_shift"], golden["view_draws"] * scale))
        assert_map(image, golden["pseudo_im"], 1e-3)
        assert_map(mask, golden["mask"])
        found, offsets = framework.projected(golden["pseudo_im"], inputs)
        assert_near(offsets, golden["offset"])
        assert_near(inputs["latent"] + offsets, golden["latent"])
        assert_map(found, golden["proj_im"], 2e-5)
        terms = framework.projection_losses(inputs, golden["pseudo_im"], golden["mask"])
        values = unweighted(framework, terms)
        for name, key in dict(color="l1", features="rec", latent="latent_norm").items():
            assert_loss(values[f"loss_{name}"], golden[f"loss_{key}"])
        assert_loss(sum(terms.values()), golden["loss_total"])
        assert_gradients(framework, golden, sum(terms.values()), Rasterised(framework.renderer))


def test_the_whole_mapping_network_gives_offsets():
    golden = Golden("step2", "F1_d8/")
    with in_stage("projection", tail=8, relative=False) as (framework, inputs):
        assert_near(framework.projection.center_h, golden["center_h"])
        assert_near(framework.projection.center_w, golden["center_w"])
        offsets = framework.projection.offsets(Golden("step2")["pseudo_im"], inputs["image"])
        assert_near(offsets, golden["offset"])
        assert_near(inputs["latent"] + offsets, golden["latent"])


@pytest.mark.parametrize("name, stage", [("step3", "shape"), ("step3_flip", "mirrored_shape")])
def test_step_3(name, stage):
    golden = Golden(name)
    with in_stage(stage) as (framework, inputs):
        rasterised, images = Rasterised(framework.renderer), golden["proj_im"]
        with torch.no_grad():
            canonical = framework.canonical(inputs["image"], stage.startswith("mirrored"))
            seen = canonical.seen(framework.renderer, framework.views(images), framework.lights(images))
        assert_map(seen.depth, golden["recon_depth"])
        assert_map(seen.image, golden["recon_im"], 1e-3)
        with rasterised.recording():
            terms = framework.shape_losses(inputs, images, golden["mask"])
        values = unweighted(framework, terms)
        assert_loss(values["loss_color_projected"], golden["loss_l1_im"])
        assert_loss(values["loss_perceptual_projected"], golden["loss_perc_im"])
        assert_loss(sum(terms.values()), golden["loss_total"])
        assert_gradients(framework, golden, sum(terms.values()), rasterised)


def test_fitting_the_prior():
    golden = Golden("prior_fit")
    framework, inputs = reference_framework("prior")
    target = ellipsoid(inputs["mask"][0, 0], framework.category)
    assert_near(target[None], golden["ellipsoid"])
    optimizer = torch.optim.Adam(framework.depth.parameters(), 1e-4, weight_decay=5e-4)
    for expected in golden["losses"]:
        with torch.no_grad():
            depth = framework.free_depth(inputs["image"])
        loss = framework(inputs, "loss")["loss_prior"]
        assert_loss(loss, expected)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert_near(depth[None], golden["final_depth"])


def test_the_discriminators_features_are_those_of_the_fixtures():
    golden = Golden("d_features")
    framework, _ = reference_framework("projection")
    features = framework.discriminator.features(golden["x_u8"] / 127.5 - 1, LEVELS)
    assert len(features) == int(golden["n_features_4"])
    for k, each in enumerate(features):
        assert_near(each, golden[f"f4/{k}"])

"""A picture goes through all stages by config, with an untrained GAN of 16 pixels."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from deep3dmap.apis import load_framework
from deep3dmap.datasets import ObjectPictures
from deep3dmap.engine.checkpoint import list_checkpoints
from deep3dmap.engine.part_weights import load_part_weights
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.frameworks import GAN2Shape
from deep3dmap.frameworks.gan2shape.canonical import scaled_views
from deep3dmap.frameworks.gan2shape.latents import STARTS
from deep3dmap.frameworks.gan2shape.pseudo import PseudoRanges, draw
from deep3dmap.registry import FRAMEWORKS
from tests.engine.killing import differences, state, train

SIZE, STYLE = 16, 8
SHAPE = ["depth.*", "albedo.*", "view.*", "light.*"]
STAGES = [("inversion", 2, ["latent"]), ("prior", 2, ["depth.*"]), ("mirrored_appearance", 1, ["albedo.*"]),
          ("views", 1, ["view.*", "light.*"]), ("projection", 2, ["latent_encoder.*"]), ("mirrored_shape", 2, SHAPE),
          ("appearance", 1, ["albedo.*"]),
          ("projection", 1, ["latent_encoder.*"]), ("shape", 2, SHAPE)]  # yapf: disable


def model(**changes):
    gan = dict(size=SIZE, width=8 / 512)
    auto = dict(type="ImageAutoencoder", size=SIZE, width=4, code=8, group=2)
    encoder = dict(type="ImageEncoder", size=SIZE, width=4)
    return dict(
        type="GAN2Shape",
        generator=dict(type="StyleGenerator", style=STYLE, mapping=3, **gan),
        discriminator=dict(type="StyleDiscriminator", **gan),
        depth=dict(outputs=1, tanh=False, **auto), albedo=dict(outputs=3, **auto),
        view=dict(outputs=6, **encoder), light=dict(outputs=4, **encoder),
        latent_encoder=dict(type="ResidualEncoder", outputs=STYLE, size=SIZE, width=4),
        view_prior=dict(type="LearnedGaussian", mean=[0.0] * 6, deviation=[0.1] * 6),
        light_prior=dict(type="LearnedGaussian", mean=[0.0] * 4, deviation=[0.1] * 4),
        samples=2, collected=3, outputs=dict(videos=False), renderer=dict(type="DepthImageRenderer", size=SIZE),
        losses=dict(color=dict(type="MaskedL1Loss"), smoothness=dict(type="SmoothnessLoss", weight=0.01),
                    features=dict(type="FeatureLoss"), latent=dict(type="LatentLoss", weight=0.01)),
        **changes)  # yapf: disable


def config(source, stages=STAGES, lr=1e-3, **changes):
    item = dict(dataset=dict(type="ObjectPictures", source=str(source), size=SIZE), index=0)
    return dict(model=model(**changes),
                train_dataset=dict(type="OneItemBatches", **item),
                test_dataloader=dict(batch_size=1, dataset=dict(type="OneItem", **item)),
                test_evaluator=[dict(type="DepthImageMetrics")],
                optim_wrapper=dict(optimizer=dict(type="Adam", lr=lr), fresh_each_stage=True),
                train_cfg=dict(type="StagedTrainLoop",
                               stages=[dict(name=name, max_steps=steps, params=params) for name, steps, params in stages]),
                default_hooks=dict(checkpoint=dict(steps=1, keep=0, minutes=None)))  # yapf: disable


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A ball of four colours, its mask and its depth."""
    folder = tmp_path_factory.mktemp("pictures")
    y, x = np.mgrid[:SIZE, :SIZE] / (SIZE - 1) * 2 - 1
    inside = x**2 + y**2 < 0.7
    image = np.where(inside[..., None], np.stack([200 + 40 * x, 120 + 60 * y, 90 - 50 * x * y], -1), 30)
    depth = np.where(inside, 0.92 + 0.1 * (x**2 + y**2), 1.1).astype(np.float32)
    for kind in ("image", "mask", "depth"):
        (folder / kind).mkdir()
    Image.fromarray(image.astype(np.uint8)).save(folder / "image" / "ball.png")
    Image.fromarray((inside * 255).astype(np.uint8)).save(folder / "mask" / "ball.png")
    np.save(folder / "depth" / "ball.npy", depth)
    return folder


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(config(pictures), work)
    yield work
    torch.set_num_threads(threads)


@pytest.mark.parametrize("step, within", [(7, 1), (9, 1), (12, 0)])
def test_resumed_within_a_stage_or_after_one_a_run_ends_the_same(step, within, pictures, trained, tmp_path):
    assert step in np.cumsum([steps for _, steps, _ in STAGES]) - within
    train(config(pictures), tmp_path, resume=str(trained / "checkpoints" / f"step_{step:08d}.pth"))
    assert not list(differences(state(tmp_path), state(trained)))


def test_what_a_stage_does_not_train_stays(trained):
    states = [torch.load(path, weights_only=True)["state_dict"] for path in list_checkpoints(trained)]
    start = 0
    for _, steps, params in STAGES[1:]:
        start, before = start + steps, states[start + STAGES[0][1] - 1]
        after = states[start + STAGES[0][1] - 1]
        changed = {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
        assert changed == {param.split(".")[0] for param in params}


def test_the_trained_framework_gives_mesh_pictures_and_depth(pictures, trained):
    framework = load_framework(trained, "cpu")
    item = ObjectPictures(str(pictures), SIZE)[0]
    found, = framework.reconstruct(item)
    assert found.name == "ball" and len(found.mesh.vertices) == SIZE**2
    assert set(found.files) == {"mesh.glb"} and found.mesh.vertices[:, 1].argmax() < SIZE  # the top row is up
    assert found.images["rgb"].shape == found.images["albedo"].shape == found.images["turned_0"].shape == (SIZE, SIZE, 3)
    depth, visible = found.arrays["depth"], found.arrays["visible"] > 0
    renderer = framework.renderer
    assert depth[visible].min() >= 0.8 and depth[visible].max() < renderer.background
    alone, = framework.reconstruct(dict(name=["ball"], image=item["image"][None]), 0)
    assert alone.mesh is None and torch.equal(alone.arrays["depth"], depth)


def test_appearance_and_prior_learn(pictures, tmp_path):
    framework = GAN2Shape(**{key: value for key, value in model().items() if key != "type"})
    item = ObjectPictures(str(pictures), SIZE)[0]
    inputs = {key: value[None] for key, value in item.items() if key != "name"}
    for stage, part in (("prior", framework.depth), ("appearance", framework.albedo)):
        framework.stage = type(framework.stage)(stage)
        optimizer, losses = torch.optim.Adam(part.parameters(), 1e-2), []
        for _ in range(30):
            loss, _ = framework.parse_losses(framework(inputs, "loss"))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < 0.7 * losses[0]


def test_views_and_lights_are_compared_with_those_that_were_drawn(pictures, monkeypatch):
    torch.manual_seed(0)
    framework = GAN2Shape(**{key: value for key, value in model().items() if key != "type"})
    inputs = {key: value[None] for key, value in ObjectPictures(str(pictures), SIZE)[0].items() if key != "name"}
    canonical = framework.canonical(inputs["image"])
    torch.manual_seed(7)
    draws = draw(framework.samples, framework.view_prior, framework.pseudo)
    ambient, diffuse = (canonical.light[0, k] / 2 + 0.5 for k in (0, 1))  # as brightness
    ambient, diffuse = ambient + framework.pseudo.ambient * draws.gain, diffuse + draws.gain
    lights = torch.stack([2 * ambient - 1, 2 * diffuse - 1, *draws.light.unbind(1)], 1)
    found = dict(views=torch.cat([scaled_views(draws.views), canonical.view]), lights=torch.cat([lights, canonical.light]))
    framework.stage = type(framework.stage)("views")
    framework._canonical_and_mask(inputs)
    for name, error in dict(views=0.2, lights=0.5).items():
        off = error * torch.tensor([[1.0]] * framework.samples + [[2.0]])  # the picture itself counts as much as all samples
        monkeypatch.setattr(framework, name, lambda images, found=found[name] + off: found)
    torch.manual_seed(7)
    terms = framework(inputs, "loss")
    wanted = dict(loss_view=0.04 + 0.16, loss_light=0.25 + 1)
    assert {key: float(value.detach()) for key, value in terms.items()} == pytest.approx(wanted, rel=1e-3)


def test_relief_is_held_while_the_shape_is_fitted(pictures):
    parts = model()
    parts["losses"]["relief"] = dict(type="ReliefLoss", deviation=0.01, margin=1)
    torch.manual_seed(0)
    framework = GAN2Shape(**{key: value for key, value in parts.items() if key != "type"})
    framework.latent.data += 0.1
    inputs = {key: value[None] for key, value in ObjectPictures(str(pictures), SIZE)[0].items() if key != "name"}
    for stage, held in (("appearance", False), ("shape", True), ("mirrored_shape", True)):
        framework.stage = type(framework.stage)(stage)
        terms = framework(inputs, "loss")
        assert ("loss_relief" in terms) == held
    gradient, = torch.autograd.grad(terms["loss_relief"], framework.depth.parameters(), allow_unused=True)[:1]
    assert bool(gradient.any())


def test_an_inversion_begins_at_the_nearest_of_many_styles(pictures):
    torch.manual_seed(0)
    framework = GAN2Shape(**{key: value for key, value in model().items() if key != "type"})
    framework.stage = type(framework.stage)("inversion")
    z = torch.randn(STARTS, STYLE, generator=torch.Generator().manual_seed(0))
    hidden = framework.generator.style(z[STARTS // 3][None])
    with torch.no_grad():
        image = framework.gan_pictures(hidden)
        framework(dict(image=image), "loss")
        torch.testing.assert_close(framework.latent.data, hidden)
        framework.latent.data = framework.latent + 1
        framework(dict(image=image), "loss")
    torch.testing.assert_close(framework.latent.data, hidden + 1)  # a start is chosen once


def test_pseudo_samples_stay_within_their_ranges(pictures):
    torch.manual_seed(0)
    framework = GAN2Shape(**{key: value for key, value in model().items() if key != "type"})
    ranges = PseudoRanges(light_x=(-0.5, 0.5), light_y=(0.0, 0.2), gain=(0.1, 0.3), view_scale=3.0)
    draws = draw(2000, framework.view_prior, ranges)
    limits = dict(zip((draws.light[:, 0], draws.light[:, 1], draws.gain), (ranges.light_x, ranges.light_y, ranges.gain)))
    for numbers, (least, most) in limits.items():
        assert least <= numbers.min() < least + 0.02 and most - 0.02 < numbers.max() <= most
    deviation = framework.view_prior.cov.diag().sqrt() * torch.tensor([1, 3.0, 1, 1, 1, 1])
    torch.testing.assert_close(draws.views.std(0), deviation, rtol=0.1, atol=0)


def test_a_gaussian_draws_what_its_file_says():
    torch.manual_seed(0)
    factor = torch.tensor([[1.0, 0.0], [0.8, 0.3]])
    view, _ = (GAN2Shape(**{key: value for key, value in model().items() if key != "type"}).view_prior, None)
    gaussian = type(view)([0.0] * 2, [1.0] * 2)
    gaussian.load_state_dict(dict(mean=torch.tensor([1.0, -2.0]), cov=factor @ factor.T))
    drawn = gaussian.sample(20_000)
    torch.testing.assert_close(drawn.mean(0), gaussian.mean, rtol=0, atol=0.03)
    torch.testing.assert_close(drawn.T.cov(), gaussian.cov, rtol=0, atol=0.04)
    gaussian.cov.fill_(1.0)
    with pytest.raises(ConfigError, match="not positive definite"):
        gaussian.sample(1)


def test_what_cannot_work_is_refused(pictures):
    parts = {key: value for key, value in model().items() if key != "type"}
    with pytest.raises(ConfigError, match="no loss 'colour'.*'color'"):
        GAN2Shape(**parts | dict(losses=dict(colour=dict(type="MaskedL1Loss"))))
    with pytest.raises(ConfigError, match="tail=4: the generator's mapping network has 3 layers"):
        GAN2Shape(**parts, tail=4)
    with pytest.raises(ConfigError, match="pseudo: unknown key 'lights'"):
        GAN2Shape(**parts, pseudo=dict(lights=1))
    framework = GAN2Shape(**parts)
    framework.stage = type(framework.stage)("projection")
    with pytest.raises(ConfigError, match="begin with a stage 'inversion'"):
        framework(dict(image=torch.zeros(1, 3, SIZE, SIZE)), "loss")
    with pytest.raises(DataError, match=r"one picture \(1, 3, 16, 16\) a run .*\(2, 3, 16, 16\)"):
        framework(dict(image=torch.zeros(2, 3, SIZE, SIZE)), "loss")
    framework.stage = type(framework.stage)("prior")
    with pytest.raises(DataError, match="mask has 0 pixels"):
        framework(dict(image=torch.zeros(1, 3, SIZE, SIZE), mask=torch.zeros(1, 1, SIZE, SIZE)), "loss")


def test_published_files_and_gaussians_are_read_by_config(tmp_path):
    published = GAN2Shape(**{key: value for key, value in model().items() if key != "type"})
    torch.save(dict(netD=published.depth.state_dict(), netA=published.albedo.state_dict(), iteration=7), tmp_path / "nets.pth")
    torch.save(dict(mean=torch.arange(4.0), cov=torch.eye(4)), tmp_path / "light.pth")
    parts = {key: dict(value) if isinstance(value, dict) else value for key, value in model().items()}
    parts["depth"]["weights"] = dict(path=str(tmp_path / "nets.pth"), prefix="netD.")
    parts["light_prior"]["weights"] = dict(path=str(tmp_path / "light.pth"))
    framework = FRAMEWORKS.build(parts)
    load_part_weights(framework, parts)
    assert all(map(torch.equal, framework.depth.state_dict().values(), published.depth.state_dict().values()))
    assert framework.light_prior.mean.tolist() == [0, 1, 2, 3]


def test_pictures_are_cropped_and_resized_with_what_belongs_to_them(pictures, tmp_path):
    half, plain = ObjectPictures(str(pictures), SIZE // 2), ObjectPictures(str(pictures), SIZE)[0]
    for key, channels in dict(image=(3, ), mask=(1, ), depth=()).items():
        assert half[0][key].shape == (*channels, SIZE // 2, SIZE // 2)
    middle = ObjectPictures(str(pictures), 8, crop=8)[0]
    for key in ("image", "mask", "depth"):
        assert torch.equal(middle[key], plain[key][..., 4:12, 4:12])
    alone = ObjectPictures(str(pictures / "image" / "ball.png"), SIZE)[0]
    assert set(alone) == {"name", "image"} and torch.equal(alone["image"], plain["image"])
    with pytest.raises(DataError, match="ball.png: has 16x16 pixels, fewer than crop=20"):
        ObjectPictures(str(pictures), SIZE, crop=20)[0]
    with pytest.raises(DataError, match="ball.png: has 16x16 pixels, fewer than size=17"):
        ObjectPictures(str(pictures), SIZE + 1)[0]
    with pytest.raises(DataError, match="no pictures in this folder"):
        ObjectPictures(str(pictures / "depth"), SIZE)


def test_latents_and_masks_of_another_size(pictures, tmp_path):
    shutil.copytree(pictures, tmp_path / "own")
    (tmp_path / "own" / "latent").mkdir()
    torch.save(dict(latent=torch.ones(1, STYLE)), tmp_path / "own" / "latent" / "ball.pt")
    assert ObjectPictures(str(tmp_path / "own"), SIZE)[0]["latent"].tolist() == [1.0] * STYLE
    (tmp_path / "own" / "latent" / "ball.pt").write_bytes(b"none")
    with pytest.raises(DataError, match="ball.pt: can't be read as an array of floats"):
        ObjectPictures(str(tmp_path / "own"), SIZE)[0]
    Image.fromarray(np.zeros((8, 16), np.uint8)).save(tmp_path / "own" / "mask" / "ball.png")
    with pytest.raises(DataError, match="mask/ball.png: has 16x8 pixels, but its picture 16x16"):
        ObjectPictures(str(tmp_path / "own"), SIZE)[0]

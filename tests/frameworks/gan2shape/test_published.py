"""The published settings: networks of the authors' sizes, and their schedules."""

import json

import pytest

from deep3dmap.apis.own_gan import without_missing_files
from deep3dmap.engine.config import load_config
from deep3dmap.frameworks.gan2shape.published import PUBLISHED
from deep3dmap.registry import FRAMEWORKS
from tests.goldens import FOLDER
from tests.test_configs import ROOT

MANIFEST = json.loads((FOLDER / "gan2shape" / "manifest.json").read_text())
#: Rounds; steps of the first one and of later ones; pictures in a step; batches collected; mask; layers; limits of lights;
#: rounds whose first step, and whose third, is mirrored; whether it starts from networks that are trained.
FACES = dict(x=(-1, 1), y=(-0.2, 0.8), gain=(-0.1, 0.6), ambient=-0.6)
SYNFACES = dict(x=(-0.9, 0.9), y=(-0.3, 0.8), gain=(-0.1, 0.7), ambient=-0.4)
ONE, LATER, MANY = (600, 600, 400), (200, 500, 300), (1500, 1500, 1500)
SETTINGS = {
    "celeba": (4, ONE, LATER, 16, 100, False, 2, FACES, (), (0, ), True),
    "cat": (4, ONE, LATER, 16, 100, False, 2, FACES, (), (0, ), True),
    "car": (4, (700, 700, 600), (200, 500, 400), 8, 100, True, 2, FACES, (), (), False),
    "church": (4, (700, 700, 600), (200, 500, 400), 8, 100, True, 2, FACES, (), (), False),
    "synface": (1, (500, 500, 200), (), 16, 100, False, 8, SYNFACES, (), (0, ), True),
    "celeba_pretrain": (4, MANY, (700, 1000, 1000), 8, 800, False, 2, FACES, range(1, 4), range(4), False),
    "cat_pretrain": (4, MANY, (700, 1000, 1000), 8, 800, False, 2, FACES, range(1, 4), range(4), False),
    "synface_pretrain": (8, MANY, (700, 1000, 1000), 12, 1000, False, 8, SYNFACES, range(1, 8), range(8), False),
}


def config(name):
    return load_config(ROOT / "gan2shape" / f"{name}.py")


@pytest.mark.parametrize("name", MANIFEST["configs"])
def test_networks_have_the_authors_names_and_sizes(name):
    expected = MANIFEST["configs"][name]
    networks = expected["networks"]
    if isinstance(networks, str):  # "as celeba"
        networks = MANIFEST["configs"][networks.split()[-1]]["networks"]
    framework = FRAMEWORKS.build(config(name).model.to_dict())
    for theirs, shapes in networks.items():
        ours = framework.get_submodule(PUBLISHED[theirs]).state_dict()
        assert {key: list(value.shape) for key, value in ours.items()} == shapes
    assert framework.renderer.size == expected["image_size"]
    assert framework.generator.size == framework.discriminator.size == expected["gan_size"]
    cfg = config(name).model
    assert cfg.generator.multiplier == cfg.discriminator.multiplier == expected["channel_multiplier"]


@pytest.mark.parametrize("name", SETTINGS)
def test_schedules_and_settings_are_the_published_ones(name):
    rounds, first, later, samples, collected, masked, tail, light, step1, step3, trained = SETTINGS[name]
    cfg = config(name)
    expected = [(mirrored * "mirrored_" + step, steps)
                for k in range(rounds)
                for step, steps, mirrored in zip(("appearance", "projection", "shape"), later if k else first,
                                                 (k in step1, False, k in step3))]  # yapf: disable
    stages = [(stage.name, stage.max_steps) for stage in cfg.train_cfg.stages]
    prior = stages.index(("prior", 0 if trained else 1000))
    assert stages[prior + 1:] == expected and stages[:prior] in ([], [("inversion", 1000)])
    model = cfg.model
    assert (model.samples, model.collected, model.masked) == (samples, collected, masked)
    assert (model.get("tail", 2), model.get("relative", True)) == (tail, not masked)
    pseudo = dict(x=model.pseudo.light_x, y=model.pseudo.light_y, gain=model.pseudo.gain, ambient=model.pseudo.ambient)
    assert pseudo == light and model.pseudo.view_scale == (1.0 if masked else 1.2)
    weights = {key: each.weight for key, each in model.losses.items() if "weight" in each}
    assert weights == dict(perceptual=0.5, smoothness=0.01, latent=0.01)
    assert bool(model.get("weights")) == trained and model.get("joint", False) == ("pretrain" in name)
    assert ("instances" in cfg) != ("train_dataset" in cfg)
    assert model.get("prior_far", 1.02) == (1.0 if name == "church" else 1.02)
    picture = (cfg.instances if "instances" in cfg else cfg.train_dataset).dataset
    assert (picture.size, picture.get("crop")) == (model.renderer.size, model.crop[1] if "crop" in model else None)
    assert ("crop" in model) == name.startswith(("cat", "synface"))
    assert cfg.optim_wrapper.fresh_each_stage
    assert cfg.optim_wrapper.optimizer == dict(type="Adam", lr=1e-4, weight_decay=5e-4)


def test_a_loss_of_a_published_config_can_be_left_out():
    cfg = load_config(ROOT / "gan2shape" / "synface.py", {"model.losses.perceptual": None})
    assert list(FRAMEWORKS.build(cfg.model.to_dict()).losses) == ["color", "smoothness", "features", "latent"]


def test_ones_own_gan_does_without_the_other_published_files(tmp_path):
    cfg = config("cat")
    (tmp_path / "light.pth").touch()
    cfg.model.light_prior.weights.path = str(tmp_path / "light.pth")
    assert without_missing_files(cfg) == [
        "data/gan2shape/cat_pretrain.pth (networks)", "data/gan2shape/cat_view_mvn.pth (view_prior)",
        "data/vgg16-397923af.pth (losses.perceptual)"
    ]
    assert cfg.model.weights is None and cfg.model.view_prior.weights is None and cfg.model.losses.perceptual is None
    assert cfg.model.light_prior.weights.path == str(tmp_path / "light.pth") and cfg.model.generator.weights
    assert [stage.max_steps for stage in cfg.train_cfg.stages if stage.name == "prior"] == [1000]
    FRAMEWORKS.build(cfg.model.to_dict())

"""From pictures to files by GAN2Shape, one run each, with a tiny untrained GAN: the package's, and a user's own."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deep3dmap.apis import instances, reconstruct
from deep3dmap.apis.own_gan import OwnGAN
from deep3dmap.apis.reconstruct import _config_path
from deep3dmap.engine.checkpoint import find_checkpoint, load_checkpoint
from deep3dmap.engine.config import load_config
from deep3dmap.engine.part_weights import load_part_weights
from deep3dmap.errors import CheckpointError, ConfigError, TrainingError
from deep3dmap.frameworks.cards import find_card
from deep3dmap.io import packages
from deep3dmap.io.mesh_files import load_mesh
from deep3dmap.registry import FRAMEWORKS
from tests.engine.killing import Forking
from tests.frameworks.gan2shape.test_training import SIZE, STYLE, model

FILMS = {f"{name}{kind}.mp4" for name in ("yaw", "pitch", "lights") for kind in ("", "_gan")}
STAGES = [("inversion", 2, ["latent"]), ("projection", 1, ["latent_encoder.*"]), ("shape", 1, ["depth.*", "albedo.*"])]


@pytest.fixture(scope="module", autouse=True)
def forked_runs():
    """Runs are forks of this process, in one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deep3dmap.io.workers._context", lambda function: Forking())
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def gan(tmp_path_factory) -> Path:
    """A published file of a GAN that fits."""
    parts, folder = model(), tmp_path_factory.mktemp("gan")
    torch.manual_seed(3)
    found = FRAMEWORKS.build(dict(type="StyleGAN2", generator=parts["generator"], discriminator=parts["discriminator"]))
    torch.save(dict(g_ema=found.generator.state_dict(), d=found.discriminator.state_dict()), folder / "own.pt")
    return folder / "own.pt"


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    values = dict(model=model() | dict(outputs=dict(frames=3)),
                  instances=dict(dataset=dict(type="AlignedPhotos", source="", size=SIZE, detector="none"), workers=1),
                  optim_wrapper=dict(optimizer=dict(type="Adam", lr=1e-3), fresh_each_stage=True),
                  train_cfg=dict(type="StagedTrainLoop",
                                 stages=[dict(name=name, max_steps=steps, params=params) for name, steps, params in STAGES]),
                  default_hooks=dict(pictures=None))  # yapf: disable
    path = tmp_path_factory.mktemp("config") / "tiny.json"
    path.write_text(json.dumps(values))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(1)
    for name, side in (("ann", 40), ("bob", 30), ("small", 8)):
        Image.fromarray(random.integers(0, 256, (side, side + 4, 3), np.uint8)).save(folder / f"{name}.png")
    return folder


def run(source, output, config, **options):
    lines = []
    result = reconstruct(source, output, method="gan2shape", config=config, log=lines.append, device="cpu", **options)
    return result, "\n".join(lines)


@pytest.fixture(scope="module")
def made(folder, config, gan, tmp_path_factory):
    output = tmp_path_factory.mktemp("results") / "out"
    return output, *run(folder, output, config, gan=gan)


def test_every_picture_has_its_run_and_its_files(made):
    output, result, log = made
    assert [each.name for each in result.items] == ["ann", "bob"] and "2/2 bob: 4 steps" in log
    for name in ("ann", "bob"):
        place = output / "items" / name
        names = {path.name for path in place.iterdir()}
        assert FILMS | {"mesh.glb", "mesh.ply", "albedo.png", "depth.png", "normals.png", "canonical.png", "input.png",
                        "inverted.png", "arrays.npz"} <= names  # yapf: disable
        assert len(load_mesh(place / "mesh.glb").faces) == 2 * (SIZE - 1)**2
        assert json.loads((output / "run" / "instances" / name / "finished.json").read_text())["steps"] == 4
    assert any("small.png: the square" in note for note in json.loads((output / "metrics.json").read_text())["notes"])


def test_the_report_shows_pictures_and_videos(made):
    report = (made[0] / "report.html").read_text()
    assert report.count("<video") == 2 * len(FILMS) and report.count("lights_gan</figcaption>") == 2
    assert all(f"inverted of {name}" in report and f'href="items/{name}/mesh.glb"' in report for name in ("ann", "bob"))


def test_the_users_gan_is_the_one_that_is_used(made, gan):
    state = load_checkpoint(find_checkpoint(made[0] / "run" / "instances" / "ann"))["state_dict"]
    again = OwnGAN.read(made[0] / "run" / "gan.pth").state  # a checkpoint of our own, and where the runs' discriminator is
    for part, key, found in (("generator", "g_ema", state), ("generator", "g_ema", again), ("discriminator", "d", again)):
        published = torch.load(gan, weights_only=True)[key]
        assert all(torch.equal(found[f"{part}.{name}"], value) for name, value in published.items())


def test_finished_pictures_are_not_trained_again(made, folder, config, gan):
    output = made[0]
    stamps = [path.stat().st_mtime_ns for path in (output / "run").rglob("finished.json")]
    (output / "run" / "instances" / "bob" / "finished.json").unlink()
    _, log = run(folder, output, config, gan=gan, resume=True)
    assert "1/1 bob" in log and "ann:" not in log
    assert len(set(stamps) & {path.stat().st_mtime_ns for path in (output / "run").rglob("finished.json")}) == 1


def test_pictures_share_the_minutes_also_if_they_are_no_multiple_of_the_workers(folder, config, tmp_path, monkeypatch):
    tasks = []
    monkeypatch.setattr(instances, "run_tasks", lambda function, given, *others, **options: tasks.extend(given) or [])
    cfg = load_config(config, {"instances.dataset.source": str(folder), "instances.dataset.size": 8})
    for workers in (1, 2, 3):
        cfg.instances.workers = workers
        instances.train_instances(cfg, tmp_path, False, {}, print, 60.0)
        assert [task["seconds"] for task in tasks] == [60 / math.ceil(3 / workers)] * 3
        tasks.clear()


def test_a_run_that_fails_is_an_error_after_the_others_are_shown(folder, config, tmp_path, monkeypatch):
    evaluated, module = [], sys.modules[reconstruct.__module__]
    monkeypatch.setattr(module, "train_instances",
                        lambda cfg, place, *others: instances.InstanceRuns(place, ["ann", "bob"], {"bob": "no luck"}))
    monkeypatch.setattr(module, "evaluate_instances",
                        lambda cfg, place, given, left: evaluated.append(list(left)) or instances.TestResult())
    with pytest.raises(TrainingError, match="bob failed: no luck"):
        run(folder, tmp_path / "out", config)
    assert evaluated == [["bob"]]
    assert "bob failed: no luck" in json.loads((tmp_path / "out" / "metrics.json").read_text())["notes"]


def test_a_gan_that_does_not_fit_is_refused(folder, config, gan, tmp_path):
    other = load_config(config)
    other.model.generator.style = STYLE + 1
    with pytest.raises(ConfigError, match=rf"own.pt: its generator has .*style={STYLE}, .* but that of .*style={STYLE + 1}"):
        OwnGAN.read(gan).put_into(other, tmp_path / "gan.pth")
    with pytest.raises(ConfigError, match="size=16.*size=32"):
        run(folder, tmp_path / "out", config, gan=gan, options={"model.discriminator.size": 32, "model.generator.size": 32})
    with pytest.raises(ConfigError, match="--gan: .*hull.* with a GAN"):
        reconstruct("nothing", tmp_path / "out", method="hull", gan=gan)
    alone = tmp_path / "alone.pt"
    torch.save(dict(g_ema=torch.load(gan, weights_only=True)["g_ema"]), alone)
    with pytest.raises(CheckpointError, match="alone.pt: has no discriminator"):
        run(folder, tmp_path / "out", config, gan=alone)
    with pytest.raises(ConfigError, match="--weights: GAN2Shape is trained on each picture anew, and --gan names its GAN"):
        run(folder, tmp_path / "out", config, weights=gan)
    assert not (tmp_path / "out").exists()


def test_a_config_of_the_method_is_found_by_its_name():
    card = find_card("gan2shape", "your_own")
    assert _config_path("small", "gan2shape") == Path(card.your_own).with_name("small.py")
    assert _config_path("configs/idr/your_own.py", "gan2shape") == Path("configs/idr/your_own.py")
    assert _config_path("smal", "gan2shape") == Path("smal") and _config_path("small.py", "nothing") == Path("small.py")


def test_weights_that_come_with_the_package_are_named_by_zoo(tmp_path, monkeypatch):
    parts = {key: dict(value) if isinstance(value, dict) else value for key, value in model().items()}
    parts["generator"]["weights"] = dict(path="zoo:tiny", prefix="generator.")
    framework = FRAMEWORKS.build(parts)
    with pytest.raises(ConfigError, match=r"model.generator.weights: zoo:tiny: .* no such weights: .*faces_64"):
        load_part_weights(framework, parts)
    monkeypatch.setattr(packages, "ZOO", dict(tiny="assets/tiny.pth"))
    monkeypatch.setattr(packages, "PACKAGE", tmp_path)
    with pytest.raises(ConfigError, match=r"zoo:tiny: .*assets.tiny.pth is missing"):
        load_part_weights(framework, parts)
    (tmp_path / "assets").mkdir()
    wanted = {f"generator.{name}": torch.full_like(value, 0.5) for name, value in framework.generator.state_dict().items()}
    torch.save(dict(state_dict=wanted), tmp_path / "assets" / "tiny.pth")
    load_part_weights(framework, parts)
    assert all((value == 0.5).all() for value in framework.generator.state_dict().values())


def test_within_given_minutes_every_stage_has_its_part_of_what_is_left():
    stages = [dict(name="a", max_steps=30), dict(name="b", max_minutes=1), dict(name="c", max_steps=0),
              dict(name="d", max_steps=10, max_share=0.9), dict(name="e", max_steps=20)]  # yapf: disable
    assert [stage.get("max_share") for stage in instances.sharing_time(stages)] == [0.5, None, None, 0.9, 1]
    assert [stage["name"] for stage in instances.sharing_time(stages)] == list("abcde") and "max_share" not in stages[0]

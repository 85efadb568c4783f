"""Joint training on several pictures, that of each by itself from its networks, and what checkpoints leave out."""

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from deep3dmap.apis import load_framework
from deep3dmap.apis.instances import train_instances
from deep3dmap.datasets import EachItemBatches
from deep3dmap.engine.checkpoint import list_checkpoints, load_checkpoint
from deep3dmap.engine.config import Config
from deep3dmap.engine.part_weights import load_part_weights
from deep3dmap.errors import CheckpointError, ConfigError, DataError
from deep3dmap.frameworks.gan2shape.published import PUBLISHED
from deep3dmap.registry import FRAMEWORKS
from tests.engine.killing import differences, forked_ranks, state, train
from tests.frameworks.gan2shape.test_training import SHAPE, SIZE, config, model
from tests.lpips_fixture import reference_lpips

NAMES = ("ball", "cube", "egg")
SPARSE = dict(optimizer=dict(type="SparseAdam", lr=0.02))
STAGES = [dict(name="inversion", max_steps=4, params=["latent"], optim_wrapper=SPARSE),
          dict(name="prior", max_steps=1, params=["depth.*"]),
          dict(name="appearance", max_steps=2, params=["albedo.*"]),
          dict(name="projection", max_steps=3, params=["latent_encoder.*"]),
          dict(name="mirrored_shape", max_steps=4, params=SHAPE),
          dict(name="projection", max_steps=1, params=["latent_encoder.*"]),
          dict(name="shape", max_steps=1, params=SHAPE)]  # yapf: disable


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Plain pictures of three colours."""
    folder = tmp_path_factory.mktemp("pictures")
    for k, name in enumerate(NAMES):
        Image.fromarray(np.full((SIZE, SIZE, 3), (200 - 80 * k, 90 + 50 * k, 60), np.uint8)).save(folder / f"{name}.png")
    return folder


def joint(pictures, steps=1):
    """A joint run, which writes a checkpoint at every so many steps."""
    found = config(pictures, joint=True)
    found["model"]["collected"] = 5
    return found | dict(train_dataset=dict(type="EachItemBatches", dataset=found["train_dataset"]["dataset"]),
                        train_cfg=dict(type="StagedTrainLoop", stages=STAGES),
                        default_hooks=dict(checkpoint=dict(steps=steps, keep=0, minutes=None)))  # yapf: disable


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    work = tmp_path_factory.mktemp("joint")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(joint(pictures), work)
    yield work
    torch.set_num_threads(threads)


def checkpoint(work, step):
    return work / "checkpoints" / f"step_{step:08d}.pth"


def test_a_step_of_the_inversion_moves_the_latent_of_its_picture_alone(pictures, trained):
    latents = [load_checkpoint(checkpoint(trained, step))["state_dict"]["latent"] for step in range(1, 5)]
    framework = load_framework(trained, "cpu")
    data = EachItemBatches(dict(type="ObjectPictures", source=str(pictures), size=SIZE))
    start = torch.cat([framework._nearest_style(batch["image"]) for batch in data.share()])
    moved = [(after != before).any(1).tolist() for before, after in zip([start, *latents], latents)]
    assert all(sum(rows) == 1 for rows in moved)
    assert {rows.index(True) for rows in moved[:3]} == {0, 1, 2}


def test_every_picture_has_its_pool_from_before_the_first_shape_step(trained):
    first, later = (load_checkpoint(checkpoint(trained, step))["loop"]["training"]["pool"] for step in (11, 14))
    assert set(first) == set(NAMES) and not list(differences(first, later))
    batches = 2  # of the 5 collected ones for three pictures
    for images, masks in first.values():
        assert images.shape == (2 * batches, 3, SIZE, SIZE) and masks.shape == (2 * batches, 1, SIZE, SIZE)
    assert not load_checkpoint(checkpoint(trained, 15))["loop"]["training"]["pool"]


@pytest.mark.parametrize("step", [2, 6, 10, 12])
def test_resumed_in_any_stage_a_joint_run_ends_the_same(step, pictures, trained, tmp_path):
    train(joint(pictures, 100), tmp_path, resume=str(checkpoint(trained, step)))
    assert not list(differences(state(tmp_path), state(trained)))


def test_other_pictures_are_refused_when_it_is_resumed(pictures, trained, tmp_path):
    framework = load_framework(trained, "cpu")
    saved = load_checkpoint(list_checkpoints(trained)[-1])["loop"]["training"]
    with pytest.raises(DataError, match="with the same pictures in the same order; egg was added, removed or moved"):
        framework.load_training_state(dict(saved, names=saved["names"][:2]))
    assert framework.knows_latent(dict(name=["egg"])) and not framework.knows_latent(dict(name=["tree"]))
    with pytest.raises(ConfigError, match="begin with a stage 'inversion'"):
        framework.latent_of(dict(image=torch.zeros(1, 3, SIZE, SIZE)))
    with pytest.raises(ConfigError, match="joint=True needs train_dataset=dict.type='EachItemBatches'"):
        framework.setup({})


def test_two_processes_share_the_pictures_and_resume_to_the_same_networks(pictures, tmp_path):
    run = partial(train, joint(pictures), launcher="pytorch")
    codes, text = forked_ranks(2, partial(run, tmp_path / "whole"),
                               partial(run, tmp_path / "resumed", resume=str(checkpoint(tmp_path / "whole", 12))))
    assert not any(codes), text
    loop = load_checkpoint(checkpoint(tmp_path / "whole", 12))["loop"]
    shares = [set(each["pool"]) for each in (loop["training"], *loop["training_of_others"])]
    assert shares == [{NAMES[0], NAMES[2]}, {NAMES[1]}]
    assert not list(differences(state(tmp_path / "resumed"), state(tmp_path / "whole")))


def test_the_networks_of_a_joint_run_or_of_the_authors_are_a_start(trained, tmp_path):
    source = list_checkpoints(trained)[-1]
    weights = load_checkpoint(source)["state_dict"]
    authors = {there: {name.partition(".")[2]: value for name, value in weights.items() if name.startswith(f"{here}.")}
               for there, here in PUBLISHED.items()}  # yapf: disable
    torch.save(authors | dict(optimizerA=dict(state={}), iteration=3), tmp_path / "authors.pth")
    del authors["netL"]
    torch.save(authors, tmp_path / "short.pth")
    for path in (source, tmp_path / "authors.pth"):
        parts = model(weights=dict(path=str(path)))
        framework = FRAMEWORKS.build(parts)
        before = framework.state_dict()["generator.input.input"].clone()
        load_part_weights(framework, parts)
        for name, value in framework.state_dict().items():
            assert name.split(".")[0] not in PUBLISHED.values() or torch.equal(value, weights[name])
        assert torch.equal(framework.generator.input.input, before) and len(framework.latent) == 1
    with pytest.raises(CheckpointError, match=r"short.pth: its weights don't fit .* missing \['light.network"):
        load_part_weights(framework, model(weights=dict(path=str(tmp_path / "short.pth"))))


def test_what_is_in_files_of_its_own_is_in_no_checkpoint_and_read_again(pictures, tmp_path):
    made = config(pictures / "ball.png", [("inversion", 2, ["latent"])])
    gan = FRAMEWORKS.build(model()).discriminator.state_dict()
    torch.save(gan, tmp_path / "gan.pth")
    made["model"]["discriminator"]["weights"] = dict(path=str(tmp_path / "gan.pth"))
    made["model"]["losses"]["perceptual"] = dict(type="LPIPS", weights=dict(path=str(tmp_path / "vgg.pth")))
    torch.save(reference_lpips().state_dict(), tmp_path / "vgg.pth")
    train(made, tmp_path / "whole")
    names = load_checkpoint(checkpoint(tmp_path / "whole", 1))["state_dict"]
    assert {name.split(".")[0] for name in names} >= {"generator", "latent"}
    assert not any(name.startswith(("discriminator", "losses")) for name in names)
    runner = train(made, tmp_path / "resumed", resume=str(checkpoint(tmp_path / "whole", 1)))
    assert all(map(torch.equal, runner.framework.discriminator.state_dict().values(), gan.values()))
    assert runner.framework.losses["perceptual"].net.slice1[0].weight.any()
    assert not list(differences(state(tmp_path / "resumed"), state(tmp_path / "whole")))
    (tmp_path / "gan.pth").unlink()
    with pytest.raises(CheckpointError, match="gan.pth: no such checkpoint"):
        train(made, tmp_path / "again", resume=str(checkpoint(tmp_path / "whole", 1)))


def test_each_pass_shows_a_process_all_its_items_in_another_order(pictures):
    data = EachItemBatches(dict(type="ObjectPictures", source=str(pictures), size=SIZE))
    data.set_seed(3)
    draw = torch.Generator()
    shown = [[data.batch(step, draw, rank, 2)["name"][0] for step in range(24)] for rank in (0, 1)]
    passes = [tuple(shown[0][k:k + 2]) for k in range(0, 24, 2)]
    assert all(set(each) == {NAMES[0], NAMES[2]} for each in passes) and len(set(passes)) == 2
    assert set(shown[1]) == {NAMES[1]}
    assert [batch["name"] for batch in data.share(0, 2)] == [[NAMES[0]], [NAMES[2]]]
    with pytest.raises(DataError, match="3 items can't be shared by 4 processes"):
        data.batch(0, draw, 3, 4)


def test_items_of_one_name_are_refused(pictures, tmp_path):
    for name in ("ball.png", "ball.jpg"):
        Image.open(pictures / "ball.png").save(tmp_path / name)
    with pytest.raises(DataError, match="several items are named 'ball'"):
        EachItemBatches(dict(type="ObjectPictures", source=str(tmp_path), size=SIZE))


def test_processes_share_a_list_of_independent_pictures(pictures, tmp_path, monkeypatch):
    made = config(pictures)
    cfg = Config(dict(made, instances=dict(dataset=made["train_dataset"]["dataset"], workers=2)))

    def work() -> None:
        started = []
        monkeypatch.setattr("deep3dmap.apis.instances.run_tasks",
                            lambda function, tasks, *_, **__: started.extend(tasks) or iter(()))  # yapf: disable
        found = train_instances(cfg, tmp_path, False, dict(launcher="pytorch", device="cpu"), print)
        assert all(task["arguments"]["launcher"] == "none" for task in started)
        indices = [Config.fromstring(task["config"], ".json").train_dataset.index for task in started]
        print(found.names, indices, [task["folder"].rpartition("/")[2] for task in started])

    codes, text = forked_ranks(2, work)
    assert not any(codes), text
    assert "['ball', 'egg'] [0, 2] ['ball', 'egg']" in text and "['cube'] [1] ['cube']" in text

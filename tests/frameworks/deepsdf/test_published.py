"""Experiments of the authors' code, converted: on files of their layout."""

import json
from pathlib import Path

import pytest
import torch

from deep3dmap.apis.convert import convert_checkpoint
from deep3dmap.apis.inference import load_framework
from deep3dmap.backbones import DeepSDFDecoder
from deep3dmap.engine.config import load_config
from deep3dmap.errors import CheckpointError
from deep3dmap.frameworks.deepsdf.published import infer_decoder, model_config

GOLDENS = Path(__file__).parents[2] / "data" / "goldens" / "deepsdf"
SPECS = dict(dims=[24, 24, 24, 24], dropout=[0, 1], dropout_prob=0.2, norm_layers=[0, 1, 2, 3], latent_in=[2],
             xyz_in_all=False, use_tanh=True, latent_dropout=False, weight_norm=True)  # yapf: disable


@pytest.fixture
def experiment(tmp_path):
    """What the authors' training leaves behind, for three shapes."""
    torch.manual_seed(0)
    decoder, codes = DeepSDFDecoder(8, **SPECS), torch.randn(3, 8)
    for folder in ("ModelParameters", "LatentCodes"):
        (tmp_path / folder).mkdir()
    state = {f"module.{name}": value for name, value in decoder.state_dict().items()}
    torch.save(dict(epoch=7, model_state_dict=state), tmp_path / "ModelParameters" / "latest.pth")
    torch.save(dict(epoch=7, latent_codes=dict(weight=codes)), tmp_path / "LatentCodes" / "latest.pth")
    specs = dict(NetworkArch="deep_sdf_decoder", NetworkSpecs=SPECS, CodeLength=8, ClampingDistance=0.1, CodeBound=1.0,
                 TrainSplit="train.json")  # yapf: disable
    (tmp_path / "specs.json").write_text(json.dumps(specs))
    (tmp_path / "train.json").write_text(json.dumps({"made": {"things": ["a", "b", "c"]}}))
    return tmp_path, decoder.eval(), codes


def convert(folder):
    return load_framework(convert_checkpoint(folder / "ModelParameters" / "latest.pth", folder / "ours.pth", "deepsdf"), "cpu")


def test_a_converted_experiment_decodes_what_it_decoded(experiment):
    folder, decoder, codes = experiment
    framework, points = convert(folder), torch.rand(50, 3)
    assert framework.names == ["made/things/a", "made/things/b", "made/things/c"]
    expected = decoder.field(codes[1])(points)
    torch.testing.assert_close(framework.decoder.field(framework.code_of("b"))(points), expected)


def test_codes_of_the_older_layout_are_read(experiment):
    folder, _, codes = experiment
    torch.save(dict(epoch=7, latent_codes=codes[:, None]), folder / "LatentCodes" / "latest.pth")
    assert torch.equal(convert(folder).codes.weight.detach(), codes)


def test_without_specs_the_shapes_of_the_weights_tell_the_network(experiment):
    folder, _, codes = experiment
    (folder / "specs.json").unlink()
    framework = convert(folder)
    assert framework.decoder.latent_in == (2, )
    assert framework.names == ["0", "1", "2"]


@pytest.mark.parametrize("options", [
    dict(), dict(xyz_in_all=True), dict(latent_in=()), dict(weight_norm=False), dict(norm_layers=(0, 2)),
    dict(norm_layers=(), latent_in=(1, 3))])  # yapf: disable
def test_a_network_inferred_from_its_weights_takes_them(options):
    decoder = DeepSDFDecoder(**dict(code_length=5, dims=(24, ) * 4, dropout=None, norm_layers=range(4), latent_in=(2, ))
                             | options)
    config = infer_decoder(decoder.state_dict())
    config.pop("type")
    DeepSDFDecoder(**config).load_state_dict(decoder.state_dict())


@pytest.mark.parametrize("name", ["chairs", "lamps", "planes", "sofas", "tables"])
def test_the_published_experiments_are_our_config(name):
    specs = json.loads((GOLDENS / "manifest.json").read_text())["specs"][name]
    ours = load_config("configs/deepsdf/paper.py")
    assert model_config(specs) == ours.model.to_dict()
    assert (specs["ScenesPerBatch"], specs["SamplesPerScene"]) == (ours.train_dataset.shapes, ours.train_dataset.samples)
    assert specs["NumEpochs"] == ours.train_cfg.max_epochs
    for part, rate in zip(("decoder", "codes"), specs["LearningRateSchedule"]):
        assert ours.optim_wrapper[part].optimizer.lr == rate["Initial"]
        schedule = dict(start=1.0, factor=rate["Factor"], every=rate["Interval"], first=1)
        assert ours.param_scheduler[part].schedule.to_dict() == schedule


def without_specs_and_of_another_network(folder: Path) -> None:
    torch.save(dict(model_state_dict={"a": torch.ones(2, 2)}), folder / "ModelParameters" / "latest.pth")
    (folder / "specs.json").unlink()


@pytest.mark.parametrize("damage, message", [
    (lambda folder: (folder / "specs.json").write_text("{"), "readable JSON"),
    (lambda folder: (folder / "specs.json").write_text("[]"), "dictionary"),
    (lambda folder: (folder / "specs.json").write_text("{}"), "NetworkSpecs"),
    (lambda folder: (folder / "LatentCodes" / "latest.pth").unlink(), "LatentCodes"),
    (lambda folder: torch.save(dict(epoch=7, latent_codes=dict(weight=torch.zeros(3, 5))), folder / "LatentCodes/latest.pth"),
     "codes have 5 entries.*takes codes of 8"),
    (without_specs_and_of_another_network, "shapes of a DeepSDF decoder"),
])  # yapf: disable
def test_experiments_that_are_damaged_or_of_other_networks_are_named(experiment, damage, message):
    damage(experiment[0])
    with pytest.raises(CheckpointError, match=message):
        convert(experiment[0])

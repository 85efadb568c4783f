"""H3D-Net's stages through the runner, on a capture of a head that its prior knows."""

import pytest
import torch

from deep3dmap.engine.checkpoint import list_checkpoints
from deep3dmap.engine.config import build_runner, load_config
from deep3dmap.engine.stages import StageConfig
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.frameworks import H3DNet
from deep3dmap.frameworks.base import Stage
from deep3dmap.frameworks.h3dnet.prior import prior_arrays
from deep3dmap.geometry.rotations import rotation_angle_error
from deep3dmap.io.npz import npz_bytes
from tests.frameworks.h3dnet.heads import ball_prior

POSE = ["geometry.latent", "geometry.delta_rotation", "geometry.delta_translation", "geometry.delta_log_scale"]


@pytest.fixture
def config(tmp_path):
    """The prior's mean head, photographed from three sides."""
    prior, head = tmp_path / "prior.npz", tmp_path / "head.ply"
    prior.write_bytes(npz_bytes(**prior_arrays(ball_prior())))
    cfg = load_config(
        "configs/h3dnet/small.py", {
            "model.geometry": dict(type="PlacedHead", prior=str(prior), features=8),
            "model.radiance": dict(type="RadianceNetwork", width=16, depth=1, features=8, view_frequencies=1),
            "model.renderer": dict(type="SphereTracer", samples=24),
            "train_cfg.max_minutes": None,
            "train_cfg.average": 0.0,
            "default_hooks.pictures": None,
            "default_hooks.checkpoint": dict(type="CheckpointHook", minutes=None, steps=1, keep=9)
        })
    for stage, steps in zip(cfg.train_cfg.stages, (1, 2, 2)):
        stage.update(max_steps=steps, max_minutes=None)
    cfg.merge_from_dict(
        dict(scene=dict(capture=dict(type="SyntheticCapture", mesh=str(head), views=3, test_views=1, size=(48, 48)),
                        test_views=None),
             train_dataset=dict(type="RayBatches", rays=128),
             test_dataset=dict(type="Views", split="all")))
    build(cfg).extract_mesh(32, color=False).export(head)
    return cfg


def run(cfg, folder, **options):
    runner = build_runner(cfg, work_dir=str(folder), **options)
    runner.train()
    return runner


def build(config):
    return H3DNet(**{k: v for k, v in config.model.items() if k != "type"})


def test_the_head_rests_at_first_and_the_decoder_moves_last(config):
    framework = build(config)
    for stage, head_moves, decoder_moves in zip(config.train_cfg.stages, (False, True, True), (False, False, True)):
        framework.enter_stage(StageConfig.read(stage).stage())
        assert all(p.requires_grad == decoder_moves for p in framework.geometry.decoder.parameters())
        assert framework.geometry.latent.requires_grad == framework.geometry.delta_rotation.requires_grad == head_moves
        assert all(p.requires_grad for p in framework.radiance.parameters())


def test_a_head_is_placed_and_trained_and_a_resumed_run_continues_exactly(config, tmp_path, monkeypatch):
    runner = run(config, tmp_path / "a")
    placed = runner.framework.geometry
    assert all(getattr(placed, name.split(".")[1]).abs().max() > 0 for name in POSE)
    assert not torch.equal(placed.decoder.lin1.bias, placed.prior.decoder().lin1.bias)
    assert rotation_angle_error(placed.rotation, torch.eye(3)) < 5.0
    middle = torch.tensor(runner.framework.extract_mesh(24, color=False).centroid)
    assert middle.norm() < 0.15  # the head's radius is about 0.7
    monkeypatch.setattr("deep3dmap.frameworks.h3dnet.framework.start_head", lambda *_: pytest.fail("placed again"))
    resumed = run(config, tmp_path / "b", resume=str(list_checkpoints(tmp_path / "a")[0])).framework.state_dict()
    assert list_checkpoints(tmp_path / "a")[0].name.endswith("1.pth")
    assert all(torch.equal(value, resumed[name]) for name, value in runner.framework.state_dict().items())
    config.model.geometry.prior = "ict_heads"
    with pytest.raises(ConfigError, match="model.geometry.prior"):
        run(config, tmp_path / "c", resume=str(tmp_path / "a"))


def test_data_without_a_scene_are_refused(config):
    with pytest.raises(DataError, match="list: H3D-Net needs the photographs"):
        build(config).begin_stage(Stage(), [])


def test_a_geometry_that_is_no_placed_head_is_refused(config):
    config.model["geometry"] = dict(type="SDFNetwork", features=8)
    with pytest.raises(ConfigError, match="SDFNetwork, but must be a PlacedHead"):
        build(config)


def test_an_unlikely_code_costs_more(config):
    assert build(config).losses["code"](dict(latent=torch.full((4, ), 2.0)), {}) == 4.0

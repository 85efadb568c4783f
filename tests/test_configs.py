"""Every config builds its model; the paper's have the published sizes and schedules."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from deep3dmap.apis import train
from deep3dmap.datasets.captures.formats import save_capture
from deep3dmap.engine.config import load_config
from deep3dmap.engine.optim import is_single
from deep3dmap.frameworks import IDR, Fusion, Hull
from deep3dmap.frameworks.cards import find_card
from deep3dmap.registry import FRAMEWORKS
from deep3dmap.structures import Cameras, Capture
from tests.conftest import DATA

ROOT = Path(__file__).parents[1] / "configs"
CONFIGS = sorted(str(p.relative_to(ROOT)) for p in ROOT.rglob("*.py") if "_base_" not in p.parts)
MANIFEST = json.loads((DATA / "goldens" / "idr" / "manifest.json").read_text())
PAPERS = {
    "idr/dtu_fixed_cameras.py": "dtu_fixed_cameras",
    "idr/dtu_uncached.py": "dtu_fixed_cameras",
    "idr/dtu_trained_cameras.py": "dtu_trained_cameras",
    "idr/dtu_noisy_fixed_cameras.py": "dtu_fixed_cameras",
    "idr/dtu_no_feature_vector.py": "ablation/dtu_no_feature_vector",
    "idr/dtu_no_normal.py": "ablation/dtu_no_normal",
    "idr/dtu_no_view_dir.py": "ablation/dtu_no_view_dir",
}


@pytest.mark.parametrize("config", CONFIGS)
def test_a_config_builds_its_model(config, request):
    if config == "prnet/paper.py":
        request.getfixturevalue("real_data")  # for PRNet's UV layout
    cfg = load_config(ROOT / config)
    framework = FRAMEWORKS.build(cfg.model.to_dict())
    assert any(True for _ in framework.parameters()) or isinstance(framework, (Fusion, Hull))  # these learn nothing
    wrapper = cfg.get("optim_wrapper") or {}
    parts = () if is_single(wrapper) else wrapper
    assert all(part == "rest" or hasattr(framework, part) for part in parts)  # some, such as codes, are built in setup()


@pytest.mark.parametrize("config,published", PAPERS.items())
def test_the_papers_networks_have_the_published_number_of_parameters(config, published):
    framework = FRAMEWORKS.build(load_config(ROOT / config).model.to_dict())
    expected = MANIFEST["configs"][published]
    assert sum(p.numel() for p in framework.parameters()) == expected["parameters"]
    ours = {f"{part}.{name}": list(p.shape) for part in ("geometry", "radiance")
            for name, p in getattr(framework, part).named_parameters()}  # yapf: disable
    theirs = {name.replace("implicit_network", "geometry").replace("rendering_network", "radiance"): shape
              for name, shape in expected["model_state_dict"].items()}  # yapf: disable
    assert ours == theirs


@pytest.mark.parametrize("config", PAPERS)
def test_the_papers_numbers_are_the_published_ones(config):
    cfg, train_config, loss = load_config(ROOT / config), MANIFEST["train_config"], MANIFEST["loss_config"]
    tracer, published = cfg.model.renderer, MANIFEST["model_config_dtu_fixed_cameras"]["ray_tracer"]
    names = dict(sdf_threshold="sdf_threshold", line_search_step="line_search_step", line_search_iterations="line_step_iters",
                 iterations="sphere_tracing_iters", samples="n_steps", secant_steps="n_secant_steps")  # yapf: disable
    assert {ours: tracer[ours] for ours in names} == {ours: published[theirs] for ours, theirs in names.items()}
    assert cfg.train_dataset.rays == train_config["num_pixels"] and cfg.train_dataset.views_per_batch == 1
    losses = cfg.model.losses
    assert (losses.eikonal.weight, losses.mask.weight) == (loss["eikonal_weight"], loss["mask_weight"])
    assert losses.mask.alpha.start == loss["alpha"] and losses.mask.alpha.factor == train_config["alpha_factor"]
    assert losses.mask.alpha.milestones == train_config["alpha_milestones"]
    assert cfg.model.geometry.bias == 0.6 and cfg.scene.test_views == 0


def test_noisy_cameras_come_from_the_linear_method_and_are_measured_against_the_true_ones():
    for config in ("idr/dtu_trained_cameras.py", "idr/dtu_noisy_fixed_cameras.py"):
        scene = load_config(ROOT / config, {"scene.capture": "dtu_idr/scan114"}).scene
        assert scene.capture == "dtu_idr/scan114"
        assert scene.reader == dict(cameras="cameras_linear_init.npz", true_cameras="cameras.npz")


@pytest.fixture(scope="module")
def two_views(tmp_path_factory):
    """A scan of two pictures of 2x2 pixels, under the names of DTU's files."""
    pose = torch.eye(3, 4, dtype=torch.float64).repeat(2, 1, 1)
    pose[:, 2, 3] = torch.tensor([3.0, 4.0])
    K = torch.tensor([[4.0, 0, 1], [0, 4, 1], [0, 0, 1]], dtype=torch.float64).repeat(2, 1, 1)
    half = torch.diag(torch.tensor([0.5, 0.5, 0.5, 1.0], dtype=torch.float64))
    capture = Capture(torch.zeros(2, 2, 2, 3, dtype=torch.uint8), Cameras(K, pose, (2, 2)), ("a", "b"),
                      torch.tensor([[[True, False]] * 2] * 2), half)  # yapf: disable
    folder = tmp_path_factory.mktemp("scan") / "scan65"
    save_capture(capture, folder, "idr")
    (folder / "cameras_linear_init.npz").write_bytes((folder / "cameras.npz").read_bytes())
    return folder


@pytest.mark.parametrize("config", ["idr/dtu_fixed_cameras.py", "idr/dtu_trained_cameras.py"])
def test_learning_rate_and_alpha_follow_the_papers_epochs(config, two_views, goldens, monkeypatch, tmp_path):
    """The real loop through all 2000 epochs, with a step that only takes note."""
    rates, alphas, camera_rates, views = [], [], [], []

    def take_note(framework, data, optim_wrapper, call=None):
        several = framework.train_cameras
        optimizer = optim_wrapper["rest"] if several else optim_wrapper
        optimizer.step()  # of no gradients: nothing moves
        rates.append(optimizer.param_groups[0]["lr"])
        alphas.append(framework.losses["mask"].alpha)
        views.append(int(data["view"][0]))
        if several:
            camera_rates.append(optim_wrapper["cameras"].param_groups[0]["lr"])
        return dict(loss=torch.zeros(()))

    monkeypatch.setattr(IDR, "train_step", take_note)
    small = {f"model.{part}.{key}": value for part in ("geometry", "radiance")
             for key, value in dict(width=16, depth=1, features=2).items()}  # yapf: disable
    small |= {"model.geometry.skip": [], "model.geometry.frequencies": 0, "train_dataset.rays": 1}
    small |= {"default_hooks.log.interval": 10**9, "default_hooks.checkpoint.minutes": None}
    train(ROOT / config, tmp_path, options=small | {"scene.capture": str(two_views)}, progress=False)
    golden = goldens("idr/schedules")
    epochs = 2000
    assert len(rates) == 2 * epochs
    np.testing.assert_allclose(np.reshape(rates, (epochs, 2)), golden["learning_rate"][:epochs, None].repeat(2, 1), rtol=1e-6)
    np.testing.assert_array_equal(np.reshape(alphas, (epochs, 2)), golden["alpha"][:epochs, None].repeat(2, 1))
    assert (np.sort(np.reshape(views, (epochs, 2)), 1) == [0, 1]).all()
    assert set(camera_rates) <= {1e-4}  # the cameras' own rate stays


def test_all_methods_hold_out_the_same_views_of_ones_own_photographs():
    first, *others = (load_config(find_card(name).your_own).scene for name in ("hull", "idr", "h3dnet"))
    assert others and all(other == first for other in others)

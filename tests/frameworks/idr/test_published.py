"""Published checkpoints: made up here with the names and shapes of every published configuration, then converted."""

import json

import pytest
import torch

from deep3dmap.apis import convert_checkpoint, load_framework
from deep3dmap.backbones import RadianceNetwork, SDFNetwork
from deep3dmap.errors import CheckpointError, ConfigError, DataError
from deep3dmap.frameworks.idr.published import PREFIXES, geometry_config, infer_config, radiance_config, rename_weights
from deep3dmap.geometry.rotations import quaternion_to_rotation
from deep3dmap.structures import Cameras, Capture
from tests.broken import Pwned
from tests.conftest import DATA
from tests.frameworks.idr.helpers import rays_from

MANIFEST = json.loads((DATA / "goldens" / "idr" / "manifest.json").read_text())
CONFIGS = sorted(MANIFEST["configs"])
EXPECTED = {
    "dtu_fixed_cameras": dict(mode="idr", features=256, view_frequencies=4),
    "dtu_trained_cameras": dict(mode="idr", features=256, view_frequencies=4),
    "ablation/dtu_no_feature_vector": dict(mode="idr", features=0, view_frequencies=4),
    "ablation/dtu_no_normal": dict(mode="no_normal", features=256, view_frequencies=4),
    "ablation/dtu_no_view_dir": dict(mode="no_view_dir", features=256, view_frequencies=0),
}


def random_weights(name: str) -> dict:
    """Random numbers, such that the surface is not empty: a sphere of radius one half, roughly."""
    generator = torch.Generator().manual_seed(0)
    shapes = MANIFEST["configs"][name]["model_state_dict"]
    weights = {key: 0.05 * torch.randn(*shape, generator=generator) for key, shape in shapes.items()}
    for key in weights:
        if key.endswith("weight_g"):
            weights[key] = weights[key].abs() + 0.5
    return weights


def publish(folder, name: str, views: int = 0):
    """Write files as the published ones are."""
    for kind in ("ModelParameters", "CamParameters")[:1 + bool(views)]:
        (folder / kind).mkdir(parents=True, exist_ok=True)
    weights = random_weights(name)
    torch.save(dict(epoch=2000, model_state_dict=weights), folder / "ModelParameters" / "2000.pth")
    poses = torch.cat([torch.randn(views, 4), torch.randn(views, 3)], 1)
    if views:
        torch.save(dict(epoch=2000, pose_vecs_state_dict=dict(weight=poses)), folder / "CamParameters" / "2000.pth")
    return folder / "ModelParameters" / "2000.pth", weights, poses


def capture_of(views: int) -> Capture:
    K = torch.tensor([[50.0, 0, 8], [0, 50, 6], [0, 0, 1]], dtype=torch.float64).repeat(views, 1, 1)
    pose = torch.eye(3, 4, dtype=torch.float64).repeat(views, 1, 1)
    pose[:, 2, 3] = 4.0
    half = torch.diag(torch.tensor([0.5, 0.5, 0.5, 1.0], dtype=torch.float64))
    return Capture(torch.zeros(views, 12, 16, 3, dtype=torch.uint8),
                   Cameras(K, pose, (12, 16)),
                   tuple(f"{k}" for k in range(views)),
                   None,
                   half,
                   source="the scan")


@pytest.mark.parametrize("name", CONFIGS)
def test_the_configuration_is_read_off_the_shapes(name):
    config = infer_config(random_weights(name))
    expected = EXPECTED[name]
    assert config["geometry"] == dict(width=512, depth=8, skip=[4], frequencies=6, features=expected["features"],
                                      weight_norm=True)  # yapf: disable
    assert config["radiance"] == dict(width=512, depth=4, weight_norm=True, **expected)


UNEQUAL = dict(feature_vector_size=5,
               implicit_network=dict(dims=[40, 56, 48],
                                     skip_in=[2],
                                     multires=2,
                                     bias=0.6,
                                     weight_norm=True,
                                     geometric_init=True),
               rendering_network=dict(dims=[24, 16], mode="idr", multires_view=1, weight_norm=True))


def test_hidden_layers_of_unequal_widths_keep_them(tmp_path):
    geometry, radiance = SDFNetwork(**geometry_config(UNEQUAL)), RadianceNetwork(**radiance_config(UNEQUAL))
    assert geometry_config(UNEQUAL)["width"] == [40, 56, 48] and radiance_config(UNEQUAL)["width"] == [24, 16]
    published = {f"{theirs}{name}": value for theirs, network in zip(PREFIXES, (geometry, radiance))
                 for name, value in network.state_dict().items()}  # yapf: disable
    source = save(tmp_path, dict(model_state_dict=published))
    framework = load_framework(convert_checkpoint(source, tmp_path / "ours.pth"), "cpu")
    points = torch.rand(10, 3)
    torch.testing.assert_close(framework.geometry(points), geometry(points))
    assert infer_config(published)["radiance"]["width"] == [24, 16]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_published_checkpoint_arrives_whole_and_renders(name, tmp_path):
    views = 3 if "trained" in name else 0
    source, weights, poses = publish(tmp_path, name, views)
    framework = load_framework(convert_checkpoint(source, tmp_path / "ours.pth"), "cpu")
    assert sum(p.numel() for n, p in framework.named_parameters() if not n.startswith("cameras")) \
        == MANIFEST["configs"][name]["parameters"]
    state = framework.state_dict()
    for key, value in rename_weights(weights).items():
        assert torch.equal(state[key], value), key
    out = framework.predict(rays_from((0.0, -2.5, 0.0), 20))
    assert out["rgb"].shape == (20, 3) and out["rgb"].isfinite().all()
    assert (framework.cameras is None) == (views == 0)
    if views:
        assert torch.equal(state["cameras.poses.weight"], poses)


def test_the_scan_gives_a_converted_checkpoint_its_frame_and_cameras(tmp_path):
    source, _, poses = publish(tmp_path, "dtu_trained_cameras", 3)
    framework = load_framework(convert_checkpoint(source, tmp_path / "ours.pth", capture=capture_of(3)), "cpu")
    assert torch.equal(framework.scene_from_world, capture_of(3).scene_from_world)
    cameras = framework.trained_cameras()
    torch.testing.assert_close(cameras.centers.float(), 2 * poses[:, 4:], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(cameras.rotations.float(),
                               quaternion_to_rotation(poses[:, :4]).transpose(1, 2),
                               atol=1e-5,
                               rtol=0)
    torch.testing.assert_close(cameras.K, capture_of(3).cameras.K)


def test_the_scan_must_have_as_many_views_as_the_checkpoint(tmp_path):
    source, _, _ = publish(tmp_path, "dtu_trained_cameras", 3)
    with pytest.raises(DataError, match="the scan: 5 views, but the checkpoint has 3 trained cameras"):
        convert_checkpoint(source, tmp_path / "ours.pth", capture=capture_of(5))


def test_a_name_in_the_working_folder_is_enough(tmp_path, monkeypatch):
    source, _, _ = publish(tmp_path, "dtu_fixed_cameras")
    monkeypatch.chdir(source.parent)
    assert convert_checkpoint("2000.pth", "ours.pth").is_file()


def save(folder, content):
    (folder / "ModelParameters").mkdir()
    torch.save(content, folder / "ModelParameters" / "2000.pth")
    return folder / "ModelParameters" / "2000.pth"


@pytest.mark.parametrize("kind", ["ModelParameters", "CamParameters"])
def test_hostile_weights_and_poses_are_refused_and_run_nothing(tmp_path, kind):
    source, _, _ = publish(tmp_path, "dtu_trained_cameras", 3)
    torch.save(dict(model_state_dict=Pwned(tmp_path)), tmp_path / kind / "2000.pth")
    with pytest.raises(CheckpointError, match="could run .*code"):
        convert_checkpoint(source, tmp_path / "ours.pth")
    assert not (tmp_path / "pwned").exists() and not (tmp_path / "ours.pth").exists()


OTHER_WEIGHTS = [{}, {"conv.weight": torch.zeros(3, 3)}, {"implicit_network.lin0.weight_v": torch.zeros(3)},
                 *({name: weight for name, weight in random_weights("dtu_fixed_cameras").items() if name != left_out}
                   for left_out in ("implicit_network.lin3.weight_v", "implicit_network.lin3.bias"))]  # yapf: disable


@pytest.mark.parametrize("kind, content, message", [
    *(("ModelParameters", content, "not a published IDR checkpoint") for content in ([1, 2], dict(epoch=3),
                                                                                     dict(model_state_dict=[1]))),
    *(("CamParameters", content, "expected pose_vecs_state_dict")
      for content in ([1], dict(epoch=1), dict(pose_vecs_state_dict=dict(weight=torch.zeros(3, 4))))),
    *(("ModelParameters", dict(model_state_dict=weights), "IDR") for weights in OTHER_WEIGHTS),
])  # yapf: disable
def test_weights_and_poses_of_another_layout_or_model_are_refused(tmp_path, kind, content, message):
    source, _, _ = publish(tmp_path, "dtu_trained_cameras", 3)
    torch.save(content, tmp_path / kind / "2000.pth")
    with pytest.raises(CheckpointError, match=message):
        convert_checkpoint(source, tmp_path / "ours.pth")


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "x.pth").write_bytes(b"not a pickle at all")
    with pytest.raises(CheckpointError, match="x.pth"):
        convert_checkpoint(tmp_path / "x.pth", tmp_path / "ours.pth")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        convert_checkpoint(tmp_path / "y.pth", tmp_path / "ours.pth")


@pytest.mark.parametrize("value", [float("nan"), "text"])
def test_weights_that_are_no_numbers_are_refused(tmp_path, value):
    weights = random_weights("dtu_fixed_cameras")
    name = "rendering_network.lin1.bias"
    weights[name] = value if isinstance(value, str) else torch.full((512, ), value)
    with pytest.raises(CheckpointError, match=f"'{name}' is not a tensor of finite numbers"):
        convert_checkpoint(save(tmp_path, dict(model_state_dict=weights)), tmp_path / "ours.pth")


def test_a_weight_of_neither_network_is_named():
    with pytest.raises(CheckpointError, match=f"'decoder.lin0.bias' belongs to neither .*{next(iter(PREFIXES))}"):
        rename_weights({"decoder.lin0.bias": torch.zeros(1)})


def test_an_unknown_method_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'idr'"):
        convert_checkpoint("x.pth", "y.pth", "idrr")

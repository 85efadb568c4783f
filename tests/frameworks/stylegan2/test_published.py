"""Published checkpoints: their pictures are the reference's; other files are refused by name."""

import argparse
import json
import pickle
from pathlib import Path

import pytest
import torch

from deep3dmap.apis import convert_checkpoint, load_framework
from deep3dmap.engine.checkpoint import read_pickle
from deep3dmap.errors import CheckpointError
from deep3dmap.frameworks.stylegan2.published import convert
from tests.goldens import FOLDER, manifest, read, tensor, tensors

CONFIG = json.loads((FOLDER / "stylegan2" / "config.json").read_text())["narrow"]
NARROW, CRITIC = read("stylegan2/generator_narrow"), read("stylegan2/discriminator_narrow")


def published() -> dict:
    """What the port's training saves."""
    return dict(g=tensors(NARROW, "w/"), g_ema=tensors(NARROW, "w/"), d=tensors(CRITIC, "w/"), g_optim=dict(state={}),
                args=argparse.Namespace(size=CONFIG["size"], lr=0.002), ada_aug_p=0.0)  # yapf: disable


def saved(folder: Path, content: object, name: str = "published.pt") -> Path:
    torch.save(content, folder / name)
    return folder / name


@torch.no_grad()
def test_a_converted_checkpoint_has_the_references_pictures_and_logits(tmp_path):
    target = convert_checkpoint(saved(tmp_path, published()), tmp_path / "converted.pth", "stylegan2")
    gan = load_framework(target, "cpu")
    assert (gan.generator.size, gan.generator.style_size) == (CONFIG["size"], CONFIG["style_dim"])
    generator = gan.generator
    for name, w in dict(buffer_noise=generator.style(tensor(NARROW["z"])), input_is_latent_w=tensor(NARROW["w"])).items():
        image = generator(generator.w_plus(w), generator.registered_noise)
        torch.testing.assert_close(image, tensor(NARROW[f"img/{name}"]), rtol=1e-4, atol=1e-5)
    x = tensor(CRITIC["b4/x"]).float() / 127.5 - 1
    torch.testing.assert_close(gan.discriminator(x), tensor(CRITIC["b4/logits"]), rtol=1e-4, atol=1e-5)


def test_an_older_file_without_noise_and_discriminator_serves_to_generate(tmp_path):
    content = dict(g_ema={name: value for name, value in published()["g_ema"].items() if "noises" not in name})
    first, again = (convert(saved(tmp_path, content), read_pickle) for _ in range(2))
    assert "discriminator" not in first[0]
    assert all(torch.equal(value, again[2][name]) for name, value in first[2].items())
    gan = load_framework(convert_checkpoint(tmp_path / "published.pt", tmp_path / "converted.pth", "stylegan2"), "cpu")
    assert gan.sample(gan.latents(2, 0)).isfinite().all() and gan.discriminator is None


@pytest.mark.parametrize("kind", sorted(key for key in manifest("stylegan2")["models"] if key.startswith("generator")))
def test_sizes_of_published_networks_are_found(kind, tmp_path):
    shapes = manifest("stylegan2")["models"][kind]
    content = dict(g_ema={name: torch.empty(shape, device="meta") for name, shape in shapes.items()})
    model, _, state = convert(tmp_path / "file.pt", lambda path: content)
    size, multiplier = map(int, kind.removeprefix("generator_").split("_cm"))
    assert model["generator"] == dict(type="StyleGenerator", style=512, mapping=8, size=size, multiplier=multiplier, width=1)
    assert {name.removeprefix("generator.") for name in state} - set(shapes) == {"path_mean"}


@pytest.mark.parametrize("content, problem", [
    (dict(GAN={"G.blocks.0.to_style1.weight": torch.zeros(2, 2)}, version="1.8.9"), "package stylegan2-pytorch; its layers"),
    (dict(state_dict={"a": torch.zeros(1)}), "no generator 'g_ema'"),
    (dict(g_ema={"input.input": torch.zeros(1, 8, 4, 4), "conv1.conv.modulation.weight": torch.zeros(8, 8)}), "lacks layers"),
    ([torch.zeros(1)], "no generator 'g_ema'"),
])  # yapf: disable
def test_other_files_are_refused_by_name(content, problem, tmp_path):
    with pytest.raises(CheckpointError, match=f"published.pt: .*{problem}"):
        convert(saved(tmp_path, content), read_pickle)


def test_a_layer_of_another_size_is_refused(tmp_path):
    content = published()
    content["g_ema"]["convs.0.conv.weight"] = torch.zeros(1, 4, 4, 3, 3)
    with pytest.raises(CheckpointError, match=r"convs.0.conv.weight: \(1, 4, 4, 3, 3\) in the file"):
        convert_checkpoint(saved(tmp_path, content), tmp_path / "converted.pth", "stylegan2")


class Sung:
    """Sings when it is unpickled, as NVIDIA's files run their own code."""

    def __reduce__(self):
        import canary
        return canary.sing, ()


@pytest.mark.parametrize("name", ["ffhq.pkl", "ffhq.pt"])
def test_nvidias_pickles_are_refused_unread_with_the_way_to_convert_them(name, tmp_path, canary):
    content = pickle.dumps(dict(module="torch_utils.persistence", G_ema=Sung()))
    canary.unlink(missing_ok=True)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match="NVIDIA's own pickle; nothing of it was read.*convert_weight.py"):
        convert_checkpoint(tmp_path / name, tmp_path / "converted.pth", "stylegan2")
    assert not canary.exists()

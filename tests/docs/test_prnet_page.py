"""The training data of docs/prnet.md's example are trained on as they stand on the page."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from deep3dmap.apis import train
from deep3dmap.datasets.faces.ict_maps import ICTMaps
from deep3dmap.engine.checkpoint import find_checkpoint, load_checkpoint
from deep3dmap.registry import DATASETS

ROOT = Path(__file__).parents[2]
MAPS = ICTMaps.load(128)
OPTIONS = {"model.backbone.size": 1, "train_cfg.max_steps": 2, "train_dataloader.batch_size": 2, "val_cfg.every_steps": 2,
           "optim_wrapper.backbone.average": 0.0}  # yapf: disable


def write_face(path: Path, seed: int) -> None:
    """A grey picture, and the mean face of the layout at the vertices that its pixels depend on."""
    vertices = np.zeros((MAPS.corners.max() + 1, 3))
    vertices[MAPS.corners] = 4 * MAPS.layout.canonical[:, None] + [80, 80, 0]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, image=np.random.default_rng(seed).integers(0, 256, (160, 160, 3), np.uint8), vertices=vertices)


@pytest.fixture
def config(tmp_path, monkeypatch) -> Path:
    """The page's files in a folder with four faces."""
    page = (ROOT / "docs" / "prnet.md").read_text(encoding="utf-8")
    for name, code in re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        (tmp_path / name).write_text(code.replace("deep3dmap/configs", str(ROOT / "configs")), encoding="utf-8")
    for seed in range(4):
        write_face(tmp_path / "faces" / ("train" if seed < 2 else "validation") / f"{seed}.npz", seed)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "my_faces_config.py"
    sys.modules.pop("my_faces", None)
    DATASETS.module_dict.pop("MyFaces", None)


def test_the_faces_of_the_page_are_trained_on(config, tmp_path):
    train(str(config), tmp_path / "run", options=OPTIONS, progress=False)
    loop = load_checkpoint(find_checkpoint(tmp_path / "run"))["loop"]
    assert loop["step"] == 2
    item = DATASETS.get("MyFaces")("faces/train")[0]
    assert np.allclose(item["landmarks"][:, 0].mean(), 80 + 4 * MAPS.layout.canonical[MAPS.landmark_rows, 0].mean(), atol=1)

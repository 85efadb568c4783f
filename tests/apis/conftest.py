"""One tiny capture on disk, one tiny config, and one training run that the tests share."""

from pathlib import Path

import pytest

from deep3dmap.apis import train
from deep3dmap.datasets.captures.formats import save_capture
from deep3dmap.datasets.synthetic import generate_capture
from deep3dmap.datasets.synthetic.head import head_mesh

CONFIG = '''
_base_ = ["{base}"]
scene = dict(capture="{folder}", test_views=3)
model = dict(geometry=dict(width=32, depth=2, skip=[], frequencies=2, features=8),
             radiance=dict(width=16, depth=1, features=8, view_frequencies=0, point_frequencies=0),
             renderer=dict(iterations=6, samples=16))
train_dataset = dict(type="RayBatches", rays=128)
test_dataset = dict(type="Views", split="all", train_views=1)
test_cfg = dict(resolution=32)
train_cfg = dict(type="StagedTrainLoop", max_steps=8)
default_hooks = dict(checkpoint=dict(steps=4))
'''

#: What makes the method's own config tiny, as ``--cfg-options``.
TINY = {
    "model.geometry.width": 32, "model.geometry.depth": 2, "model.geometry.skip": [], "model.geometry.frequencies": 2,
    "model.geometry.features": 8, "model.radiance.width": 16, "model.radiance.depth": 1, "model.radiance.features": 8,
    "model.radiance.point_frequencies": 0, "model.renderer.samples": 16, "train_dataset.rays": 128, "scene.test_views": 8,
    "test_dataset.train_views": 1,
    "train_cfg.stages": [dict(name="fit_sdf", max_steps=20, params=["geometry.*"],
                              train_dataset=dict(type="HullDistances", resolution=32, points=512)), dict(name="train")],
}  # yapf: disable


@pytest.fixture(scope="session")
def head_file(tmp_path_factory) -> Path:
    """The built-in head, coarse, as a mesh file."""
    path = tmp_path_factory.mktemp("head") / "head.ply"
    head_mesh(64).export(path)
    return path


@pytest.fixture(scope="session")
def capture_folder(head_file, tmp_path_factory) -> Path:
    """Nine small photographs of the head, as an IDR folder."""
    folder = tmp_path_factory.mktemp("capture") / "head"
    save_capture(generate_capture(head_file, views=9, test_views=0, size=(32, 32), supersample=1), folder, "idr")
    return folder


@pytest.fixture(scope="session")
def config_file(capture_folder, tmp_path_factory) -> Path:
    """A config of a tiny network, that trains for eight steps."""
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    base = Path(__file__).parents[2] / "configs" / "idr" / "small.py"
    path.write_text(CONFIG.format(base=base, folder=capture_folder))
    return path


@pytest.fixture(scope="session")
def work_dir(config_file, tmp_path_factory) -> Path:
    """The work folder of a finished run of that config."""
    folder = tmp_path_factory.mktemp("work")
    train(config_file, folder, progress=False)
    return folder

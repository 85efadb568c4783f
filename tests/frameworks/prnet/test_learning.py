"""PRNet learns faces from synthetic pictures, by its command and config."""

import pytest

from deep3dmap.apis import test as evaluate
from deep3dmap.apis import train
from tests.conftest import shared_data

CONFIG = "configs/prnet/small.py"


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    if shared_data() is None or not (shared_data() / "ict_face").is_dir():
        pytest.skip("needs the face model: deep3dmap download ict_face")
    faces = dict(cache=str(tmp_path_factory.mktemp("faces")), model=str(shared_data() / "ict_face"), size=128)
    pack = dict(type="PackFace", size=128)
    data = {"split": "train", "count": 8, "pipeline": [pack], "left_out": ["lights", "occlusion", "camera"], **faces}
    loader = dict(batch_size=4, dataset=dict(type="SyntheticFaces", **data))
    return {"model.backbone.size": 2, "train_dataloader": loader, "val_cfg": None, "val_dataloader": None,
            "val_evaluator": None, "test_dataloader": loader, "amp": False,
            "optim_wrapper.backbone.average": 0.8, "optim_wrapper.backbone.optimizer.lr": 1e-2,
            "param_scheduler.backbone.warmup": 5}  # yapf: disable


def test_landmarks_come_closer_with_training(options, tmp_path):
    errors = {}
    for steps in (1, 60):
        run = tmp_path / str(steps)
        train(CONFIG, run, options=options | {"train_cfg.max_steps": steps}, seed=0)
        errors[steps] = evaluate(CONFIG, run, run / "test", options=options).metrics["faces"]["nme68"]
    assert errors[60] < 0.9 * errors[1]

"""The worked example of docs/add_a_framework.md runs as it stands on the page, and learns."""

import json
import os
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch

from deep3dmap.datasets.synthetic.head import head_mesh
from tests.engine.killing import forked

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "add_a_framework.md"


def named_blocks() -> dict[str, str]:
    """The page's Python blocks by the file name in their first line."""
    return dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the page's files."""
    folder = tmp_path_factory.mktemp("worked_example")
    for name, code in named_blocks().items():
        (folder / name).write_text(code, encoding="utf-8")
    return folder


def run_tool(folder: Path, tool: str, *arguments: str) -> None:
    """A script of tools/ as the page's reader calls it, in the folder of the files, by a fork of this process."""

    def work() -> None:
        os.chdir(folder)
        torch.set_num_threads(1)
        sys.argv = [tool, *arguments]
        runpy.run_path(str(ROOT / "tools" / tool), run_name="__main__")

    codes, text = forked(work)
    assert codes == [0], text


def records(work_dir: Path) -> list[dict]:
    """The scalars of a run, in order."""
    return [json.loads(line) for line in (work_dir / "scalars.jsonl").read_text().splitlines()]


def test_the_carving_of_the_page_finds_the_shape(folder):
    head_mesh(64).export(folder / "head.ply")  # coarser than the page's head, which takes seconds to sculpt
    options = ["--cfg-options", "scene.capture.mesh=head.ply", "--device", "cpu"]
    run_tool(folder, "train.py", "soft_carving_head.py", "--work-dir", "carved", *options)
    run_tool(folder, "test.py", "soft_carving_head.py", "carved", *options)
    metrics = json.loads((folder / "carved" / "test" / "metrics.json").read_text())
    assert metrics["held-out views"]["mask_iou"] > 0.9
    assert metrics["surface"]["distance_mean_relative"] < 0.01


def test_the_shape_codes_of_the_page_learn_and_then_fit_new_shapes(folder):
    run_tool(folder, "train.py", "shape_codes_config.py", "--work-dir", "coded", "--device", "cpu")
    errors = {stage: [r["loss_sdf"] for r in records(folder / "coded") if r["stage"] == stage] for stage in ("learn", "fit")}
    assert errors["learn"][-1] < errors["learn"][0] / 4
    assert errors["fit"][-1] < errors["fit"][0] / 2
    assert errors["fit"][-1] < 0.03

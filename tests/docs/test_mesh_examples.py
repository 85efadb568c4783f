"""The examples of docs/mesh_examples.md run unchanged, and reach the stated accuracy."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "mesh_examples.md"
BLOCKS = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))
PICTURES = {
    "sphere_to_cow.py": ["sphere_to_cow.png", "sphere_to_cow.webp"],
    "spot_texture.py": ["spot_texture.png", "spot_texture_image.png"],
    "find_a_camera.py": ["find_a_camera.png"],
}


@pytest.mark.parametrize("name", PICTURES)
def test_the_example_runs_and_passes_its_assertions(name, real_data, tmp_path):
    if not (real_data / "meshes").is_dir():
        pytest.skip(f"needs the test meshes: there is no {real_data / 'meshes'}")
    (tmp_path / name).write_text(BLOCKS[name], encoding="utf-8")
    environment = os.environ | dict(OMP_NUM_THREADS="1", DEEP3DMAP_DATA=str(real_data), PYTHONPATH=str(ROOT))
    result = subprocess.run([sys.executable, name], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr  # each ends in an assertion on what it found
    assert all((tmp_path / picture).stat().st_size > 1000 for picture in PICTURES[name])


def test_every_example_of_the_page_is_tested():
    assert set(BLOCKS) == set(PICTURES)

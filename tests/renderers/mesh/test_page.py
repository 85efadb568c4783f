"""The code and the configs of docs/mesh_renderers.md draw, and its tables name what there is."""

import re
from pathlib import Path

import pytest

from deep3dmap.errors import MissingDependencyError
from deep3dmap.registry import RENDERERS, build_part
from deep3dmap.renderers.mesh import shader

PAGE = (Path(__file__).parents[3] / "docs" / "mesh_renderers.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page() -> dict:
    """The names that the page's code defines, run from top to bottom."""
    names = {}
    for code in re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        exec(code, names)
    return names


def test_the_example_draws_a_ball(page):
    images = page["images"]
    assert images.color.shape == (1, 48, 64, 3) and 0.2 < images.alpha.mean() < 0.8
    assert images.depth[images.alpha > 0].min() > 1.9


@pytest.mark.parametrize("name", re.findall(r"^    (\w+)=dict\(", PAGE, re.MULTILINE))
def test_a_config_of_the_page_draws_the_same_ball(page, name):
    try:
        renderer = build_part(page["configs"][name], RENDERERS)
    except MissingDependencyError as error:
        pytest.skip(f"what this renderer needs is not installed: {error}")
    images = renderer(page["meshes"], page["cameras"], page["texture"])
    assert ((images.alpha > 0.5) != (page["images"].alpha > 0.5)).double().mean() < 0.05
    assert (images.depth - page["images"].depth).abs().median() < 1e-3


def test_the_page_names_every_part_and_choice():
    named = set(re.findall(r"`(\w+)`", PAGE))
    parts = {name for name, part in RENDERERS.module_dict.items() if part.__module__.startswith("deep3dmap.renderers.mesh")}
    assert parts <= named
    assert {*shader.SHADINGS, *shader.BLENDINGS} <= named

import re

import pytest
import trimesh

from deep3dmap.apis.hull_comparison import hull_notes
from deep3dmap.datasets.captures.scene import Scene
from tests.datasets.scenes import CENTER, RADIUS, sphere_capture


def scene() -> Scene:
    capture = sphere_capture()
    return Scene(capture, tuple(range(2, len(capture))), (0, 1))


def ball(radius: float) -> trimesh.Trimesh:
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=radius)
    return mesh.apply_translation(CENTER)


def test_a_mesh_that_fits_the_masks_is_not_noted():
    assert hull_notes(ball(RADIUS), scene()) == []


def test_a_mesh_that_fits_worse_than_the_hull_is_noted_with_both_figures():
    (note, ) = hull_notes(ball(0.8 * RADIUS), scene())
    fit, hull = (float(n) for n in re.findall(r"\d\.\d\d", note))
    assert fit == pytest.approx(0.8**2, abs=0.04) and hull == 1  # the discs' areas, a little less by perspective


def test_without_a_mesh_there_is_nothing_to_compare():
    assert hull_notes(None, scene()) == []

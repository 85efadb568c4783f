"""What is said about landmarks before a head is placed by them."""

from dataclasses import replace

import pytest
import torch

from deep3dmap.errors import DataError
from deep3dmap.frameworks.h3dnet.network import PlacedHead
from deep3dmap.frameworks.h3dnet.placing import MaskFit
from deep3dmap.frameworks.h3dnet.prior import prior_arrays
from deep3dmap.frameworks.h3dnet.start import start_head
from deep3dmap.io.npz import npz_bytes
from tests.datasets.heads.marked import head_capture, head_points, named
from tests.frameworks.h3dnet.heads import SCALE, ball_prior


@pytest.fixture
def prior(tmp_path):
    (tmp_path / "prior.npz").write_bytes(npz_bytes(**prior_arrays(ball_prior())))
    return tmp_path / "prior.npz"


@pytest.fixture
def head(prior):
    return PlacedHead(prior, features=2)


def capture(points, azimuths=(0, -35, 40)):
    frame = torch.diag(torch.tensor([0.005, 0.005, 0.005, 1.0], dtype=torch.float64))
    return replace(head_capture(azimuths), landmarks=named(points), scene_from_world=frame)


@pytest.mark.parametrize("unit", [1000.0, 0.1])
def test_landmarks_in_another_unit_than_the_cameras_are_refused(head, unit):
    with pytest.raises(DataError, match="the landmarks are (outside the mask|nearly one point).* unit of its cameras"):
        start_head(head, capture(head_points() / unit))


def test_landmarks_of_a_face_that_no_camera_is_in_front_of_are_refused(head):
    with pytest.raises(DataError, match="by its landmarks the face looks away from all 3 views"):
        start_head(head, capture(head_points(), (180, 150, -140)))


def test_a_unit_that_the_landmarks_contradict_is_reported_with_theirs(prior):
    with pytest.raises(DataError, match="unit is about (0.99|1|1.0) millimetres, but model.geometry.unit_millimetres=1000"):
        start_head(PlacedHead(prior, features=2, unit_millimetres=1000.0), capture(head_points()))


@pytest.mark.parametrize("millimetres", [5.0, 40.0])
def test_masks_that_pull_the_head_from_its_landmarks_are_reported(head, millimetres, monkeypatch):

    def pulled(*arguments, start, **options):
        moved = replace(start, translation=start.translation + torch.tensor([0.0, 0.1 * millimetres * SCALE, 0.0]))
        return MaskFit(moved, torch.zeros(4), torch.zeros(4), 0.0, torch.ones(3), None, ("hair", ))

    monkeypatch.setattr("deep3dmap.frameworks.h3dnet.start.fit_to_masks", pulled)
    problems = start_head(head, capture(head_points()))
    assert problems[0] == "hair" and len(problems) == 1 + (millimetres > 20)
    assert all("the masks place the head 40 mm away from its landmarks" in problem for problem in problems[1:])

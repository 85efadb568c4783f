import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from deep3dmap.datasets.heads.ict_face import ICTFaceModel
from deep3dmap.datasets.heads.landmark_checks import check_head_landmarks, head_from_landmarks, landmark_mask_problem, misfit
from deep3dmap.errors import DataError
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS, HEAD_LANDMARKS_OF_68, MEAN_HEAD_LANDMARKS
from tests.datasets.heads.marked import OTHER, head_capture, head_points, named, turned

GOOD = named(turned(head_points(1)))


def refused(landmarks, message):
    with pytest.raises(DataError, match=message) as error:
        check_head_landmarks(landmarks, "some/landmarks.json")
    assert str(error.value).startswith("some/landmarks.json: ")


@pytest.mark.parametrize("left_out", [(), ("nose_tip", ), ("right_eye", "left_lips")])
def test_a_heads_landmarks_pass_in_any_pose_and_unit(left_out):
    check_head_landmarks({n: p for n, p in GOOD.items() if n not in left_out}, "x")


def test_heads_of_the_face_model_pass_and_none_passes_with_right_and_left_swapped(real_data):
    model = ICTFaceModel.load(real_data / "ict_face")
    random = np.random.default_rng(4)
    for _ in range(25):
        vertices = model.vertices(random.standard_normal(100))
        points = torch.from_numpy(vertices[model.landmarks68[list(HEAD_LANDMARKS_OF_68)]]).double()
        check_head_landmarks(named(turned(points)), "x")
        refused({OTHER.get(n, n): p for n, p in named(points).items()}, "right and left are swapped")


def test_the_similarity_takes_the_mean_head_to_the_landmarks():
    similarity = head_from_landmarks(named(turned(head_points())))
    mean = torch.tensor(MEAN_HEAD_LANDMARKS, dtype=torch.float64)
    torch.testing.assert_close(mean @ similarity[:3, :3].T + similarity[:3, 3], turned(head_points()))
    assert math.isclose(torch.linalg.det(similarity[:3, :3]), 0.1**3, rel_tol=1e-9)


def test_a_misfit_is_in_centimetres_on_the_mean_head():
    moved = head_points()
    moved[2, 2] += 0.5  # millimetres, along the nose: a similarity takes up part of it
    assert 0.01 < misfit(named(turned(moved))) < 0.05 / math.sqrt(6) + 1e-9


@pytest.mark.parametrize("landmarks, message", [
    ({n: p * torch.tensor([1.0, -1.0, 1.0]) for n, p in GOOD.items()}, "right and left are swapped, or the whole scene"),
    (GOOD | dict(rigth_eye=torch.zeros(3).double()), "'rigth_eye'.*did you mean 'right_eye'"),
    ({n: GOOD[n] for n in HEAD_LANDMARKS[:3]}, "3 landmarks.*4 of the six.*nose_base, right_lips, left_lips"),
    ({}, "no landmarks"),
    ({n: torch.tensor([1.0, 2.0, 3.0]).double() * i for i, n in enumerate(HEAD_LANDMARKS)}, "collinear"),
    ({n: torch.ones(3).double() for n in HEAD_LANDMARKS}, "coincide"),
    (GOOD | dict(nose_tip=torch.tensor([0.0, torch.nan, 0.0]).double()), "nose_tip is not finite"),
], ids=["mirrored", "unknown name", "too few", "none", "on a line", "at one position", "not finite"])  # yapf: disable
def test_landmarks_that_determine_no_head_are_refused(landmarks, message):
    refused(landmarks, message)


@pytest.mark.parametrize("names, message", [(HEAD_LANDMARKS[:2], "right_eye and left_eye are swapped"),
                                            (HEAD_LANDMARKS[4:], "right_lips and left_lips are swapped"),
                                            (HEAD_LANDMARKS[2:4], "nose_tip and nose_base are swapped")])
def test_a_swapped_pair_is_named(names, message):
    landmarks = named(turned(head_points()))
    refused(landmarks | {names[0]: landmarks[names[1]], names[1]: landmarks[names[0]]}, message)


def test_a_landmark_far_from_where_the_others_put_it_is_named_with_how_far():
    points = head_points()
    points[5] += torch.tensor([0.0, 90.0, 0.0])
    refused(named(turned(points)), "left_lips is 90 mm")


def beside(points, capture=None, **changed):
    seen = capture or head_capture(azimuths=(0, -35, 40, 180))
    arguments = dict(landmarks=named(points), cameras=seen.cameras, masks=seen.masks, names=seen.names) | changed
    return landmark_mask_problem(**arguments)


def test_landmarks_on_the_masks_pass_from_all_sides_and_where_an_image_ends():
    assert beside(head_points(2)) == ""
    cameras = head_capture(azimuths=(0, -35, 40, 180)).cameras
    right = replace(cameras, K=cameras.K + torch.tensor([[0.0, 0, 200], [0, 0, 0], [0, 0, 0]]))  # shows half of the face
    masks = torch.zeros(4, *cameras.size, dtype=torch.bool)
    masks[:, :, 300:] = True
    assert beside(head_points(2), cameras=right, masks=masks) == ""


@pytest.mark.parametrize("points", [
    10 * head_points(),
    head_points() + torch.tensor([0.0, 0.0, 3000.0]),
    head_points() + torch.tensor([80.0, 0.0, 0.0]),
], ids=["centimetres", "behind", "aside"])  # yapf: disable
def test_landmarks_of_another_unit_or_place_are_reported_with_the_views(points):
    narrow = torch.zeros(4, 480, 400, dtype=torch.bool)
    narrow[:, 200:280, 150:250] = True
    message = beside(points, masks=narrow)
    assert "outside the mask in view_0" in message and "unit of its cameras" in message


def test_landmarks_that_shrink_to_a_point_inside_the_head_are_reported():
    assert "are nearly one point" in beside(head_points() / 1000)


def test_landmarks_that_no_image_shows_are_reported_and_empty_masks_carry_no_information():
    assert "in none of the images" in beside(head_points() + torch.tensor([0.0, 900.0, 0.0]))
    assert beside(head_points() / 1000, masks=torch.zeros(4, 480, 400, dtype=torch.bool)) == ""

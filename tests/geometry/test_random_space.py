"""Fragments' boxes and targets, also in turned worlds, against NeuralRecon's."""

import numpy as np
import pytest
import torch

from deep3dmap.geometry.random_space import fragment_origin, fragment_targets, random_space, sample_volume
from deep3dmap.geometry.tsdf import DepthFrame
from tests.goldens import cases, read, tensor

GOLDEN = read("neuralrecon/transform_space")
SIZE, VOXEL = GOLDEN["voxel_dim"].tolist(), float(GOLDEN["voxel_size"])
SCALES = sorted(map(int, cases("neuralrecon/transform_space", r"full_tsdf_l(\d+)")))


def turned() -> torch.Tensor:
    """The fixture's random map."""
    extent = VOXEL * torch.tensor(GOLDEN["full_tsdf_l0"].shape)
    padding = float(GOLDEN["padding_xy"]), float(GOLDEN["padding_z"])
    return random_space(float(GOLDEN["rot_r01"]), tensor(GOLDEN["rot_t01"]), tensor(GOLDEN["vol_origin"]), extent, padding)


def to_case(case: str) -> torch.Tensor:
    """The map of a case from the fixture's world."""
    return turned() if case == "rot" else torch.eye(4)


def poses(case: str) -> torch.Tensor:
    """The cameras of a case. In the fixture all cases' poses are those after the map, which the reference changes in place."""
    stored = tensor(GOLDEN["pose"])
    overwritten = np.array_equal(GOLDEN["pose"], GOLDEN["rot_extrinsics"])
    return to_case(case) @ (torch.linalg.inv(turned()) @ stored if overwritten else stored)


def frames(case: str, shift: float) -> list[DepthFrame]:
    """The depth maps; ``shift`` is added to the principal point: the reference's pixels are whole numbers."""
    K = GOLDEN["K"] + np.float32([[0, 0, shift], [0, 0, shift], [0, 0, 0]])
    return [DepthFrame(depth, K, pose.numpy()) for depth, pose in zip(GOLDEN["depth"], poses(case))]


@pytest.mark.parametrize("case", ["id", "rot"])
def test_boxes_are_the_reference_s(case):
    origin = fragment_origin(frames(case, 0.0), SIZE, VOXEL, GOLDEN[f"{case}_vol_origin"], float(GOLDEN["max_depth"]))
    np.testing.assert_allclose(origin, GOLDEN[f"{case}_vol_origin_partial"], atol=1e-5)


def test_the_turned_cameras_are_the_reference_s():
    torch.testing.assert_close(poses("rot"), tensor(GOLDEN["rot_extrinsics"]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("case", ["id", "rot"])
def test_targets_are_the_reference_s(case):
    volumes = [tensor(GOLDEN[f"full_tsdf_l{scale}"]) for scale in SCALES]
    distances, occupied = fragment_targets(volumes, tensor(GOLDEN["vol_origin"]), torch.linalg.inv(to_case(case)),
                                           frames(case, 0.5), tensor(GOLDEN[f"{case}_vol_origin_partial"]), SIZE, VOXEL)
    for scale in SCALES:
        differ = (distances[scale] - tensor(GOLDEN[f"{case}_tsdf_l{scale}"])).abs() > 1e-5
        assert differ.float().mean() < 1e-3
        assert (occupied[scale] != tensor(GOLDEN[f"{case}_occ_l{scale}"])).float().mean() < 1e-3
        assert occupied[scale].any() and (distances[scale].abs() < 1).any()


def test_a_place_of_0_or_1_puts_the_volume_s_corner_and_its_padding_at_the_origin():
    origin, extent, padding = torch.tensor([1.0, -2, 0.5]), torch.tensor([4.0, 3, 2]), (0.1, 0.025)
    corners = origin + torch.cartesian_prod(*[torch.tensor([0.0, 1])] * 3) * extent
    for place in (0.0, 1.0):
        matrix = random_space(0.25, torch.full((3, ), place), origin, extent, padding)
        torch.testing.assert_close(matrix[:3, :3] @ corners[4], torch.stack([-corners[4, 1], corners[4, 0], corners[4, 2]]))
        moved = corners @ matrix[:3, :3].T + matrix[:3, 3] - origin
        # a quarter turn: the volume's sides in x and y are exchanged
        expected = torch.tensor([0.1, 0.1, 0.025]) if place else torch.tensor([1 - 0.1, -1 - 0.1, 0])
        torch.testing.assert_close(moved.amin(0), expected, atol=1e-5, rtol=0)


def test_beyond_the_volume_there_is_nothing():
    index = torch.tensor([[[[-3.0, 2, 2], [2, 2, 2], [2, 7, 2]]]])
    assert torch.equal(sample_volume(torch.full((5, 5, 5), -0.25), index), torch.tensor([[[1.0, -0.25, 1.0]]]))

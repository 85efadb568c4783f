"""The ellipsoid against values of the reference, and pictures of other sizes."""

import pytest
import torch

from deep3dmap.errors import DataError
from deep3dmap.frameworks.gan2shape.pictures import cropped, resized
from deep3dmap.frameworks.gan2shape.prior import INSIDE, ellipsoid, mask_range
from tests.goldens import cases, read, tensor

GOLDEN, LOSSES = read("gan2shape/shape_prior"), read("gan2shape/losses")
MASK = tensor(GOLDEN["mask"])[0, 0]
FAR = {"church/church_far": 1.0}


def close(actual, expected):
    torch.testing.assert_close(actual, tensor(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", cases("gan2shape/shape_prior", "ellipsoid/(.*)"))
def test_ellipsoids(case):
    options = dict(far=FAR[case]) if case in FAR else {}
    close(ellipsoid(MASK, case.split("/")[0], **options)[None], GOLDEN[f"ellipsoid/{case}"])


def test_range_of_a_mask():
    assert mask_range(MASK >= INSIDE) == tuple(GOLDEN["mask_range"])


def test_without_a_mask_the_ellipsoid_fills_the_picture():
    depth = ellipsoid(torch.ones(32, 32), "cat")
    assert depth[15:17, 15:17].flatten().tolist() == pytest.approx([float(depth.min())] * 4)
    corners = depth[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.tolist() == pytest.approx([1.02] * 4)


@pytest.mark.parametrize("rows", [0, 1])
def test_masks_with_too_little_in_them_are_refused(rows):
    mask = torch.zeros(16, 16)
    mask[:rows] = 1
    with pytest.raises(DataError, match=f"has {16 * rows} pixels"):
        ellipsoid(mask)


def test_resizing_and_cropping():
    for key in ("up40", "down16"):
        close(resized(tensor(LOSSES["im2"]), int(key.strip("updown"))), LOSSES[f"resize/{key}"])
    close(resized(tensor(LOSSES["smooth/depth"])[:, None], 16)[:, 0], LOSSES["resize/3d_down16"])
    close(cropped(tensor(LOSSES["im2"]), LOSSES["crop/14"].shape[-1]), LOSSES["crop/14"])
    assert resized(MASK[None, None], MASK.shape[-1]).equal(MASK[None, None])

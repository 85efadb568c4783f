"""PSNR, SSIM and mask IoU against the reference's figures, closed forms and another library."""

import math

import pytest
import torch

from deep3dmap.evaluation.images import mask_iou, psnr, shifted_mask_iou, ssim


@pytest.fixture
def picture():
    return torch.rand(40, 50, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def disc():
    y, x = torch.meshgrid(torch.arange(40), torch.arange(50), indexing="ij")
    return (y - 20)**2 + (x - 25)**2 < 14**2


def noisy(picture, size=0.1):
    return (picture + size * torch.randn(picture.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)


def test_psnr_is_that_of_idr_s_evaluation(goldens):
    z = goldens("idr/metrics")
    mask = torch.tensor(z["psnr_mask"][..., 0])
    assert psnr(torch.tensor(z["psnr_img1"]), torch.tensor(z["psnr_img2"]), mask) == pytest.approx(float(z["psnr"]), abs=1e-5)


def test_psnr_of_a_constant_error_is_its_logarithm_and_of_none_infinite(picture):
    assert psnr(picture * 0 + 0.5, picture * 0 + 0.6) == pytest.approx(20, abs=1e-4)
    assert psnr(picture, picture) == math.inf


def test_psnr_and_ssim_ignore_what_lies_outside_the_mask(picture, disc):
    other = noisy(picture)
    changed = torch.where(disc[..., None], other, 0.0)
    assert psnr(changed, picture, disc) == psnr(other, picture, disc)
    changed = torch.where(disc[..., None], noisy(picture), 1.0)
    assert ssim(changed, picture, disc) == pytest.approx(ssim(noisy(picture), picture, disc))
    assert ssim(picture, picture, disc) == pytest.approx(1)


def test_an_empty_mask_and_images_smaller_than_the_window_are_refused(picture, disc):
    for measure in (psnr, ssim):
        with pytest.raises(ValueError, match="mask is empty"):
            measure(picture, picture, disc & False)
    with pytest.raises(ValueError, match="11x11"):
        ssim(picture[:10], picture[:10])


def plain_ssim_map(x, y):
    """Wang et al. 2004, written out: weighted means, variances and covariance under an 11x11 Gaussian of sigma 1.5."""
    window = torch.exp(-(torch.arange(11) - 5.0)**2 / (2 * 1.5**2))
    window = (window[:, None] * window / (window[:, None] * window).sum())[None, None].double()

    def mean(a):
        return torch.nn.functional.conv2d(a.double().permute(2, 0, 1)[:, None], window)

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x.double()**2) - mx**2, mean(y.double()**2) - my**2, mean(x.double() * y.double()) - mx * my
    return (2 * mx * my + 1e-4) * (2 * cov + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))


def test_ssim_is_the_formula_of_wang_et_al(picture):
    assert ssim(noisy(picture), picture) == pytest.approx(float(plain_ssim_map(noisy(picture), picture).mean()), abs=1e-6)


def test_masked_ssim_is_the_mean_of_the_formula_over_the_mask(picture, disc):
    masked = [p * disc[..., None] for p in (noisy(picture), picture)]
    local = plain_ssim_map(*masked)[:, 0].permute(1, 2, 0)  # the disc keeps half a window from the border
    assert ssim(noisy(picture), picture, disc) == pytest.approx(float(local[disc[5:-5, 5:-5]].mean()), abs=1e-6)


def test_iou_counts_pixels_and_two_empty_masks_agree():
    first, second = torch.zeros(4, 4, dtype=torch.bool), torch.zeros(4, 4, dtype=torch.bool)
    first[:, :3], second[:, 2:] = True, True
    assert mask_iou(first, second) == pytest.approx(4 / 16)
    empty = torch.zeros(4, 4, dtype=torch.bool)
    assert mask_iou(empty, empty) == 1


def test_a_translation_within_reach_is_found_and_one_beyond_is_not():
    square = torch.zeros(12, 12, dtype=torch.bool)
    square[3:8, 4:8] = True
    moved = square.roll((2, -1), (0, 1))
    assert shifted_mask_iou(moved, square, 2) == 1
    assert shifted_mask_iou(moved, square, 1) == pytest.approx(4 * 4 / (2 * 20 - 4 * 4))
    assert shifted_mask_iou(moved, square, 0) == mask_iou(moved, square)


def test_what_a_translation_takes_out_of_the_image_does_not_come_in_on_the_other_side():
    first, last = torch.zeros(1, 4, dtype=torch.bool), torch.zeros(1, 4, dtype=torch.bool)
    first[0, 0], last[0, 3] = True, True
    assert shifted_mask_iou(first, last, 2) == 0

"""Adaptive augmentation: what it changes, how its probability moves, and that gradients pass it."""

import pytest
import torch

from deep3dmap.frameworks.stylegan2.augmentation import AdaptiveAugmentation, moved_pictures


def pictures(count: int = 4, height: int = 6, width: int = 8) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_pictures_are_mirrored_then_moved_with_a_mirrored_edge():
    x = pictures()
    flipped = torch.tensor([False, True, False, False])
    shift = torch.tensor([[0, 0], [0, 0], [2, 0], [0, -1]])
    moved = moved_pictures(x, flipped, shift)
    assert torch.equal(moved[0], x[0]) and torch.equal(moved[1], x[1].flip(2))
    assert torch.equal(moved[2, :, 2:], x[2, :, :-2]) and torch.equal(moved[2, :, :2], x[2, :, 1:3].flip(1))
    assert torch.equal(moved[3, :, :, :-1], x[3, :, :, 1:]) and torch.equal(moved[3, :, :, -1], x[3, :, :, -2])


def test_nothing_is_changed_at_first_and_most_pictures_at_last():
    augmentation, x = AdaptiveAugmentation(), pictures(64)
    assert torch.equal(augmentation(x), x)
    augmentation.probability.fill_(1)
    changed = (augmentation(x) != x).flatten(1).any(1)
    assert changed.all()
    assert not torch.equal(augmentation(x), augmentation(x))


@pytest.mark.parametrize("logit, expected", [(5.0, 0.5), (-5.0, 0.0)])
def test_the_probability_follows_the_verdicts_on_real_pictures(logit, expected):
    augmentation = AdaptiveAugmentation(target=0.2, pictures=100)
    for _ in range(5):
        augmentation.adapt(torch.full((10, 1), logit), 10)
    assert float(augmentation.probability) == pytest.approx(max(expected - 0.1 * (logit > 0), 0))  # at first too few verdicts


def test_gradients_pass_also_twice():
    augmentation, x = AdaptiveAugmentation(), pictures(1, 3, 3)[:, :1].double().requires_grad_()
    augmentation.probability.fill_(1)

    def changed(images):
        torch.manual_seed(3)
        return augmentation(images).sin()

    assert torch.autograd.gradgradcheck(changed, (x, ))

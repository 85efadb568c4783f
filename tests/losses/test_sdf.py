import torch

from deep3dmap.losses import SDFLoss


def test_the_loss_is_the_mean_distance_from_the_given_distances():
    loss = SDFLoss()(dict(sdf=torch.tensor([0.1, -0.2, 0.5])), dict(sdf=torch.tensor([0.0, 0.2, 0.5])))
    torch.testing.assert_close(loss, torch.tensor(0.5 / 3))


def test_points_of_other_keys_do_not_count():
    outputs = dict(sdf=torch.zeros(4), eikonal_gradient=torch.ones(4, 3))
    assert SDFLoss(weight=5.0)(outputs, dict(sdf=torch.zeros(4))) == 0

import torch
from torch import nn

from deep3dmap.backbones.linear import WeightNormLinear, frozen


def test_each_row_of_the_weight_has_the_length_that_g_says():
    layer = WeightNormLinear(5, 4)
    with torch.no_grad():
        layer.weight_g.copy_(torch.tensor([[1.0], [2.0], [0.5], [3.0]]))
    torch.testing.assert_close(layer.weight.norm(dim=1), torch.tensor([1.0, 2.0, 0.5, 3.0]))


def test_it_agrees_with_torchs_weight_norm_in_values_and_gradients():
    torch.manual_seed(0)
    layer, x = WeightNormLinear(5, 4), torch.randn(6, 5)
    twin = nn.utils.parametrizations.weight_norm(nn.Linear(5, 4))
    with torch.no_grad():
        layer.weight_g.mul_(1.5)
        twin.parametrizations.weight.original0.copy_(layer.weight_g)
        twin.parametrizations.weight.original1.copy_(layer.weight_v)
        twin.bias.copy_(layer.bias)
    torch.testing.assert_close(layer(x), twin(x))
    layer(x).square().sum().backward()
    twin(x).square().sum().backward()
    torch.testing.assert_close(layer.weight_g.grad, twin.parametrizations.weight.original0.grad)
    torch.testing.assert_close(layer.weight_v.grad, twin.parametrizations.weight.original1.grad)


def test_the_published_checkpoints_names_are_kept_in_their_order():
    assert list(WeightNormLinear(5, 4).state_dict()) == ["bias", "weight_g", "weight_v"]


def test_it_starts_with_the_numbers_of_nn_linear():
    torch.manual_seed(3)
    layer = WeightNormLinear(5, 4)
    torch.manual_seed(3)
    linear = nn.Linear(5, 4)
    torch.testing.assert_close(layer.weight, linear.weight)
    assert torch.equal(layer.bias, linear.bias)


def test_frozen_weights_are_computed_once_and_only_without_gradient():
    module = nn.Sequential(WeightNormLinear(5, 4))
    with frozen(module):
        with torch.no_grad():
            assert module[0].weight is module[0].weight
        assert module[0].weight.requires_grad
    with torch.no_grad():
        assert module[0].weight is not module[0].weight


def test_weights_thaw_after_an_error():
    module = nn.Sequential(WeightNormLinear(5, 4))
    try:
        with frozen(module):
            raise KeyError
    except KeyError:
        pass
    with torch.no_grad():
        module[0].weight_g.zero_()
        assert not module[0].weight.any()

"""The decoder against values and gradients of the authors' code, and its faster ways against the plain one."""

import pytest
import torch

from deep3dmap.backbones import DeepSDFDecoder
from deep3dmap.errors import ConfigError
from tests.goldens import assert_near, cases, manifest, tensor, tensors, text

VARIANTS = cases("deepsdf/decoder", r"(.+)/config")


def decoder_of(golden, variant) -> DeepSDFDecoder:
    config = text(golden, f"{variant}/config")
    decoder = DeepSDFDecoder(config.pop("latent_size"), **config)
    decoder.load_state_dict(tensors(golden, f"{variant}/state/"))
    return decoder.eval()


def shapes_of(golden) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Codes (s, l), as many points of each (s, k, 3), and the golden row of each point (s, k); surplus points are left out."""
    index = tensor(golden["code_index"]).long()
    rows = [(index == s).nonzero()[:, 0] for s in range(len(golden["codes"]))]
    count = min(map(len, rows))
    assert count
    rows = torch.stack([row[:count] for row in rows])
    return tensor(golden["codes"]), tensor(golden["xyz"])[rows], rows


def small(**options) -> DeepSDFDecoder:
    torch.manual_seed(0)
    defaults = dict(code_length=8, dims=(32, ) * 4, dropout=range(4), norm_layers=range(4), latent_in=(2, ))
    return DeepSDFDecoder(**defaults | options)


@pytest.mark.parametrize("variant", VARIANTS)
def test_distances_are_those_of_the_reference(goldens, variant):
    golden = goldens("deepsdf/decoder")
    codes, points, rows = shapes_of(golden)
    with torch.no_grad():
        ours = decoder_of(golden, variant)(codes, points)
    torch.testing.assert_close(ours, torch.from_numpy(golden[f"{variant}/sdf"])[rows, 0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_with_respect_to_points_and_codes_are_those_of_the_reference(goldens, variant):
    golden, (codes, points, rows) = goldens("deepsdf/decoder"), shapes_of(goldens("deepsdf/decoder"))
    codes, points = codes.requires_grad_(), points.requires_grad_()
    cotangent = torch.from_numpy(golden[f"{variant}/cotangent"])[rows, 0]
    (decoder_of(golden, variant)(codes, points) * cotangent).sum().backward()
    expected = torch.from_numpy(golden[f"{variant}/input_grad"])[rows]
    by_code, by_point = expected.split([codes.shape[1], 3], -1)
    assert_near(points.grad, by_point, 1e-4)
    assert_near(codes.grad, by_code.sum(1), 1e-4)


def test_gradients_with_respect_to_the_parameters_are_those_of_the_reference(goldens):
    golden = goldens("deepsdf/decoder")
    decoder = decoder_of(golden, "published_kind")
    codes, points = tensor(golden["codes"])[tensor(golden["code_index"]).long()], tensor(golden["xyz"])[:, None]
    (decoder(codes, points) * tensor(golden["published_kind/cotangent"])).sum().backward()
    for name, parameter in decoder.named_parameters():
        assert_near(parameter.grad, tensor(golden[f"published_kind/grad/{name}"]), 1e-4, name)


def test_one_code_for_all_points_gives_what_the_reference_decodes(goldens):
    golden = goldens("deepsdf/decoder")
    decoder, xyz = decoder_of(golden, "published_kind"), torch.from_numpy(golden["xyz"])
    expected = torch.from_numpy(golden["published_kind/decode_sdf_first_code"])[:, 0]
    code = torch.from_numpy(golden["codes"])[0]
    torch.testing.assert_close(decoder.field(code)(xyz), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(decoder(code[None], xyz[None])[0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_field_of_one_shape_is_the_decoder_with_its_code(goldens, variant):
    golden = goldens("deepsdf/decoder")
    decoder, (codes, points, _) = decoder_of(golden, variant), shapes_of(golden)
    for code, at, expected in zip(codes, points, decoder(codes, points).detach()):
        torch.testing.assert_close(decoder.field(code)(at), expected, atol=1e-6, rtol=0)


def test_the_published_network_has_the_published_parameters():
    published = manifest("deepsdf")
    specs = published["specs"]["chairs"]
    decoder = DeepSDFDecoder(specs["CodeLength"], **specs["NetworkSpecs"])
    expected = {name.removeprefix("module."): tuple(shape) for name, shape in published["model_state_dict"].items()}
    assert {name: tuple(p.shape) for name, p in decoder.state_dict().items()} == expected


def test_dropout_keeps_the_expectation_and_drops_its_share():
    decoder = small(latent_in=(), dims=(64, ), dropout=(0, ), norm_layers=())
    codes, points = torch.randn(1, 8), torch.randn(1, 1, 3).expand(1, 20_000, 3)
    with torch.no_grad():
        decoder.lin1.weight.mul_(0.01)  # where tanh is a straight line
        plain, dropped = decoder.eval()(codes, points)[0, 0], decoder.train()(codes, points)[0]
    assert dropped.std() > 1e-4
    assert dropped.mean() == pytest.approx(float(plain), abs=4 * float(dropped.std()) / 20_000**0.5)


def test_latent_dropout_drops_a_fifth_of_the_codes_entries_point_by_point():
    decoder = small(latent_dropout=True, dropout=None, dims=(16, ), norm_layers=(), latent_in=())
    codes, points = torch.ones(1, 8), torch.zeros(1, 5000, 3)
    with torch.no_grad():
        values = decoder.train()(codes, points)
        assert len(values.unique()) > 50
        assert len(decoder.eval()(codes, points).unique()) == 1


def test_mixed_precision_stays_near(goldens):
    golden = goldens("deepsdf/decoder")
    decoder, (codes, points, _) = decoder_of(golden, "published_kind"), shapes_of(golden)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        mixed = decoder(codes, points)
    exact = decoder(codes, points).detach()
    assert mixed.dtype == torch.float32
    assert 0 < (mixed - exact).abs().max() < 0.01


@pytest.mark.parametrize("wrong, message", [
    (dict(latent_in=(0, )), "latent_in"),
    (dict(norm_layers=(7, )), "norm_layers"),
    (dict(dropout=(9, )), "dropout"),
    (dict(dropout_prob=1.0), "dropout_prob"),
    (dict(dims=(32, 8, 32, 32)), "layer 1"),
])
def test_options_that_do_not_fit_are_named(wrong, message):
    with pytest.raises(ConfigError, match=message):
        small(**wrong)

"""Priors of heads: made from a DeepSDF, kept in a file, read again."""

import numpy as np
import pytest
import torch

from deep3dmap.errors import DataError
from deep3dmap.frameworks import DeepSDF
from deep3dmap.frameworks.h3dnet.prior import load_prior, prior_arrays, prior_of
from deep3dmap.io.npz import npz_bytes
from deep3dmap.structures.head_landmarks import MEAN_HEAD_LANDMARKS
from tests.frameworks.h3dnet.heads import OFFSET, OPTIONS, SCALE, ball_prior


@pytest.fixture
def arrays():
    return prior_arrays(ball_prior())


def written(tmp_path, arrays):
    path = tmp_path / "prior.npz"
    path.write_bytes(npz_bytes(**arrays))
    return path


def in_head(prior, centimetres):
    points, similarity = torch.tensor(centimetres, dtype=torch.float64), prior.head_from_centimetres
    torch.testing.assert_close(points @ similarity[:3, :3].T + similarity[:3, 3], (points + prior.offset) * prior.scale)
    return ((points + prior.offset) * prior.scale).float()


def space(scales=(SCALE, SCALE), decoder=None):
    torch.manual_seed(0)
    made = DeepSDF(decoder or dict(type="CodedSDFNetwork", features=3, **OPTIONS), dict(sdf=dict(type="ClampedSDFLoss")))
    made.setup(dict(shapes=["a", "b"], offsets=OFFSET.expand(2, 3), scales=torch.tensor(scales, dtype=torch.float64)))
    return made


def test_a_file_gives_the_prior_back_to_half_precision(tmp_path, arrays):
    read, prior = load_prior(written(tmp_path, arrays)), ball_prior()
    points, code = torch.rand(50, 3) - 0.5, torch.full((4, ), 0.2)
    torch.testing.assert_close(read.decoder().field(code)(points), prior.decoder().field(code)(points), atol=2e-3, rtol=0)
    assert torch.equal(read.offset, prior.offset) and read.scale == prior.scale and read.options == prior.options


def test_the_prior_of_a_space_makes_its_shapes(tmp_path):
    trained = space()
    prior = load_prior(written(tmp_path, prior_arrays(prior_of(trained))))
    points = torch.rand(50, 3) - 0.5
    expected = trained.decoder.field(trained.code_of("a"))(points)
    torch.testing.assert_close(prior.decoder(features=7).field(trained.code_of("a"))(points), expected, atol=2e-3, rtol=0)
    torch.testing.assert_close(prior.codes.mean, trained.codes.weight.detach().double().mean(0), atol=1e-3, rtol=0)


@pytest.mark.parametrize("call, message", [
    (lambda: prior_of(space(scales=(SCALE, 0.05))), "no common frame"),
    (lambda: prior_of(space(decoder=dict(type="DeepSDFDecoder", code_length=4, dims=[16] * 8))), "DeepSDFDecoder"),
])  # yapf: disable
def test_spaces_without_a_common_frame_or_a_decoder_that_idr_renders_give_no_prior(call, message):
    with pytest.raises(DataError, match=message):
        call()


@pytest.mark.parametrize("change, said", [
    ({"option.width": np.array(65)}, r"decoder.lin0.bias is of size \(64,\), but its options require \(65,\)"),
    ({"decoder.lin1.bias": None}, "lacks 'decoder.lin1.bias'"),
    ({"code_mean": np.zeros(5, np.float16)}, r"code_mean is of size \(5,\).*\(4,\)"),
    ({"decoder.lin0.bias": np.full(64, np.nan, np.float16)}, "decoder.lin0.bias contains values that are not finite"),
    ({"option.depth": None}, "lacks 'option.depth'"),
    ({"option.depth": np.array(-1)}, "depth"),
    ({"scale": np.array(-0.04)}, "scale is -0.04, but must be positive"),
])  # yapf: disable
def test_a_prior_of_another_size_is_reported_by_name(tmp_path, arrays, change, said):
    path = written(tmp_path, {k: v for k, v in (arrays | change).items() if v is not None})
    with pytest.raises(DataError, match=f"prior.npz.*{said}"):
        load_prior(path)


def test_of_many_arrays_a_message_names_a_few(tmp_path, arrays):
    path = written(tmp_path, {k: v for k, v in arrays.items() if k != "code_root"})
    with pytest.raises(DataError, match="lacks 'code_root'") as error:
        load_prior(path)
    assert " more" in str(error.value) and len(str(error.value)) < 500 + len(str(path))


def test_what_is_no_prior_is_refused(tmp_path):
    path = tmp_path / "other.npz"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="other.npz.*a prior of heads"):
        load_prior(path)
    with pytest.raises(DataError, match="ict_headz.*ict_heads"):
        load_prior("ict_headz")


def test_what_a_prior_pickles_is_never_run(tmp_path, arrays, canary):

    class Attack:

        def __reduce__(self):
            return exec, ("import canary", )

    path = tmp_path / "prior.npz"
    for name in ("option.width", "decoder.lin0.bias"):
        np.savez(path, **arrays | {name: np.array(Attack(), object)})
        with pytest.raises(DataError, match="prior.npz"):
            load_prior(path)
    assert not canary.exists()


def test_the_shipped_prior_is_of_heads():
    prior = load_prior("ict_heads")
    distances = prior.decoder().field(prior.codes.mean.float())
    centimetres = distances(in_head(prior, MEAN_HEAD_LANDMARKS)) / prior.scale
    assert centimetres.abs().max() < 0.4  # the landmarks lie on the mean head's surface
    assert (distances(in_head(prior, [[7.5, 0.0, 0.0], [-7.5, 0.0, 0.0]])) < 0.05).all()  # ears

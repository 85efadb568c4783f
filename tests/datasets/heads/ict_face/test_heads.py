import numpy as np
import pytest

from deep3dmap.datasets.heads.ict_face.heads import SPLITS, HeadMaker
from deep3dmap.errors import ConfigError
from tests.datasets.heads.ict_face.made import EXPRESSIONS


def test_a_head_depends_on_seed_split_and_number_alone(model):
    one, another = HeadMaker.build(model, 3), HeadMaker.build(model, 3)
    for index in range(5):
        one.vertices("train", index)  # heads made before change nothing
    np.testing.assert_array_equal(one.vertices("test", 2), another.vertices("test", 2))


def test_no_two_heads_of_any_split_or_seed_are_alike(model):
    found = [HeadMaker.build(model, seed).identity(split, index) for seed in (0, 1) for split in SPLITS for index in range(5)]
    assert len(np.unique(np.round(found, 5), axis=0)) == len(found)


def test_identities_are_standard_normal(model):
    maker = HeadMaker.build(model)
    drawn = np.array([maker.identity("train", index) for index in range(2000)])
    np.testing.assert_allclose(drawn.mean(0), 0, atol=0.1)
    np.testing.assert_allclose(np.cov(drawn.T), np.eye(3), atol=0.15)


def test_neutral_heads_have_no_expression(model):
    maker = HeadMaker.build(model)
    assert maker.expression("train", 0) == {}
    np.testing.assert_array_equal(maker.vertices("train", 0), model.vertices(maker.identity("train", 0)))


def test_expressions_are_three_that_can_stand_alone_with_weights_up_to_the_given_one(model):
    maker = HeadMaker.build(model, expressions=0.5)
    drawn = [maker.expression("train", index) for index in range(50)]
    assert {name for weights in drawn for name in weights} == set(EXPRESSIONS) - {"eyeLookUp_L", "mouthClose"}
    weights = [w for found in drawn for w in found.values()]
    assert {len(found) for found in drawn} == {3} and 0 <= min(weights) and 0.4 < max(weights) <= 0.5


def test_expressions_and_missing_parts_leave_the_identity_as_it_is(model):
    plain, rich = HeadMaker.build(model), HeadMaker.build(model, expressions=1.0, missing=["neck", "hair"])
    np.testing.assert_array_equal(plain.identity("train", 7), rich.identity("train", 7))


def test_heads_of_a_made_model_are_closed_unless_parts_are_missing(model):
    assert HeadMaker.build(model).mesh("train", 0).is_watertight
    assert not HeadMaker.build(model, missing=["neck"]).mesh("train", 0).is_watertight


@pytest.mark.parametrize("options, message", [
    (dict(seed=-1), "seed must not be negative, got -1"),
    (dict(expressions=1.5), "expressions must lie between 0 .* and 1, got 1.5"),
    (dict(missing=["hare"]), "'hare' can be missing: did you mean 'hair'"),
])
def test_options_that_are_invalid_are_refused(model, options, message):
    with pytest.raises(ConfigError, match=message):
        HeadMaker.build(model, **options)


def lost_and_left(maker: HeadMaker, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres of the mean head's triangles that a head lacks, and that it has."""
    centres = maker.surface.vertices(maker.model.mean)[maker.surface.faces].mean(1)
    keep = maker.kept("train", index)
    return centres[~keep], centres[keep]


def test_below_the_neck_nothing_is_left(real_model):
    maker = HeadMaker.build(real_model, missing=["neck"])
    chin = real_model.mean[real_model.landmarks68[8], 1]
    for index in range(4):
        lost, left = lost_and_left(maker, index)
        assert chin - 6 < left[:, 1].min() < chin - 2 + 0.5 and lost[:, 1].max() < left[:, 1].min() + 0.5


def test_hair_is_missing_from_the_scalp_and_leaves_the_face(real_model):
    maker = HeadMaker.build(real_model, missing=["hair"])
    brows = real_model.mean[real_model.landmarks68[17:27], 1].mean()
    for index in range(4):
        lost, _ = lost_and_left(maker, index)
        extent = np.linalg.norm(lost.max(0) - lost.min(0))
        assert lost[:, 1].max() > brows + 3.5 and 5 < extent < 28
        in_front = lost[lost[:, 2] > real_model.mean[real_model.landmarks68[0], 2]]
        assert not (in_front[:, 1] < brows + 2).any()


def test_one_ear_is_missing_on_either_side_by_chance(real_model):
    maker = HeadMaker.build(real_model, missing=["ear"])
    sides = set()
    for index in range(8):
        lost, left = lost_and_left(maker, index)
        side = np.sign(lost[:, 0].mean())
        sides.add(side)
        assert (side * lost[:, 0]).max() > 8 and (left[:, 0] * -side).max() > 8  # ears stick out to 8 cm and more
    assert sides == {-1.0, 1.0}


def test_what_is_missing_stays_the_same_when_more_is(real_model):
    hair, both = (HeadMaker.build(real_model, missing=m).kept("train", 1) for m in (["hair"], ["neck", "hair"]))
    assert hair.sum() > both.sum() and not (both & ~hair).any()

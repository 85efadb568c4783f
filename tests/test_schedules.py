"""Numbers that change during training."""

import pytest

from deep3dmap.errors import ConfigError
from deep3dmap.schedules import Progress, Schedule
from tests.goldens import text


def test_a_number_is_constant():
    assert [Schedule(0.5)(Progress(fraction=f)) for f in (0.0, 0.5, 1.0)] == [0.5] * 3


def test_the_values_of_a_list_share_the_stage_in_equal_parts():
    schedule = Schedule([50, 100, 200, 400])
    assert [schedule(Progress(fraction=f))
            for f in (0.0, 0.24, 0.25, 0.5, 0.74, 0.75, 1.0)] == [50, 50, 100, 200, 200, 400, 400]


@pytest.mark.parametrize("by", ["epoch", "step", "fraction"])
def test_a_schedule_is_multiplied_at_each_milestone_of_its_unit(by):
    unit = 0.1 if by == "fraction" else 1
    schedule = Schedule(dict(start=50.0, factor=2.0, milestones=[4 * unit, 2 * unit], by=by))
    other = {"epoch": 9, "step": 9, "fraction": 0.9}
    values = [schedule(Progress(**other | {by: at * unit})) for at in (0, 1, 2, 3, 4, 10)]
    assert values == [50, 50, 100, 100, 200, 200]


def test_epochs_are_the_unit_of_milestones_by_default():
    schedule = Schedule(dict(start=1.0, factor=0.5, milestones=[2]))
    assert (schedule(Progress(epoch=1, step=99)), schedule(Progress(epoch=2))) == (1.0, 0.5)


def test_a_schedule_is_multiplied_every_so_often():
    schedule = Schedule(dict(start=1.0, factor=0.5, every=10, by="step"))
    assert [schedule(Progress(step=s)) for s in (0, 9, 10, 29, 30)] == [1.0, 1.0, 0.5, 0.25, 0.125]


def test_a_ramp_moves_evenly_and_stays():
    schedule = Schedule(dict(start=1.0, end=3.0, length=4))
    assert [schedule(Progress(epoch=e)) for e in (0, 1, 2, 4, 9)] == [1.0, 1.5, 2.0, 3.0, 3.0]


def deepsdfs(config: dict):
    """An entry of ``LearningRateSchedule`` as ours."""
    if config["Type"] == "Step":
        return dict(start=config["Initial"], factor=config["Factor"], every=config["Interval"], first=1)
    if config["Type"] == "Warmup":
        return dict(start=config["Initial"], end=config["Final"], length=config["Length"], first=1)
    return config["Value"]


def test_rates_are_those_of_the_schedules_of_deepsdf(goldens):
    golden = goldens("deepsdf/schedules")
    configs = text(golden, "configs")
    assert len(configs) == len(golden["rates"])
    for config, expected in zip(configs, golden["rates"]):
        ours = Schedule(deepsdfs(config))
        found = [ours(Progress(epoch=int(e) - 1)) for e in golden["epochs"] if e > 0]
        assert found == pytest.approx(expected[golden["epochs"] > 0].tolist(), rel=1e-12)


def test_the_weight_of_the_codes_is_that_of_deepsdf(goldens):
    golden, ours = goldens("deepsdf/schedules"), Schedule(dict(start=0.0, end=1e-4, length=100, first=1))
    found = [ours(Progress(epoch=int(e) - 1)) for e in golden["reg_epochs"]]
    assert found == pytest.approx(golden["reg_weight"].tolist(), rel=1e-12)


@pytest.mark.parametrize("value, message", [
    (dict(start=1.0, factor=0.5, every=0), "positive"), (dict(start=1.0, end=2.0, length=-1), "positive"),
    (dict(start=1.0, end="2", length=1), "numbers"), (dict(start=1.0, end=2.0, every=1), "keys"),
    ("fast", "expected a number"), ([], "expected a number"), ([1.0, "2"], "expected a number"), (None, "expected a number"),
    (dict(start=1.0), "keys"), (dict(start=1.0, milestones=[1], gamma=0.5), "keys"),
    (dict(start=1.0, milestones=[1], by="minute"), "minute"), (dict(start=1.0, milestones=5), "milestones"),
    (dict(start="1", milestones=[5]), "start"), (dict(start=1.0, milestones=["a"]), "milestones"),
])  # yapf: disable
def test_what_is_no_schedule_is_refused_by_name(value, message):
    with pytest.raises(ConfigError, match=f"mask.weight.*{message}"):
        Schedule(value, "mask.weight")

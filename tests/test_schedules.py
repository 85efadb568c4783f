"""Numbers that change during training."""

import pytest

from deep3dmap.errors import ConfigError
from deep3dmap.schedules import Progress, Schedule


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


@pytest.mark.parametrize("value, message", [
    ("fast", "expected a number"),
    ([], "expected a number"),
    ([1.0, "2"], "expected a number"),
    (None, "expected a number"),
    (dict(start=1.0), "keys"),
    (dict(start=1.0, milestones=[1], gamma=0.5), "keys"),
    (dict(start=1.0, milestones=[1], by="minute"), "minute"),
    (dict(start=1.0, milestones=5), "milestones a list"),
    (dict(start="1", milestones=[5]), "start"),
    (dict(start=1.0, milestones=["a"]), "milestones"),
])  # yapf: disable
def test_what_is_no_schedule_is_refused_by_name(value, message):
    with pytest.raises(ConfigError, match=f"mask.weight.*{message}"):
        Schedule(value, "mask.weight")

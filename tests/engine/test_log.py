"""The line of progress, and the scalars."""

import io
import json
import re
import sys

import pytest
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict

from deep3dmap.engine.hooks.log import duration, learning_rates

LINE = re.compile(r"train \(2/2\) step 10/10 100% \| ETA 0:00 \| loss \S+ fit \S+ flat \S+ \| [\d,]+ items/s \| [\d,]+ MiB")


class Terminal(io.StringIO):
    """Looks like one."""

    def isatty(self) -> bool:
        return True


def scalars(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "scalars.jsonl").read_text().splitlines()]


def test_plain_lines_come_where_there_is_no_terminal(line_config, runner_of, capsys):
    runner_of(line_config(default_hooks__log=dict(interval=2, seconds=0.0))).train()
    text = capsys.readouterr().out
    assert "\r" not in text and "\x1b" not in text
    assert len(text.splitlines()) == 8 and LINE.fullmatch(text.splitlines()[-1])
    assert text.startswith("intercept (1/2) step 2/6  33% |")


def test_a_line_counts_what_the_batch_holds(line_config, runner_of, capsys):
    runner = runner_of(line_config(default_hooks__log=dict(interval=10, seconds=0.0)))
    runner.framework.items = {"position": "points"}
    runner.train()
    assert re.search(r"\| [\d,]+ points/s \|", capsys.readouterr().out)


def test_warnings_on_the_terminal_are_signed_by_the_program(line_config, runner_of, capsys):
    runner_of(line_config()).logger.warning("look here")
    assert re.search(r"deep3dmap - .*WARNING.* - look here", "".join(capsys.readouterr()))


def test_plain_lines_keep_their_distance_but_the_last_of_a_stage_always_comes(line_config, runner_of, capsys):
    runner_of(line_config(default_hooks__log=dict(interval=1, seconds=1000.0))).train()
    assert [re.search(r"step \S+", line)[0]
            for line in capsys.readouterr().out.splitlines()] == ["step 1/6", "step 6/6", "step 10/10"]


def test_on_a_terminal_one_line_is_rewritten(line_config, runner_of, monkeypatch, tmp_path):
    runner = runner_of(line_config(), tmp_path)
    terminal = Terminal()
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setattr(sys, "stdout", terminal)
    hook = next(h for h in runner.hooks if type(h).__name__ == "LogHook")
    hook.__init__(interval=2, seconds=1000.0)
    runner.train()
    text = terminal.getvalue()
    assert text.count("\r") == 8 and text.count("\n") == 2
    assert LINE.search(text)
    assert (tmp_path / "log.txt").read_text().count("items/s") == 3  # not all of them in the log


def test_the_live_line_is_never_wider_than_the_terminal(line_config, runner_of, monkeypatch):
    runner = runner_of(line_config())
    terminal = Terminal()
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setattr(sys, "stdout", terminal)
    next(h for h in runner.hooks if type(h).__name__ == "LogHook").__init__(interval=2)
    runner.train()
    lines = re.split(r"[\r\n]", terminal.getvalue().replace("\x1b[K", ""))
    assert max(len(line) for line in lines) == 49


def test_progress_can_be_turned_off(line_config, runner_of, capsys):
    runner_of(line_config(default_hooks__log=dict(interval=2, seconds=0.0)), progress=False).train()
    assert capsys.readouterr().out == ""


def test_records_come_at_every_interval_of_a_stage_and_at_its_end(line_config, runner_of, tmp_path):
    runner_of(line_config(default_hooks__log=dict(interval=4)), tmp_path).train()
    assert [(r["step"], r["stage"], r["stage_step"], r["epoch"]) for r in scalars(tmp_path)] == [
        (4, "intercept", 4, 1), (6, "intercept", 6, 2), (10, "train", 4, 1), (14, "train", 8, 2), (16, "train", 10, 3)
    ]  # yapf: disable


def test_a_record_is_the_mean_since_the_one_before(line_config, runner_of, tmp_path):
    for interval in (1, 5):
        runner_of(line_config(default_hooks__log=dict(interval=interval)), tmp_path / str(interval)).train()
    single = [r["loss_fit"] for r in scalars(tmp_path / "1")]
    means = [r["loss_fit"] for r in scalars(tmp_path / "5")]
    assert means == pytest.approx([sum(single[a:b]) / (b - a) for a, b in [(0, 5), (5, 6), (6, 11), (11, 16)]])


def test_a_record_holds_the_rate_the_pace_the_time_and_the_memory(line_config, runner_of, tmp_path):
    runner_of(line_config(), tmp_path).train()
    record = scalars(tmp_path)[-1]
    assert record["lr"] == 0.05 and record["items_per_second"] > 0 and record["memory_mib"] > 50
    assert 0 < record["seconds"] < 60


def test_each_part_s_learning_rate_is_logged():
    wrapper = [OptimWrapper(torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=lr)) for lr in (0.1, 0.2)]
    assert learning_rates(OptimWrapperDict(a=wrapper[0], b=wrapper[1])) == dict(lr_a=0.1, lr_b=0.2)


@pytest.mark.parametrize("seconds, text", [(0.4, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3723, "1:02:03"),
                                           (float("inf"), "?")])  # yapf: disable
def test_durations_are_written_as_a_clock_does(seconds, text):
    assert duration(seconds) == text

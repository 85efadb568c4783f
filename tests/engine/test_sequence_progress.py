"""An inference of sequences of clips goes on where it was interrupted or killed."""

import os
import signal
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "tiny_clips"))

import tiny_clips

from deep3dmap.engine import sequence_progress
from deep3dmap.engine.config import build_runner
from deep3dmap.errors import ConfigError

LENGTHS = [4, 3]


class KilledError(Exception):
    """Ends a process at once."""


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """Makes a runner that tests two sequences of 4 and 3 clips, and keeps its progress after every clip."""
    monkeypatch.setattr(sequence_progress, "SECONDS", 0)

    def make(resume=False, seed=2, killed_after=None):
        cfg = Config(dict(model=dict(type=tiny_clips.TinyClips.__name__, backbone=dict(type="Gain"), losses={}),
                          test_dataloader=dict(dataset=dict(type="Levels", lengths=LENGTHS, seed=seed)),
                          test_cfg=dict(resumable=True)))  # yapf: disable
        made, clips = build_runner(cfg, work_dir=str(tmp_path), device="cpu", resume=resume), []
        forward = made.framework.forward

        def counted(inputs, mode):
            clips.append(inputs["measured"])
            if len(clips) - 1 == killed_after:
                raise KilledError
            return forward(inputs, mode)

        made.framework.forward = counted
        made.framework.enter_stage(made.framework.stage.__class__("sequences"))
        return made, clips

    return make


def levels(result):
    return {each.name: each.result.arrays["level"] for each in result.results}


@pytest.mark.parametrize("clips", range(sum(LENGTHS)))
def test_killed_after_any_clip_it_resumes_to_the_same_results(clips, runner):
    whole = levels(runner()[0].test())
    with pytest.raises(KilledError):
        runner(killed_after=clips)[0].test()
    resumed, again = runner(resume=True)
    assert levels(resumed.test()) == whole
    assert len(again) == sum(LENGTHS) - clips + (clips >= LENGTHS[0])  # the last clip of a finished sequence is made again


def test_what_is_kept_of_other_data_is_refused(runner):
    with pytest.raises(KilledError):
        runner(killed_after=2)[0].test()
    with pytest.raises(ConfigError, match="seed: 2 -> 3"):
        runner(resume=True, seed=3)[0].test()


def test_without_resume_it_begins_anew(runner):
    with pytest.raises(KilledError):
        runner(killed_after=2)[0].test()
    anew, clips = runner()
    anew.test()
    assert len(clips) == sum(LENGTHS)


def test_a_damaged_file_is_told_and_its_sequence_begins_again(runner, tmp_path, capsys):
    whole = levels(runner()[0].test())
    with pytest.raises(KilledError):
        runner(killed_after=2)[0].test()
    (tmp_path / sequence_progress.SEQUENCES / "00000.pth").write_bytes(b"half")
    assert levels(runner(resume=True)[0].test()) == whole
    assert "00000.pth" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_the_clip_that_it_falls_into(number, runner, monkeypatch):
    whole = levels(runner()[0].test())
    monkeypatch.setattr(sequence_progress, "SECONDS", 1e9)
    interrupted, clips = runner()
    forward = interrupted.framework.forward

    def interrupt(inputs, mode):
        if len(clips) == 1:
            os.kill(os.getpid(), number)
        return forward(inputs, mode)

    interrupted.framework.forward = interrupt
    with pytest.raises(KeyboardInterrupt):
        interrupted.test()
    resumed, again = runner(resume=True)
    assert levels(resumed.test()) == whole and len(again) == sum(LENGTHS) - 2

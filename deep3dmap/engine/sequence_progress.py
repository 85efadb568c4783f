"""What a framework remembers of a sequence while its clips are reconstructed, kept in files: an inference that was
interrupted or killed goes on after the last clip that is kept.

A sequence's file is written after its clips, but for those with a complete result, which has to be made again. So a sequence
that was finished is resumed before its last clip.
"""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from deep3dmap.engine.checkpoint import read_pickle, save_checkpoint
from deep3dmap.engine.resuming import check_same_config
from deep3dmap.errors import CheckpointError
from deep3dmap.frameworks.base import Framework
from deep3dmap.interrupts import Interrupts
from deep3dmap.io.files import remove, remove_parts
from deep3dmap.registry import UNUSABLE

#: Folder of the files in a work folder.
SEQUENCES = "sequences"

#: Between two writes of a sequence's file, so that little time goes into them.
SECONDS = 5.0


class SequenceProgress:
    """Keeps what a framework remembers, and restores it.

    Args:
        work_dir: work folder.
        settings: the config of framework and data, as plain values; what is kept of another is refused.
        resume: whether to go on with what is kept; otherwise it is removed.
        watch: called after each clip with the arguments of a hook's ``after_test_iter``.
    """

    def __init__(self, work_dir: Path, settings: Mapping, resume: bool, watch: Callable[..., object]):
        self.folder, self.watch = Path(work_dir) / SEQUENCES, watch
        self.settings = json.loads(json.dumps(settings, default=str))
        self._interrupts, self._written = Interrupts(), time.monotonic()
        remove_parts(self.folder)
        if not resume:
            remove(self.folder)

    def restore(self, framework: Framework, sequence: int) -> int:
        """Let a framework remember what is kept of a sequence; returns how many of its clips are done.

        Raises:
            ConfigError: if it is kept of another config.
        """
        path = self._file(sequence)
        if not path.is_file():
            return 0
        try:
            kept = read_pickle(path)
            check_same_config(kept["settings"], self.settings, str(path))
            framework.load_training_state(kept["state"])
            return int(kept["done"])
        except (CheckpointError, *UNUSABLE) as error:
            framework.load_training_state({})
            print(f"{path}: can't be used, so the sequence begins again ({type(error).__name__}: {error})")
            return 0

    def after_clip(self, framework: Framework, sequence: int, done: int, clip: Mapping, complete: bool) -> None:
        """Keep what a framework remembers, if it is time, and call ``watch``.

        Args:
            framework: that has reconstructed the clip.
            sequence: its number.
            done: how many of its clips are done.
            clip: the last of them.
            complete: whether there was a complete result, here or before.

        Raises:
            KeyboardInterrupt: after Ctrl-C or SIGTERM.
        """
        due = self._interrupts.count or time.monotonic() - self._written >= SECONDS
        if due and not complete:
            kept = dict(settings=self.settings, done=done, state=framework.training_state())
            with self._interrupts.shield():
                save_checkpoint(kept, self._file(sequence))
            self._written = time.monotonic()
        self.watch(batch_idx=done - 1, data_batch=clip)
        if self._interrupts.count:
            raise KeyboardInterrupt

    def listening(self) -> AbstractContextManager[None]:
        """A block in which Ctrl-C and SIGTERM let the current clip be completed and kept."""
        return self._interrupts.listen()

    def _file(self, sequence: int) -> Path:
        return self.folder / f"{sequence:05d}.pth"

"""Heads drawn from the ICT face model, to learn a shape space from: ``deep3dmap prepare ict-heads``."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from deep3dmap.datasets.heads.ict_face.preparing import HeadSettings, prepare_heads
from deep3dmap.io.workers import default_processes
from deep3dmap.ranges import Count


def prepare_ict_heads(output: str | Path,
                      *,
                      train: int = 400,
                      validation: int = 20,
                      test: int = 20,
                      model: str | Path = "ict_face",
                      seed: int = 0,
                      expressions: float = 0.0,
                      missing: Sequence[str] = (),
                      closed_mouth: bool = False,
                      eyeballs: bool = False,
                      samples: Count = 100_000,
                      surface_samples: Count = 30_000,
                      processes: Count | None = None,
                      log: Callable[[str], object] = print) -> int:
    """Heads drawn from the ICT face model, and their signed-distance samples. See ``docs/ict_face.md``.

    Args:
        output: folder to write to; existing heads are kept. If they have the same settings.
        train: heads to train on. No identity is in two of the three splits.
        validation, test: heads.
        model: face model: a data set's name, a folder, a file.
        seed: seed of all heads.
        expressions: largest weight of random expressions, up to 1.
        missing: what heads lack, as raw scans do: ``hair``, ``neck``, ``ear``.
        closed_mouth: close the lips instead of modelling the inside of the mouth.
        eyeballs: include the eyeballs.
        samples: samples for each head.
        surface_samples: points on each surface.
        processes: parallel processes, each on one core (default: one for each core).
        log: prints a line.

    Returns:
        Number of heads made, without existing ones.

    Raises:
        ConfigError: for options that make no sense.
        DataError: if the model can't be read, the folder holds heads of other settings, or heads can't be written.
    """
    settings = HeadSettings(str(model), seed, expressions, tuple(sorted(set(missing))), not closed_mouth, eyeballs, samples,
                            surface_samples)
    counts = (train, validation, test)
    made = prepare_heads(output, counts, settings, processes or default_processes(), _Progress(log))
    log(f"{output}: {sum(counts)} heads, {made} of them made now; splits: "
        f"{', '.join(sorted(path.name for path in Path(output, 'splits').glob('*.json')))}")
    return made


class _Progress:
    """Logs at each tenth the number of finished heads and the remaining time."""

    def __init__(self, log: Callable[[str], object]):
        self.log, self.started, self.reported = log, time.monotonic(), 0

    def __call__(self, done: int, total: int) -> None:
        if total and 10 * done // total > self.reported:
            self.reported = 10 * done // total
            left = (time.monotonic() - self.started) * (total - done) / done
            self.log(f"{done} of {total} heads, about {left:.0f} s left")

"""Heads drawn from the ICT face model, to learn a shape space from: ``deep3dmap prepare ict-heads``."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from deep3dmap.datasets.heads.ict_face.preparing import HeadSettings, prepare_heads
from deep3dmap.io.workers import default_processes


def prepare_ict_heads(root: str | Path,
                      *,
                      train: int = 400,
                      validation: int = 20,
                      test: int = 20,
                      model: str | Path = "ict_face",
                      seed: int = 0,
                      expressions: float = 0.0,
                      missing: Sequence[str] = (),
                      mouth: bool = True,
                      eyeballs: bool = False,
                      samples: int = 100_000,
                      surface_samples: int = 30_000,
                      processes: int | None = None,
                      tell: Callable[[str], object] = print) -> int:
    """Draw heads, sample them in DeepSDF's layout and write splits; ``docs/ict_face.md`` tells what is made and how.

    Args:
        root: folder to write to; heads that are there already, of the same settings, are left alone.
        train, validation, test: how many heads; no identity is in two of them.
        model: the face model's file, its folder, or its data set's name.
        seed: of all heads.
        expressions: largest weight of random expressions, 0 for neutral faces.
        missing: what the heads lack, as raw scans do: ``hair``, ``neck``, ``ear``.
        mouth: with the bag behind the lips, or closed at the lips.
        eyeballs: with the eyeballs in their sockets.
        samples: signed-distance samples of each head.
        surface_samples: points on each head's surface.
        processes: that work at once (default: one for each core).
        tell: prints a line.

    Returns:
        How many heads were made; those that were there are not counted.

    Raises:
        ConfigError: for options that make no sense.
        DataError: if the model can't be read, the folder holds heads of other settings, or heads can't be written.
    """
    settings = HeadSettings(str(model), seed, expressions, tuple(sorted(set(missing))), mouth, eyeballs, samples,
                            surface_samples)
    counts = (train, validation, test)
    made = prepare_heads(root, counts, settings, processes or default_processes(), _Progress(tell))
    tell(f"{root}: {sum(counts)} heads, {made} of them made now; splits: "
         f"{', '.join(sorted(path.name for path in Path(root, 'splits').glob('*.json')))}")
    return made


class _Progress:
    """Tells at each tenth how many heads are done, and how long the others will take."""

    def __init__(self, tell: Callable[[str], object]):
        self.tell, self.started, self.told = tell, time.monotonic(), 0

    def __call__(self, done: int, total: int) -> None:
        if total and 10 * done // total > self.told:
            self.told = 10 * done // total
            left = (time.monotonic() - self.started) * (total - done) / done
            self.tell(f"{done} of {total} heads, about {left:.0f} s left")

"""The outcome of each prepared mesh: ``report.json``, and the split files of those that were accepted."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from deep3dmap.datasets.shapes.sdf_samples.layout import ShapeName, shape_seed, write_split
from deep3dmap.errors import DataError
from deep3dmap.io.files import write_atomically
from deep3dmap.io.reading import exists, read_text, reading

ACCEPTED, REJECTED, FAILED = "accepted", "rejected", "failed"
STATES = (ACCEPTED, REJECTED, FAILED)


class Report:
    """The part of ``report.json`` for one data set.

    Args:
        root: folder of the layout.
        dataset: its name.
        options: of sampling; samples with other options are not mixed with them.

    Attributes:
        shapes: for each ``class/id``: ``status`` (accepted, rejected, failed), the ``reason`` of a failure, and statistics.
        outdated: whether existing samples were drawn with other options and are to be redrawn.
    """

    def __init__(self, root: str | Path, dataset: str, options: dict):
        self.path, self.dataset, self.options = Path(root, "report.json"), dataset, json.loads(json.dumps(options))
        self.shapes: dict[str, dict] = {}
        self.outdated = False

    def load(self, overwrite: bool = False) -> "Report":
        """Load the existing report of this data set.

        Args:
            overwrite: discard entries with other options.

        Raises:
            DataError: if the file is damaged, or says that other options were used.
        """
        known = self._read().get(self.dataset)
        if known is not None:
            changed = [f"{key}: {known['options'].get(key)}, now {value}" for key, value in self.options.items()
                       if known["options"].get(key) != value]  # yapf: disable
            if changed and overwrite:
                self.outdated = True
                return self
            if changed:
                raise DataError(
                    f"{self.path}: the samples of '{self.dataset}' were drawn with other options ({'; '.join(changed)}); "
                    "use the same, or draw all again with --overwrite, or choose another output folder")
            self.shapes = known["shapes"]
        return self

    def _read(self) -> dict:
        if not exists(self.path):
            return {}
        with reading(self.path, "a report in JSON", "remove it; the command recreates it"):
            report = json.loads(read_text(self.path))
            for part in report.values():
                part["options"].items(), part["shapes"].items()
            return report

    def save(self) -> Path:
        """Write this data set's part, keeping those of others."""
        part = dict(options=self.options, **self.counts, shapes=dict(sorted(self.shapes.items())))
        return write_atomically(self.path, (json.dumps({**self._read(), self.dataset: part}, indent=1) + "\n").encode())

    def note(self, shape: str, status: str, reason: str = "", **figures) -> None:
        """Record the outcome of a shape, ``class/id``."""
        self.shapes[shape] = dict(status=status, **(dict(reason=reason) if reason else {}), **figures)

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of accepted, rejected and failed shapes."""
        counted = Counter(entry["status"] for entry in self.shapes.values())
        return {state: counted[state] for state in STATES}

    def accepted(self) -> list[ShapeName]:
        """The shapes that were accepted, by name."""
        return [ShapeName(self.dataset, *name.split("/", 1)) for name, entry in sorted(self.shapes.items())
                if entry["status"] == ACCEPTED]  # yapf: disable


def divide(shapes: Iterable[ShapeName], test_share: float, seed: int) -> tuple[list[ShapeName], list[ShapeName]]:
    """Shapes for training and for testing: that share of each class, rounded, chosen by the names' checksums.

    So adding a shape moves few others between the parts, and their order doesn't matter.
    """
    classes = defaultdict(list)
    for shape in shapes:
        classes[shape.dataset, shape.category].append(shape)
    test = set()
    for members in classes.values():
        members.sort(key=lambda shape: (shape_seed(shape, seed), shape))
        test.update(members[:round(test_share * len(members))])
    everything = sorted(shape for members in classes.values() for shape in members)
    return [shape for shape in everything if shape not in test], [shape for shape in everything if shape in test]


def write_splits(root: str | Path, name: str, **parts: list[ShapeName]) -> list[Path]:
    """Write ``splits/<name>_<part>.json`` for each part (of the name ``all``: ``splits/<name>.json``).

    A part without shapes has no file; an earlier one is removed.

    Returns:
        The files that were written.
    """
    written = []
    for part, shapes in parts.items():
        path = Path(root, "splits", f"{name}.json" if part == "all" else f"{name}_{part}.json")
        if shapes:
            written.append(write_split(path, shapes))
        else:
            path.unlink(missing_ok=True)
    return written

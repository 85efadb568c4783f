"""Metrics of many shapes: one row per shape (CSV), a summary (JSON), and the failed shapes by name.

A shape without a surface has no distance, so means can't include it: the number of failures is reported with every mean,
and comparisons of methods must consider both.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import trimesh

from deep3dmap.errors import DataError
from deep3dmap.evaluation.shapes import UNITS, shape_metrics
from deep3dmap.evaluation.tables import figure_text, format_table, write_metrics
from deep3dmap.io.files import csv_text, write_atomically

STATISTICS = {"mean": np.mean, "median": np.median, "std": np.std, "min": np.min, "max": np.max}
HEADLINES = ("point_chamfer_squared", "distance_mean", "emd", "mesh_accuracy", "mesh_completion", "f_score",
             "mesh_cosine_similarity")


class ShapeTable:
    """Metrics by shape, and the reasons of failures.

    Attributes:
        figures: of each measured shape.
        failures: reason by shape.
        notes: remarks by shape, for example a displacement from the true one.
    """

    def __init__(self):
        self.figures: dict[str, dict[str, float | bool]] = {}
        self.failures: dict[str, str] = {}
        self.notes: dict[str, str] = {}

    def add(self, name: str, figures: Mapping[str, float | bool]) -> None:
        """Add a measured shape."""
        self._check(name)
        self.figures[name] = dict(figures)

    def fail(self, name: str, reason: str) -> None:
        """Add a shape that could not be reconstructed or measured."""
        self._check(name)
        self.failures[name] = reason

    def measure(self, name: str, predicted: trimesh.Trimesh | None, true, **options) -> None:
        """Measure a shape by :func:`~deep3dmap.evaluation.shapes.shape_metrics`.

        Args:
            name: of the shape.
            predicted: its reconstruction; None or a mesh without faces is a failure.
            true: mesh or points.
            options: of :func:`~deep3dmap.evaluation.shapes.shape_metrics`.
        """
        if predicted is None or not len(predicted.faces):
            self.fail(name, "the reconstruction has no surface")
            return
        try:
            self.add(name, shape_metrics(predicted, true, **options))
        except DataError as error:
            self.fail(name, str(error))

    def _check(self, name: str) -> None:
        if name in self.figures or name in self.failures:
            raise DataError(f"the shape '{name}' is measured twice; names must be unique")

    @property
    def keys(self) -> list[str]:
        """Names of all figures, in order of first appearance."""
        return list(dict.fromkeys(key for figures in self.figures.values() for key in figures))

    def summary(self) -> dict[str, dict[str, float | int]]:
        """Mean, median, standard deviation (over n), minimum and maximum of every figure; and the number of shapes.

        Booleans count as 1 and 0, so their mean is a fraction. NaN values (the volume of an open mesh) are
        omitted.
        """
        columns = {key: self._column(key) for key in self.keys}
        return {key: {name: float(function(values)) for name, function in STATISTICS.items()} | {"shapes": len(values)}
                for key, values in columns.items() if len(values)}  # yapf: disable

    def _column(self, key: str) -> np.ndarray:
        values = np.array([figures[key] for figures in self.figures.values() if key in figures], np.float64)
        return values[~np.isnan(values)]

    def to_text(self, most: int = 20) -> str:
        """All values of a single shape; or the main ones of ``most`` shapes and their summary; and failures with reasons.

        The first ``most`` failures and notes are listed; :meth:`write` writes all of them.
        """
        table = self._single() if len(self.figures) == 1 else self._many(most)
        left = len(self.figures) - most
        lines = [table] if table else []
        lines += [f"({left} more shapes are in the written table)"] if left > 0 else []
        lines += [f"{len(self.failures)} of {len(self.figures) + len(self.failures)} shapes failed:"] if self.failures else []
        lines += _first(most, (f"  {name}: {reason}" for name, reason in self.failures.items()), "failures")
        return "\n".join(lines + _first(most, (f"note: {name}: {text}" for name, text in self.notes.items()), "notes"))

    def _single(self) -> str:
        (name, figures), = self.figures.items()
        return format_table({key: {name: figure_text(value)} for key, value in figures.items()})

    def _many(self, most: int) -> str:
        keys = [key for key in self.keys if key.split("@")[0] in HEADLINES]
        rows = {name: {key: figures.get(key) for key in keys} for name, figures in list(self.figures.items())[:most]}
        summary = self.summary()
        for name in ("mean", "median") if rows else ():
            rows[f"{name} of {len(self.figures)}"] = {key: summary[key][name] for key in keys if key in summary}
        return format_table(rows, title="shape")

    def to_csv(self) -> str:
        """One row per shape; failures with their reason and no values."""
        rows = [{"shape": name, **figures} for name, figures in self.figures.items()]
        rows += [{"shape": name, "failure": reason} for name, reason in self.failures.items()]
        return csv_text(["shape", *self.keys, "failure"], rows)

    def write(self, folder: str | Path) -> tuple[Path, Path]:
        """Write ``shapes.csv`` (see :meth:`to_csv`) and ``summary.json``.

        Raises:
            OSError: if the place can't be written.
        """
        content = dict(shapes=len(self.figures) + len(self.failures), measured=len(self.figures), failures=self.failures,
                       notes=self.notes, figures=self.summary())  # yapf: disable
        table = write_atomically(Path(folder) / "shapes.csv", self.to_csv().encode())
        return table, write_metrics(content, Path(folder) / "summary.json", units=UNITS)


def _first(most: int, lines: Iterable[str], what: str) -> list[str]:
    lines = list(lines)
    left = len(lines) - most
    return lines[:most] + ([f"  ({left} more {what} are in the written table)"] if left > 0 else [])

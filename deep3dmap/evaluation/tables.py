"""Metrics as an aligned text table and as JSON."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from deep3dmap.io.files import write_atomically


def format_table(rows: Mapping[str, Mapping], title: str = "") -> str:
    """A plain text table: one row per name, one column per key, for terminals, logs and reports.

    Numbers of a column have the same number of decimals: four digits of the largest one.

    Args:
        rows: values by row name. Rows may lack keys.
        title: header of the column of row names.
    """
    if not rows:
        return ""
    keys = dict.fromkeys(key for row in rows.values() for key in row)
    columns = [_padded([title, *rows], str.ljust), *(_column(key, [row.get(key) for row in rows.values()]) for key in keys)]
    lines = ["  ".join(cells).rstrip() for cells in zip(*columns)]
    return "\n".join([lines[0], "  ".join("-" * len(column[0]) for column in columns), *lines[1:]])


def _column(key: str, values: list) -> list[str]:
    decimals = _decimals([v for v in values if _is_number(v) and math.isfinite(v)])
    texts = [_cell(v, decimals) for v in values]
    return _padded([key, *texts], str.ljust if any(isinstance(v, str) for v in values) else str.rjust)


def _padded(texts: list[str], justify) -> list[str]:
    width = max(map(len, texts))
    return [justify(text, width) for text in texts]


def _decimals(values: list) -> int:
    """Decimals that show four digits of the largest value; none for whole numbers."""
    largest = max((abs(v) for v in values), default=0)
    if all(isinstance(v, int) for v in values) or not largest:
        return 0
    return min(max(3 - math.floor(math.log10(largest)), 0), 9)


def _cell(value, decimals: int) -> str:
    if value is None or (_is_number(value) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.{decimals}f}" if _is_number(value) else str(value)


def figure_text(value: float | int | bool) -> str:
    """A single value with four significant digits."""
    return _cell(value, 0) if isinstance(value, int) or value != value else f"{value:.4g}"


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def write_metrics(metrics: Mapping, path: str | Path, units: Mapping[str, str] | None = None) -> Path:
    """Write metrics as JSON with sorted keys, atomically.

    JSON has no infinity and no NaN: such a value becomes null, and the block ``not_finite`` records it under its path
    (``heldout/psnr``).

    Args:
        metrics: numbers, texts, lists, and mappings of them; numbers of NumPy and torch are accepted too.
        path: of the file; missing parent folders are created.
        units: of the values, stored under ``units``.

    Raises:
        ValueError: if a value is none of the above.
        OSError: if the place can't be written.
    """
    not_finite: dict[str, str] = {}
    content = {str(key): _plain(value, str(key), not_finite) for key, value in metrics.items()}
    blocks = {"units": dict(units or {}), "not_finite": not_finite}
    content |= {name: block for name, block in blocks.items() if block}
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return write_atomically(path, (text + "\n").encode())


def _plain(value, where: str, not_finite: dict[str, str]):
    """A JSON-serialisable value; non-finite ones are recorded under their path."""
    if hasattr(value, "tolist"):  # arrays, tensors and their scalars
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(v, f"{where}/{key}", not_finite) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v, f"{where}/{i}", not_finite) for i, v in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        not_finite[where] = str(value)
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"'{where}' can't be stored as a metric: it is a {type(value).__name__}")

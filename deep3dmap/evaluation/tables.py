"""Figures for people (an aligned plain table) and for programs (one JSON file)."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from deep3dmap.io.files import write_atomically

RESERVED = ("units", "not_finite")


def format_table(rows: Mapping[str, Mapping] | list[Mapping], title: str = "") -> str:
    """A plain text table: one row a name, one column a key; reads the same on a terminal, in a log and in a report.

    Numbers of a column share their decimals, so that they can be compared at a glance: four digits of the largest one.

    Args:
        rows: figures by row name, or a list of rows (whose text columns come first as they are). Rows may lack keys.
        title: head of the column of row names.
    """
    if not isinstance(rows, Mapping):
        names, figures = None, [dict(row) for row in rows]
    else:
        names, figures = [title, *rows], [dict(row) for row in rows.values()]
    keys = list(dict.fromkeys(key for row in figures for key in row))
    columns = [_column(key, [row.get(key) for row in figures]) for key in keys]
    columns = columns if names is None else [_padded(names, str.ljust), *columns]
    if not columns:
        return ""
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


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def write_metrics(metrics: Mapping, path: str | Path, units: Mapping[str, str] | None = None) -> Path:
    """Write figures as JSON with sorted keys; the file appears whole or not at all.

    JSON has no infinity and no NaN: such a figure becomes null, and the block ``not_finite`` says under its path
    (``heldout/psnr``) what it was.

    Args:
        metrics: figures, texts, lists, and mappings of them; numbers of NumPy and torch are taken as well.
        path: of the file; folders on the way are made.
        units: what the figures are measured in, stored under ``units``.

    Raises:
        ValueError: if a key is one of the two blocks' names, or a value is none of the above.
        OSError: if the place can't be written.
    """
    taken = [key for key in RESERVED if key in metrics]
    if taken:
        raise ValueError(f"the key '{taken[0]}' of the metrics is kept for the file's own block of that name")
    not_finite: dict[str, str] = {}
    content = {str(key): _plain(value, str(key), not_finite) for key, value in metrics.items()}
    blocks = {"units": dict(units or {}), "not_finite": not_finite}
    content |= {name: block for name, block in blocks.items() if block}
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return write_atomically(path, (text + "\n").encode())


def _plain(value, where: str, not_finite: dict[str, str]):
    """A value that JSON can hold; what it can't hold is noted under its path."""
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
    raise ValueError(f"'{where}' can't be stored as a figure: it is a {type(value).__name__}")

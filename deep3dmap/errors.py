"""The errors that a user can cause. Each message names what is wrong, what was expected and what to do."""

import difflib
from collections.abc import Iterable
from typing import Any

#: Maximum number of known names in a message.
LISTED = 60


class Deep3DError(Exception):
    """Base of every error caused by the input, not by the program; the command line prints only its text."""


class DataError(Deep3DError):
    """A file or folder of data is missing, damaged or contradicts itself."""


class ConfigError(Deep3DError):
    """A config names an unknown part or key, or its values don't fit together."""


class CheckpointError(Deep3DError):
    """A checkpoint is missing, damaged, hostile or belongs to another model."""


class PluginError(Deep3DError):
    """A plug-in could not be imported; the message holds its traceback."""


class MissingDependencyError(Deep3DError):
    """An optional package is not installed; the message holds the ``pip install`` line that fixes it."""


class TrainingError(Deep3DError):
    """Training can't continue (for example a loss that is not finite)."""


def returned(value: Any, kind: type, owner: object, method: str) -> Any:
    """What a method of an extension (framework, metric) returned.

    Raises:
        ConfigError: if it is not of that kind; names the class and the method.
    """
    if not isinstance(value, kind):
        raise ConfigError(f"{type(owner).__name__}.{method} must return a {kind.__name__}, got a {type(value).__name__}")
    return value


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """A hint that lists the known names closest to a misspelt one."""
    known = sorted(known)
    lower = {k.lower(): k for k in known}
    close = [lower[k] for k in difflib.get_close_matches(name.lower(), lower, count, 0.5)]
    if close:
        return "did you mean " + " or ".join(f"'{k}'" for k in close) + "?"
    more = f", ... ({len(known)} in all)" if len(known) > LISTED else ""
    return "known are: " + (", ".join(known[:LISTED]) + more or "none")

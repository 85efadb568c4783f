"""What a data folder holds, what is wrong with it, and which methods can use it: ``deep3dmap check``."""

from pathlib import Path

from deep3dmap.datasets.captures.check import CaptureReport, check_capture
from deep3dmap.registry import FRAMEWORKS, load_plugins


def check_for_methods(path: str | Path, format: str | None = None) -> CaptureReport:
    """The report of :func:`deep3dmap.datasets.captures.check.check_capture`, with what each registered method lacks.

    Raises:
        ConfigError: if the format is unknown.
    """
    report = check_capture(path, format)
    load_plugins()
    FRAMEWORKS.import_from_location()
    needs = {name: framework.needs for name, framework in sorted(FRAMEWORKS.module_dict.items())}
    report.lacks = {
        name: [part for part in parts if part not in report.parts]
        for name, parts in needs.items() if parts is not None
    }
    return report

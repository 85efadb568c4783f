"""What a data folder holds, what is wrong with it, and which methods can use it: ``deep3dmap check``."""

from pathlib import Path

from deep3dmap.datasets.captures.check import CaptureReport, check_capture
from deep3dmap.io.paths import resolve_data
from deep3dmap.registry import FRAMEWORKS, load_plugins


def check_for_methods(data: str | Path, format: str | None = None) -> CaptureReport:
    """What a data folder holds and what is wrong with it, and what each registered method lacks in it.

    Args:
        data: folder, or a data set's name.
        format: read it as this format instead of detecting it.

    Raises:
        ConfigError: if the format is unknown.
        DataError: if there is no such data.
    """
    report = check_capture(resolve_data(data), format)
    load_plugins()
    FRAMEWORKS.import_from_location()
    needs = {name: framework.needs for name, framework in sorted(FRAMEWORKS.module_dict.items())}
    report.lacks = {
        name: [part for part in parts if part not in report.parts]
        for name, parts in needs.items() if parts is not None
    }
    return report

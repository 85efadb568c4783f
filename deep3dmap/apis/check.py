"""Contents and problems of a data folder, and which methods can use it: ``deep3dmap check``."""

from pathlib import Path

from deep3dmap.datasets.captures.check import CaptureReport, check_capture
from deep3dmap.frameworks.cards import cards
from deep3dmap.io.paths import resolve_data
from deep3dmap.registry import FRAMEWORKS


def check_for_methods(data: str | Path, format: str | None = None) -> CaptureReport:
    """Contents and problems of a data folder, and what each registered method lacks in it.

    Args:
        data: folder, or a data set's name.
        format: read it as this format instead of detecting it.

    Raises:
        ConfigError: if the format is unknown.
        DataError: if there is no such data.
    """
    report = check_capture(resolve_data(data), format)
    known = {card.framework: card for card in cards().values()}
    for name, framework in sorted(FRAMEWORKS.module_dict.items()):
        if framework.needs is not None:
            subject = known[name].subject if name in known else ""
            report.lacks[f"{name} ({subject})" if subject else name] = [
                part for part in framework.needs if part not in report.parts
            ]
    return report

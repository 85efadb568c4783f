"""Contents and problems of a data folder, and which methods can use it: ``deep3dmap check``."""

import shlex
from pathlib import Path

from deep3dmap.datasets.captures.check import CaptureReport, check_capture
from deep3dmap.datasets.videos.loading import find_videos, nothing_found
from deep3dmap.datasets.videos.report import RecordingReport, is_recording, report_on
from deep3dmap.frameworks.cards import cards
from deep3dmap.io.images import IMAGE_SUFFIXES, image_files
from deep3dmap.io.paths import resolve_data
from deep3dmap.io.reading import reaching
from deep3dmap.io.videos import VIDEO_SUFFIXES
from deep3dmap.registry import FRAMEWORKS


def check_for_methods(data: str | Path, format: str | None = None) -> CaptureReport | RecordingReport:
    """Contents and problems of a data folder, and what each registered method lacks in it; or those of a recording.

    Args:
        data: folder, or a data set's name; or a recording (``docs/videos.md``).
        format: read it as this format instead of detecting it.

    Raises:
        ConfigError: if the format is unknown.
        DataError: if there is no such data.
    """
    source = resolve_data(data)
    with reaching(source):
        if format is None and is_recording(source):
            return report_on(source)
    report = check_capture(source, format)
    if not report.format and report.errors:
        if find_videos(source):
            report.errors[-1] = nothing_found(source)
        if _has_pictures(source):
            report.errors[-1] += "".join(
                f"\nNo cameras are needed by `deep3dmap reconstruct {shlex.quote(str(source))} --method {card.name}`: from "
                f"{card.takes}, {card.gives}." for card in cards().values() if card.single_pictures)
    known = {card.framework: card for card in cards().values()}
    for name, framework in sorted(FRAMEWORKS.module_dict.items()):
        if framework.needs is not None:
            subject = known[name].subject if name in known else ""
            report.lacks[f"{name} ({subject})" if subject else name] = [
                part for part in framework.needs if part not in report.parts
            ]
    return report


def _has_pictures(source: Path) -> bool:
    with reaching(source):
        return bool(image_files(source)) if source.is_dir() else source.suffix.lower() in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)

"""The content of a recording and its problems: ``deep3dmap check RECORDING``."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from deep3dmap.datasets.captures.check import as_text
from deep3dmap.datasets.videos import posed_pictures
from deep3dmap.datasets.videos.files import FileRecording
from deep3dmap.datasets.videos.fragments import key_frames, windows_of
from deep3dmap.datasets.videos.loading import READERS, load_recording
from deep3dmap.errors import DataError
from deep3dmap.io.images import size_text

SHOWN = 5
STEP = 8  # pixels: between those that are looked at


@dataclass
class RecordingReport:
    """What :func:`report_on` found.

    Attributes:
        facts: what is in it, by name.
        errors: what prevents its use.
        warnings: what is left out or assumed.
    """

    facts: dict[str, str]
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether it can be used."""
        return not self.errors

    def to_text(self) -> str:
        """The report as text: a line for each fact, then errors and warnings."""
        return as_text(self.facts, self.errors, self.warnings, "can be used" if self.ok else "can't be used")


def is_recording(path: Path) -> bool:
    """Whether a path holds a recording in a layout of videos, which captures don't have."""
    return any(reader.detect(path) for reader in READERS if reader is not posed_pictures)


def report_on(path: Path) -> RecordingReport:
    """Check everything in a recording, also every picture and depth map."""
    layout = next(reader.LOOKED_FOR.partition(":")[0] for reader in READERS if reader.detect(path))
    report = RecordingReport({"recording": str(path), "layout": layout})
    try:
        recording = load_recording(path)
    except DataError as error:
        report.errors.append(str(error))
        return report
    tracked = len(recording.tracked())
    report.facts |= {"frames": f"{len(recording)}, {tracked} with a pose", "key frames": str(len(key_frames(recording.poses)))}
    report.warnings += recording.notes
    try:
        report.facts["fragments"] = f"{len(windows_of(recording))} of 9 key frames"
    except DataError as error:
        report.warnings.append(f"no fragment for networks of videos: {error}")
    report.facts["pictures"], _ = _all(recording, recording.image, report)
    report.facts["depth maps"] = "none"
    if recording.depth_intrinsics is not None:
        found, samples = _all(recording, recording.depth, report)
        near, far = np.quantile(np.concatenate(samples or [np.zeros(1)]), [0.05, 0.95])
        report.facts["depth maps"] = f"{found}, most from {near:.2f} to {far:.2f} m"
    return report


def _all(recording: FileRecording, read: Callable, report: RecordingReport) -> tuple[str, list[np.ndarray]]:
    """Number and size of a recording's pictures or depth maps, all of which are read, and some known pixels of each; damaged
    ones are warnings."""
    samples, damaged, size = [], [], ""
    for index in range(len(recording)):
        try:
            pixels = read(index)
        except DataError as error:
            damaged.append(f"a frame is left out: {error}")
        else:
            size = size_text(pixels.shape[:2])
            samples.append(pixels[::STEP, ::STEP][pixels[::STEP, ::STEP] > 0])
    report.warnings += damaged[:SHOWN] + [f"... and {len(damaged) - SHOWN} more"] * (len(damaged) > SHOWN)
    return f"{len(samples)} of {size}", samples

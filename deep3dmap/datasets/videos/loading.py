"""Reads the recording in a file or folder of any layout that there is a reader for."""

from pathlib import Path

from deep3dmap.datasets.videos import arkit, posed_pictures, record3d, scannet, scannet_sens, seven_scenes, tum
from deep3dmap.datasets.videos.checks import check_recording
from deep3dmap.datasets.videos.files import NO_POSES, FileRecording, pictures_in
from deep3dmap.errors import DataError
from deep3dmap.io.paths import resolve_data
from deep3dmap.io.reading import reaching
from deep3dmap.io.videos import VIDEO_SUFFIXES

READERS = (seven_scenes, scannet, scannet_sens, tum, arkit, record3d, posed_pictures)
SHOWN = 5


def load_recording(path: str | Path) -> FileRecording:
    """The recording in a file or folder; its layout is recognised. Pictures are read when they are asked for.

    Args:
        path: of the file or folder, or the name of a data set (see :func:`deep3dmap.io.paths.resolve_data`).

    Raises:
        DataError: if it holds no recording or several, or the recording is damaged or contradicts itself
            (:func:`~deep3dmap.datasets.videos.checks.check_recording`).
    """
    path = resolve_data(path)
    with reaching(path):
        reader = next((reader for reader in READERS if reader.detect(path)), None)
        if reader is None:
            raise DataError(nothing_found(path))
        return check_recording(reader.read(path))


def find_recordings(path: str | Path) -> list[Path]:
    """The recording at a path, or those in a folder of recordings, such as a scene's ``seq-01``, ``seq-02``.

    Raises:
        DataError: if there is none.
    """
    path = resolve_data(path)
    with reaching(path):
        found = [path] if _is_recording(path) else _inside(path)
        if not found:
            raise DataError(nothing_found(path))
    return found


def _is_recording(path: Path) -> bool:
    return any(reader.detect(path) for reader in READERS)


def _inside(path: Path) -> list[Path]:
    return [p for p in sorted(path.iterdir()) if _is_recording(p)] if path.is_dir() else []


def find_videos(path: Path) -> list[Path]:
    """The video at a path, or those in a folder."""
    return [p for p in (sorted(path.iterdir()) if path.is_dir() else [path]) if p.suffix.lower() in VIDEO_SUFFIXES]


def nothing_found(path: Path) -> str:
    """Why there is no recording at a path, and how to come by one."""
    looked_for, videos = "Looked for:" + "".join(f"\n  {reader.LOOKED_FOR}" for reader in READERS), find_videos(path)
    if path.is_file() and videos:
        return f"{path}: a video has {NO_POSES}. {looked_for}"
    if path.is_file():
        return f"{path}: is not a recording in a known layout. {looked_for}"
    if inside := _inside(path):
        return (f"{path}: is not a recording, but contains {len(inside)}: {', '.join(map(str, inside[:SHOWN]))}"
                f"{', ...' * (len(inside) > SHOWN)}; give one of these")
    pictures = next((folder for folder in (path, path / "images", path / "rgb") if pictures_in(folder)), None)
    if videos or pictures:
        held = f"holds the video {videos[0].name}" if videos else f"holds pictures in {pictures}"
        return f"{path}: {held}, but {NO_POSES}. {looked_for}"
    return f"{path}: contains no recording: pictures of a video with camera poses. {looked_for}"

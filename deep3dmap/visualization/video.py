"""Writes frames to a video that browsers play: H.264 in MP4 (ffmpeg from a wheel), or animated GIF and WebP (pillow)."""

import itertools
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
import trimesh
from jaxtyping import UInt8
from PIL import Image

from deep3dmap.errors import DataError, MissingDependencyError
from deep3dmap.geometry.lookat import orbit
from deep3dmap.io.files import replacing
from deep3dmap.renderers.mesh.drawing import Shading, render_mesh
from deep3dmap.renderers.mesh.rasterizer import FastRasterizer
from deep3dmap.structures.cameras import Cameras
from deep3dmap.visualization.pictures import as_uint8

WHITE, ROOM_BACKGROUND = (1.0, 1.0, 1.0), (0.9, 0.9, 0.9)  # a room's walls are often white


def write_video(frames: Iterable[np.ndarray], path: str | Path, fps: float = 24.0) -> Path:
    """Write frames as a stream, atomically; returns the path.

    Args:
        frames: (h, w, 3) uint8 RGB, all of one size. MP4 needs even sizes: the last row or column is repeated where odd.
        path: ends in ``.mp4`` (H.264, yuv420p), ``.gif`` or ``.webp`` (both loop forever).
        fps: frames per second. GIF has a resolution of 0.01 s, and browsers play at most 50 per second.

    Raises:
        DataError: for another suffix, or if there are no frames.
        MissingDependencyError: for MP4, if ``imageio-ffmpeg`` is not installed.
    """
    path = Path(path)
    writers = {".mp4": _write_mp4, ".gif": _write_gif, ".webp": _write_webp}
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise DataError(f"{path}: a video's name must end in {', '.join(writers)}.")
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise DataError(f"{path}: no frames to write.")
    with replacing(path) as temporary:
        writer(itertools.chain([first], frames), first.shape[:2], temporary, fps)
    return path


def video_bytes(frames: Iterable[np.ndarray], fps: float = 24.0) -> bytes:
    """The content of an MP4 file of frames; see :func:`write_video`."""
    with tempfile.TemporaryDirectory() as folder:
        return write_video(frames, Path(folder) / "video.mp4", fps).read_bytes()


def turntable(mesh: trimesh.Trimesh,
              *,
              frames: int = 48,
              size: tuple[int, int] = (360, 360),
              up: Sequence[float] | None = None,
              elevation: float = 15.0,
              shading: str | Shading = "headlight",
              supersample: int = 2,
              one_sided: bool = False) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Renderings of a mesh from cameras around it, one at a time; as a video they loop.

    Args:
        mesh: in its own frame and colours.
        frames: number of frames.
        size: height and width in pixels.
        up: up direction in the images; by default the mesh's y axis, as in the page's viewer.
        elevation: of the cameras above the mesh's horizon, degrees.
        shading: of :func:`~deep3dmap.renderers.mesh.drawing.render_mesh`.
        supersample: rays per pixel along each axis.
        one_sided: don't draw faces from behind, so that one sees into a room over its near walls.

    Raises:
        DataError: if the mesh has no triangles.
        ValueError: from ``lookat.orbit`` for a zero ``up`` or frames below 1.
    """
    if not len(mesh.faces):
        raise DataError("a turntable needs a mesh with triangles; this one has none.")
    center = mesh.bounds.mean(0)
    radius = float(np.linalg.norm(mesh.vertices - center, axis=1).max())
    half = np.radians(30) / 2
    poses = orbit(frames, 1.02 * radius / np.sin(half), elevation, center.tolist(),
                  (0.0, 1.0, 0.0) if up is None else tuple(up))
    focal, (height, width) = min(size) / 2 / np.tan(half), size
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=poses.dtype)
    for pose in poses:
        cameras = Cameras(K[None], pose[None], tuple(size))
        picture = render_mesh(mesh, cameras, supersample=supersample, shading=shading,
                              background=ROOM_BACKGROUND if one_sided else WHITE,
                              rasterizer=FastRasterizer(cull_backfaces=one_sided))  # yapf: disable
        yield as_uint8(picture.color[0].numpy())


def _ffmpeg() -> str:
    try:
        import imageio_ffmpeg
        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise MissingDependencyError(f"MP4 needs ffmpeg, which comes with: pip install imageio-ffmpeg ({error}). "
                                     "GIF and WebP have no extra dependency.") from error


def _write_mp4(frames: Iterator[np.ndarray], size: tuple[int, int], path: Path, fps: float) -> None:
    height, width = (n + n % 2 for n in size)
    source = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {fps:g} -i -".split()
    codec = "-an -c:v libx264 -preset medium -crf 20 -pix_fmt yuv420p".split()
    color = "-vf scale=out_color_matrix=bt709:out_range=tv -colorspace bt709 -color_primaries bt709 -color_trc bt709".split()
    command = [_ffmpeg(), "-y", "-loglevel", "error", *source, *color, *codec, "-movflags", "+faststart", str(path)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log)
        try:
            for frame in frames:
                padded = np.pad(frame, ((0, height - size[0]), (0, width - size[1]), (0, 0)), mode="edge")
                process.stdin.write(padded.tobytes())
        except BrokenPipeError:
            pass  # ffmpeg failed; the reason is in its log
        except BaseException:
            process.kill()
            raise
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()
        if process.returncode:
            log.seek(0)
            raise DataError(
                f"{path.name}: ffmpeg failed ({process.returncode}): {log.read().decode(errors='replace').strip()}")


def _write_gif(frames: Iterator[np.ndarray], size: tuple[int, int], path: Path, fps: float) -> None:
    hundredths = max(2, round(100 / fps))
    images = [Image.fromarray(f) for f in frames]
    palette = _common_palette(images)
    shown = [i.quantize(palette=palette) for i in images]
    shown[0].save(path, format="GIF", save_all=True, append_images=shown[1:], duration=10 * hundredths, loop=0)


def _common_palette(images: list[Image.Image]) -> Image.Image:
    """256 colours that fit all frames (from up to eight of them), so that static parts don't flicker."""
    chosen = images[::max(1, len(images) // 8)]
    width, height = chosen[0].size
    sheet = Image.new("RGB", (width * len(chosen), height))
    for number, image in enumerate(chosen):
        sheet.paste(image, (number * width, 0))
    return sheet.quantize(256)


def _write_webp(frames: Iterator[np.ndarray], size: tuple[int, int], path: Path, fps: float) -> None:
    images = [Image.fromarray(f) for f in frames]
    options = dict(save_all=True, append_images=images[1:], duration=round(1000 / fps), loop=0)
    images[0].save(path, format="WEBP", quality=85, **options)

"""Recordings as files, in the layout of 7-Scenes (Shotton et al., CVPR 2013)."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float

from deep3dmap.io.mesh_files import save_mesh
from deep3dmap.structures.recording import Recording

QUALITY = 95  # of JPEG
TRUE_MESH = "true_mesh.ply"


def write_recording(recording: Recording, folder: Path) -> None:
    """Write a recording whose frames share one camera.

    Every frame has ``frame-NNNNNN.color.jpg``, ``.depth.png`` (16 bits, millimetres, 0 where unknown), ``.pose.txt`` (camera
    to world, metres); besides, there are ``camera-intrinsics.txt`` and, where it is known, ``true_mesh.ply``.

    Args:
        recording: its names must be those of files.
        folder: is made if it isn't there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_matrix(folder / "camera-intrinsics.txt", recording.intrinsics[0])
    for index, name in enumerate(recording.names):
        colors = np.ascontiguousarray(recording.image(index)[..., ::-1])
        _write_picture(folder / f"{name}.color.jpg", colors, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        _write_picture(folder / f"{name}.depth.png", np.round(recording.depth(index) * 1000).astype(np.uint16))
        _write_matrix(folder / f"{name}.pose.txt", recording.poses[index])
    if recording.true_mesh is not None:
        save_mesh(recording.true_mesh, folder / TRUE_MESH)


def _write_matrix(path: Path, matrix: Float[np.ndarray, "r c"]) -> None:
    np.savetxt(path, matrix, "%.12g")


def _write_picture(path: Path, pixels: np.ndarray, options: list[int] = ()) -> None:
    path.write_bytes(cv2.imencode(path.suffix, pixels, options)[1].tobytes())  # cv2.imwrite doesn't say why it fails

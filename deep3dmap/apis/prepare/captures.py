"""Rendered photographs of a known surface, with the surface as ground truth: of any mesh (``deep3dmap prepare capture``) or of
a head (``deep3dmap prepare head-capture``)."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from deep3dmap.datasets.captures.formats import TRUE_MESH, check_target, save_capture
from deep3dmap.datasets.heads.landmarks import FILE, read_landmark_file
from deep3dmap.datasets.synthetic import generate_capture, generate_head_capture
from deep3dmap.io.files import atomic_folder
from deep3dmap.io.mesh_files import save_mesh
from deep3dmap.io.reading import reaching
from deep3dmap.ranges import Count
from deep3dmap.structures import Capture


def prepare_capture(mesh: str | Path,
                    output: str | Path,
                    *,
                    views: Count = 16,
                    test_views: int = 4,
                    size: Count = 256,
                    format: str = "idr",
                    light: Literal["fixed", "camera"] = "fixed",
                    log: Callable[[str], object] = print) -> Capture:
    """Photographs of a mesh, with masks and cameras, and ``true_mesh.ply``. See ``docs/data_formats.md``.

    Args:
        mesh: mesh to photograph (its y axis is up), or ``head`` for the built-in one.
        output: new folder to write to: photographs, masks, cameras, ``true_mesh.ply``.
        views: photographs to reconstruct from.
        test_views: further ones to test on.
        size: height and width, pixels.
        format: of the cameras: ``idr``, ``h3ds``, ``middlebury``, ``transforms``, ``colmap``.
        light: fixed, or moving with the camera.
        log: prints a line.

    Raises:
        ConfigError: for options that make no sense.
        DataError: if the mesh can't be read, or the folder is not new or can't be written.
    """
    check_target(output, format)
    capture = generate_capture(mesh, views, test_views, (size, size), light=light)
    return _written(capture, output, format, TRUE_MESH, log)


def prepare_head_capture(output: str | Path,
                         *,
                         head: str = "test_00000",
                         views: Count = 3,
                         test_views: int = 2,
                         size: Count = 256,
                         format: str = "idr",
                         model: str | Path = "ict_face",
                         mesh: str | Path | None = None,
                         landmarks: str | Path | None = None,
                         unit_millimetres: float = 1.0,
                         lights: str | None = None,
                         accessory: str | None = None,
                         eyeballs: bool = True,
                         seed: int = 0,
                         log: Callable[[str], object] = print) -> Capture:
    """Photographs of a synthetic head, with masks and cameras, and the true surface. See ``docs/synthetic_heads.md``.

    Other arguments as for :func:`prepare_capture`.

    Args:
        output: new folder to write to: photographs, masks, cameras, ``landmarks.json``, ``true_mesh.ply``. In millimetres.
        head: split and number of a head of the face model.
        model: face model: a data set's name, a folder, a file.
        mesh: a bust to photograph instead of a head of the model, with its landmarks.
        landmarks: the bust's six landmarks, as ``landmarks.json`` has them.
        unit_millimetres: length of the bust's unit.
        lights: studio, overcast, window, indoors, ring (default: random).
        accessory: hat, hair, glasses (default: none).
        eyeballs: eyeballs in the face model's sockets.
        seed: of heads and all random choices.
        log: prints a line.

    Raises:
        ConfigError: for options that make no sense.
        DataError: if a file can't be read, or the folder is not new or can't be written.
    """
    check_target(output, format)
    given = None if landmarks is None else read_landmark_file(landmarks).landmarks or {}
    points = None if given is None else {name: point.tolist() for name, point in given.items()}
    capture = generate_head_capture(head, views, test_views, (size, size), model, mesh, points, unit_millimetres, lights,
                                    accessory, eyeballs, seed=seed)  # yapf: disable
    return _written(capture, output, format, f"{FILE}, {TRUE_MESH} (millimetres)", log)


def _written(capture: Capture, output: str | Path, format: str, others: str, log: Callable[[str], object]) -> Capture:
    """Write a synthetic capture with its surface, atomically; ``others`` names its further files."""
    ordered = capture.subset(sorted(range(len(capture)), key=capture.names.__getitem__))  # names stay
    with reaching(Path(output)), atomic_folder(output) as part:
        save_capture(ordered, part, format)
        save_mesh(capture.mesh, part / TRUE_MESH)
    log(f"{output}: {len(capture)} photographs with masks and cameras, {others}")
    return capture

"""Photographs of a known surface, as a user would bring them, and the surface to compare a reconstruction with: of any mesh
(``deep3dmap prepare capture``), or of a head (``deep3dmap prepare head-capture``)."""

from collections.abc import Callable
from pathlib import Path

from deep3dmap.datasets.captures.formats import TRUE_MESH, check_target, save_capture
from deep3dmap.datasets.heads.landmarks import FILE, read_landmark_file
from deep3dmap.datasets.synthetic import generate_capture, generate_head_capture
from deep3dmap.io.files import filling
from deep3dmap.io.mesh_files import save_mesh
from deep3dmap.io.reading import reaching
from deep3dmap.structures import Capture


def prepare_capture(mesh: str | Path,
                    output: str | Path,
                    format: str = "idr",
                    tell: Callable[[str], object] = print,
                    **options) -> Capture:
    """Photograph a mesh and write the photographs, masks, cameras and ``true_mesh.ply``; see ``docs/data_formats.md``.

    Args:
        mesh: a file, its y axis up, or ``'head'`` for the built-in one.
        output: new folder.
        format: of the cameras.
        tell: prints a line.
        options: see :func:`~deep3dmap.datasets.generate_capture`.

    Raises:
        ConfigError: for options that make no sense.
        DataError: if the mesh can't be read, or the folder is not new or can't be written.
    """
    check_target(output, format)
    return _written(generate_capture(mesh, **options), output, format, TRUE_MESH, tell)


def prepare_head_capture(output: str | Path,
                         format: str = "idr",
                         landmarks: str | Path | None = None,
                         tell: Callable[[str], object] = print,
                         **options) -> Capture:
    """Photograph a generated head and write what a user would bring, and the true surface; ``docs/generated_heads.md``.

    Args:
        output: new folder: photographs, masks and cameras in a format, ``landmarks.json``, ``true_mesh.ply`` (millimetres).
        format: of the cameras.
        landmarks: file with those of a bust that ``options`` name as ``mesh``.
        tell: prints a line.
        options: see :func:`~deep3dmap.datasets.synthetic.generate_head_capture`.

    Raises:
        ConfigError: for options that make no sense.
        DataError: if a file can't be read, or the folder is not new or can't be written.
    """
    check_target(output, format)
    if landmarks is not None:
        given = read_landmark_file(landmarks).landmarks or {}
        options["landmarks"] = {name: point.tolist() for name, point in given.items()}
    return _written(generate_head_capture(**options), output, format, f"{FILE}, {TRUE_MESH} (millimetres)", tell)


def _written(capture: Capture, output: str | Path, format: str, others: str, tell: Callable[[str], object]) -> Capture:
    """Write a generated capture with its surface, all or nothing; ``others`` are files besides photographs, masks, cameras."""
    ordered = capture.subset(sorted(range(len(capture)), key=capture.names.__getitem__))  # names stay
    with reaching(Path(output)), filling(output) as part:
        save_capture(ordered, part, format)
        save_mesh(capture.mesh, part / TRUE_MESH)
    tell(f"{output}: {len(capture)} photographs with masks and cameras, {others}")
    return capture

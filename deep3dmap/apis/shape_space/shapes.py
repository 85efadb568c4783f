"""Meshes from a DeepSDF's shape space: training shapes, interpolations, random samples, and a plot of the codes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from deep3dmap.apis.shape_space.codes import load_shape_space, read_code, write_code
from deep3dmap.errors import DataError
from deep3dmap.frameworks import DeepSDF
from deep3dmap.frameworks.deepsdf.code_space import fit_prior, principal_axes
from deep3dmap.geometry.meshing import NoSurfaceError
from deep3dmap.io.files import csv_text, write_atomically
from deep3dmap.io.mesh_files import save_mesh
from deep3dmap.io.reading import exists, output_folder
from deep3dmap.ranges import AtLeastTwo, Count, Whole
from deep3dmap.visualization.pictures import save_image
from deep3dmap.visualization.shapes import point_map, shape_grid

CODE_FILES = (".npz", ".pth")
NAMED = 12  # labelled points of the plot
KEPT = 10  # principal axes in the table


@dataclass
class Shapes:
    """Written files.

    Attributes:
        meshes: files by name.
        empty: names of codes without a surface.
        codes: files by name.
        picture: of all shapes.
    """

    meshes: dict[str, Path] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    codes: dict[str, Path] = field(default_factory=dict)
    picture: Path | None = None


def code_from(framework: DeepSDF, source: str | Path) -> Float[Tensor, "l"]:
    """A code from its file (``.npz``, ``.pth``), or of the training shape of that name."""
    if Path(source).suffix in CODE_FILES and str(source) not in framework.names:
        return read_code(source, framework.decoder.code_length).to(framework.device)
    return framework.code_of(str(source))


# --- meshes of codes ------------------------------------------------------------------------------------------------------


def mesh_shapes(checkpoint: str | Path,
                output: str | Path,
                shapes: Sequence[str] | None = None,
                *,
                resolution: int = 256,
                keep_normalization: bool = False,
                device: str = "auto",
                log: Callable[[str], object] = print) -> Shapes:
    """Meshes of training shapes, written as ``DATASET/CLASS/ID.ply``.

    Args:
        checkpoint: checkpoint of a DeepSDF, or a work folder for its newest.
        output: folder to write to.
        shapes: names of training shapes, also without data set and class. None for all.
        resolution: cells along an edge. Of the cube around the unit sphere.
        keep_normalization: leave meshes in the normalised frame instead of each one's own frame and units.
        device: auto, cpu, cuda ...
        log: prints a line.

    Raises:
        DataError: for unknown or ambiguous names, before anything is written.
    """
    framework = load_shape_space(checkpoint, device)
    numbers = range(len(framework.names)) if shapes is None else [framework.number_of(name) for name in shapes]
    folder, written = output_folder(output), Shapes()
    for number in dict.fromkeys(numbers):
        name = framework.names[number]
        try:
            mesh = framework.extract_mesh(resolution, shape=number, normalized=keep_normalization)
        except NoSurfaceError as error:
            written.empty.append(name)
            log(f"{name}: {error}")
            continue
        written.meshes[name] = save_mesh(mesh, folder / f"{name}.ply")
        log(f"{written.meshes[name]}: {len(mesh.vertices):,} vertices, {len(mesh.faces):,} faces")
    return written


def interpolate_shapes(checkpoint: str | Path,
                       start: str | Path,
                       end: str | Path,
                       output: str | Path,
                       *,
                       steps: AtLeastTwo = 7,
                       resolution: int = 128,
                       device: str = "auto",
                       log: Callable[[str], object] = print) -> Shapes:
    """Shapes on the straight line between two codes. Meshes and codes ``step_K``, and ``interpolation.png``.

    All are in the normalised frame. Other arguments as for :func:`mesh_shapes`.

    Args:
        start, end: name of a training shape, or a file of a code (.npz, .pth).
        steps: shapes, both ends included.

    Raises:
        DataError: for unknown names, and files without a code of this checkpoint.
    """
    framework = load_shape_space(checkpoint, device)
    ends = [code_from(framework, source) for source in (start, end)]
    codes = [torch.lerp(*ends, k / (steps - 1)) for k in range(steps)]
    titles = [_title(start), *(f"{k / (steps - 1):.2g}" for k in range(1, steps - 1)), _title(end)]
    named = {f"step_{k:0{len(str(steps - 1))}d}": code for k, code in enumerate(codes)}
    return _write_shapes(framework, named, output, "interpolation.png", resolution, log, titles=titles, columns=min(steps, 10))


def _title(source: str | Path) -> str:
    """A code file's name without its ending, or a shape's without data set and class."""
    return Path(source).stem if Path(source).suffix in CODE_FILES else Path(source).name


def sample_shapes(checkpoint: str | Path,
                  output: str | Path,
                  count: Count = 8,
                  *,
                  seed: Whole = 0,
                  prior: Literal["empirical", "diagonal", "paper"] = "empirical",
                  resolution: int = 128,
                  device: str = "auto",
                  log: Callable[[str], object] = print) -> Shapes:
    """Shapes of random codes. Meshes and codes ``sample_K``, and ``samples.png``.

    All are in the normalised frame. Other arguments as for :func:`mesh_shapes`.

    Args:
        count: number of shapes.
        seed: of the random codes.
        prior: distribution of the codes. See :func:`~deep3dmap.frameworks.deepsdf.code_space.fit_prior`.

    Raises:
        ConfigError: for unknown priors.
        DataError: if there are too few training shapes for that prior.
    """
    framework = load_shape_space(checkpoint, device)
    codes = fit_prior(framework.codes.weight, prior).draw(count, torch.Generator().manual_seed(seed))
    named = {f"sample_{k:0{len(str(count - 1))}d}": code for k, code in enumerate(codes)}
    return _write_shapes(framework, named, output, "samples.png", resolution, log)


def _write_shapes(framework: DeepSDF, codes: Mapping[str, Tensor], output: str | Path, picture: str, resolution: int,
                  log: Callable[[str], object], titles: Sequence[str] | None = None,
                  columns: int | None = None) -> Shapes:  # yapf: disable
    """Write codes, their meshes in the normalised frame, and a picture of them."""
    folder, written, meshes = output_folder(output), Shapes(), []
    for name, code in codes.items():
        meshes.append(_mesh_of(framework, code, resolution))
        written.codes[name] = write_code(folder / "codes" / f"{name}.npz", code)
        if meshes[-1] is None:
            written.empty.append(name)
            log(f"{name}: its code has no surface")
        else:
            written.meshes[name] = save_mesh(meshes[-1], folder / "meshes" / f"{name}.ply")
    written.picture = save_image(folder / picture, shape_grid(meshes, titles or list(codes), columns=columns))
    log(f"{written.picture}: {len(written.meshes)} shapes, their meshes and codes beside it")
    return written


def _mesh_of(framework: DeepSDF, code: Tensor, resolution: int) -> trimesh.Trimesh | None:
    try:
        return framework.extract_mesh(resolution, code=code)
    except NoSurfaceError:
        return None


# --- the plot -------------------------------------------------------------------------------------------------------------


def plot_codes(checkpoint: str | Path,
               output: str | Path = "codes.png",
               *,
               fitted: str | Path | None = None) -> tuple[Path, Path]:
    """A plot of the codes along their principal axes, and a table of their coordinates beside it.

    Args:
        checkpoint: as for :func:`mesh_shapes`.
        output: picture to write (``.png``), a table beside it (``.csv``).
        fitted: folder of further codes to plot. The axes are those of the training shapes.

    Returns:
        The two files.

    Raises:
        DataError: if the training codes don't differ, ``fitted`` holds no codes, or ``output`` doesn't end in ``.png``.
    """
    output = Path(output)
    if output.suffix.lower() != ".png":
        raise DataError(f"{output}: the plot is saved as PNG; end its name in .png")
    framework = load_shape_space(checkpoint, "cpu")
    axes = principal_axes(framework.codes.weight, KEPT)
    groups = {"training": dict(zip(framework.names, framework.codes.weight.detach()))}
    if fitted is not None:
        groups["fitted"] = _read_codes(Path(fitted), framework.decoder.code_length)
    output_folder(output.parent)
    rows = {group: axes.coordinates(torch.stack(list(codes.values()))).numpy() for group, codes in groups.items()}
    plane = {group: np.pad(points[:, :2], ((0, 0), (0, max(2 - points.shape[1], 0)))) for group, points in rows.items()}
    shares = [*axes.shares.tolist(), 0.0]
    titles = tuple(f"component {k + 1}: {shares[k]:.0%} of the variance" for k in range(2))
    picture = save_image(output, point_map(plane, _labels(groups, plane), titles))
    return picture, write_atomically(output.with_suffix(".csv"), _table(groups, rows))


def _read_codes(folder: Path, length: int) -> dict[str, Tensor]:
    """All codes in a folder and its subfolders, by relative path without suffix."""
    if not exists(folder):
        raise DataError(f"{folder}: no such folder of codes")
    paths = sorted(p for p in folder.rglob("*") if p.suffix in CODE_FILES and not p.name.startswith("."))
    if not paths:
        raise DataError(f"{folder}: holds no codes ({' or '.join('*' + ending for ending in CODE_FILES)})")
    return {path.relative_to(folder).with_suffix("").as_posix(): read_code(path, length) for path in paths}


def _labels(groups: Mapping[str, Mapping], plane: Mapping[str, np.ndarray]) -> list[tuple[str, float, float]]:
    """Labels of points far from each other, by farthest-point sampling."""
    names = [name.rpartition("/")[2] for codes in groups.values() for name in codes]
    points = np.concatenate(list(plane.values()))
    distance, chosen = np.linalg.norm(points, axis=1), []
    for _ in range(min(NAMED, len(points))):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return [(names[k], float(points[k, 0]), float(points[k, 1])) for k in chosen]


def _table(groups: Mapping[str, Mapping[str, Tensor]], rows: Mapping[str, np.ndarray]) -> bytes:
    """As CSV: a shape's name, its group, its code's norm, and its coordinates along the principal axes."""
    axes = [f"component_{k + 1}" for k in range(next(iter(rows.values())).shape[1])]
    columns, table = ["name", "group", "norm", *axes], []
    for group, codes in groups.items():
        for (name, code), row in zip(codes.items(), rows[group]):
            table.append(dict(zip(columns, (name, group, *(f"{value:.6g}" for value in (float(code.norm()), *row))))))
    return csv_text(columns, table).encode()

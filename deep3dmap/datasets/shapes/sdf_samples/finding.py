"""Meshes in a folder, and their names in DeepSDF's layout."""

import os
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import trimesh

from deep3dmap.datasets.shapes.sdf_samples.layout import SAMPLES, SURFACES, ShapeName, is_plain
from deep3dmap.errors import DataError
from deep3dmap.io.reading import exists, is_text, printable, reaching

NO_SURFACE = {"xyz", "stl_ascii"}  # point clouds; an alias of a format
CATEGORY = "shapes"


class MeshFile(NamedTuple):
    """A mesh to prepare."""

    path: Path
    shape: ShapeName


class Found(NamedTuple):
    """The meshes of a folder, and by name the reasons why files or shapes can't be prepared."""

    meshes: list[MeshFile]
    refused: dict[str, str]


def suffixes() -> set[str]:
    """Suffixes of the mesh files that trimesh can read here."""
    return {f".{name}" for name in trimesh.exchange.load.mesh_formats() - NO_SURFACE}


def find_meshes(source: str | Path, dataset: str, category: str | None = None) -> Found:
    """The meshes of a folder and its sub-folders, or a single one.

    The folder contains ``<class>/<id>/.../<any name>``, as in ShapeNet, ``<class>/<id>.<ending>``, or ``<id>.<ending>``, of
    the class "shapes". If ``category`` is given, all are of that class, and the first folder, if any, is the id. Files of the
    same id, and several meshes in the folder of one id, are refused as ambiguous.

    Point clouds of a ``SurfaceSamples`` folder next to ``SdfSamples`` are ignored: samples may be written into the folder.

    Raises:
        DataError: if there is no such folder, or no mesh in it.
    """
    source = Path(source)
    if not exists(source):
        raise DataError(f"{printable(source)}: no such folder or mesh")
    files = mesh_paths(source) if source.is_dir() else [source]
    if source.is_dir():  # without the surface samples of a layout
        files = [path for path in files if not any(part.name == SURFACES and exists(source / part.parent / SAMPLES)
                                                   for part in path.relative_to(source).parents)]  # yapf: disable
    by_shape, refused = defaultdict(list), {}
    for path in files:
        shape = _shape_name(path.relative_to(source if source.is_dir() else source.parent), dataset, category)
        if not is_text(str(path)):
            refused[printable(path)] = "its name isn't valid UTF-8; rename it"
        elif not all(map(is_plain, shape)):
            refused[str(shape)] = f"{path}: its name, or its folder's, contains a backslash; rename it"
        else:
            by_shape[shape].append(path)
    for shape, paths in by_shape.items():
        if len(paths) > 1:
            refused[str(shape)] = f"{len(paths)} files have this shape's name, keep one of them: {_listed(paths, source)}"
    if not files:
        raise DataError(f"{source}: contains no mesh, including sub-folders (suffixes: {', '.join(sorted(suffixes()))})")
    return Found([MeshFile(paths[0], shape) for shape, paths in sorted(by_shape.items()) if len(paths) == 1], refused)


def mesh_paths(folder: Path) -> list[Path]:
    """Mesh files below a folder, sorted by name; hidden ones are ignored."""
    endings, found = suffixes(), []
    with reaching(folder):
        for place, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            found += [Path(place, name) for name in names
                      if Path(name).suffix.lower() in endings and not name.startswith(".")]  # yapf: disable
    return sorted(found)


def _shape_name(path: Path, dataset: str, category: str | None) -> ShapeName:
    *folders, file = path.with_suffix("").parts
    if category is not None:
        return ShapeName(dataset, category, folders[0] if folders else file)
    if not folders:
        return ShapeName(dataset, CATEGORY, file)
    return ShapeName(dataset, folders[0], folders[1] if len(folders) > 1 else file)


def _listed(paths: list[Path], source: Path) -> str:
    return ", ".join(printable(path.relative_to(source)) for path in paths[:4]) + (", ..." if len(paths) > 4 else "")

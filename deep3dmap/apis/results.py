"""Evaluation results as files and as text."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from deep3dmap.apis.work_folder import item_folder, picture_paths, result_files
from deep3dmap.engine.testing import Evaluated, TestResult
from deep3dmap.evaluation.tables import figure_text, format_table, write_metrics
from deep3dmap.io.files import write_atomically
from deep3dmap.io.mesh_files import save_mesh
from deep3dmap.io.npz import npz_bytes
from deep3dmap.structures import Reconstruction
from deep3dmap.visualization.pictures import as_uint8, normal_map, save_image


def write_result(result: TestResult, folder: Path) -> None:
    """Write ``metrics.json`` (by group, view and item), further files of the metrics, and the reconstructions.

    For a scene ``mesh.ply`` and pictures of its views; for every other item a folder ``items/NAME/`` with ``mesh.ply``, a
    picture for each image, ``arrays.npz``, ``cameras.npz`` and the method's own files, as available. Other files of an
    earlier result are removed.
    """
    stale = set(result_files(folder))
    views = {each.result.name: dict(split=each.item["split"], **each.figures) for each in result.views}
    items = {each.result.name: each.figures for each in result.items}
    figures = dict(result.metrics, views=views, notes=result.notes) | (dict(items=items) if items else {})
    written = [write_metrics(figures, folder / "metrics.json")]
    written += [write_atomically(folder / name, text.encode()) for name, text in result.files.items()]
    if result.scene is not None and result.scene.result.mesh is not None:
        written.append(save_mesh(result.scene.result.mesh, folder / "mesh.ply"))
    written += [path for view in result.views for path in _write_view(view, folder)]
    written += [path for item in result.items for path in _write_item(item, item_folder(folder, item.result.name))]
    for path in stale.difference(written):
        path.unlink()
        if path.parent.parent == folder / "items" and not any(path.parent.iterdir()):
            path.parent.rmdir()


def _write_view(view: Evaluated, folder: Path) -> list[Path]:
    images = {name: image.numpy() for name, image in view.result.images.items()}
    rendering, normals = picture_paths(folder, view.result.name)
    written = [save_image(rendering, as_uint8(images["rgb"]))]
    if "normals" in images:
        written.append(save_image(normals, normal_map(images["normals"], images["mask"])))
    return written


def _write_item(item: Evaluated, folder: Path) -> list[Path]:
    found = item.result
    written = [save_mesh(found.mesh, folder / "mesh.ply")] if found.mesh is not None else []
    written += [save_image(folder / f"{name}.png", picture) for name, picture in pictures_of(found).items()]
    written += [write_atomically(folder / name, data) for name, data in found.files.items()]
    if found.arrays:
        written.append(_save_arrays(folder / "arrays.npz", **found.arrays))
    if found.cameras is not None:
        written.append(_save_arrays(folder / "cameras.npz", K=found.cameras.K, world_to_cam=found.cameras.world_to_cam))
    return written


def pictures_of(found: Reconstruction) -> dict[str, np.ndarray]:
    """The images of an item's result as 8-bit RGB: normals as colours, the others as :func:`as_picture`."""
    pictures = {name: as_picture(image) for name, image in found.images.items() if name != "normals"}
    if "normals" in found.images:
        mask = found.images.get("mask")
        pictures["normals"] = normal_map(found.images["normals"].numpy(), None if mask is None else mask.numpy())
    return {name: pictures[name] for name in found.images}


def as_picture(image: Tensor) -> np.ndarray:
    """An image of a result as 8-bit RGB: colours in [0, 1] and masks unchanged, scalar maps scaled to their range."""
    values = image.cpu().numpy()
    if image.dtype in (torch.bool, torch.uint8) or values.shape[2:] == (3, ):
        return as_uint8(values)
    values = values.reshape(values.shape[:2]).astype(np.float64)
    known = values[np.isfinite(values)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    return as_uint8((values - low) / ((high - low) or 1.0))


def _save_arrays(path: Path, **arrays: Tensor) -> Path:
    return write_atomically(path, npz_bytes(**{name: value.cpu().numpy() for name, value in arrays.items()}))


def result_table(result: TestResult) -> str:
    """All metrics as text: a table for each set of groups with the same metrics, one row per metric."""
    blocks: dict[tuple, dict[str, dict]] = {}
    for group, figures in result.metrics.items():
        blocks.setdefault(tuple(figures), {})[group] = figures
    tables = []
    for names, groups in blocks.items():
        rows = {name: {group: figure_text(figures[name]) for group, figures in groups.items()} for name in names}
        tables.append(format_table(rows))
    return "\n\n".join(tables)

"""Reader and writer of a scene of H3DS (Ramon et al., "H3D-Net: Few-Shot High-Fidelity 3D Head Reconstruction", ICCV 2021).

IDR's files (``image/img_0000.jpg``, ``mask/mask_0000.png``, ``cameras.npz``) with the scanned head ``full_head.obj``, its
``landmarks.txt`` and ``regions/``; the world is in millimetres. The first pixel's centre is taken to be (0, 0), as in IDR's
own files: the package passes the matrices on unchanged, and the published results come from IDR's code, which reads them that
way. (Its only program that draws into a photograph truncates pixels to integers, which would be consistent with 0.5 too.)
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.spatial import cKDTree

from deep3dmap.datasets.heads.landmark_checks import check_head_landmarks
from deep3dmap.datasets.readers import idr
from deep3dmap.datasets.readers.base import Frame, Scan
from deep3dmap.datasets.readers.h3ds_config import CONFIG, chosen_views
from deep3dmap.datasets.readers.h3ds_files import LANDMARKS, MESH, REGIONS, read_head, read_landmark_vertices, read_regions
from deep3dmap.errors import DataError
from deep3dmap.io.images import write_mask
from deep3dmap.io.mesh_files import save_mesh
from deep3dmap.io.reading import is_file, reaching
from deep3dmap.structures import Capture

LOOKED_FOR = f"H3DS: cameras.npz next to image/, mask/, {MESH} and {LANDMARKS}"
REFINES = "idr"  # a scene contains this format's files too
HELD_OUT = "test_"  # prefix of held-out views


def detect(path: Path) -> bool:
    """Whether a folder holds cameras and the scanned head, or its landmarks."""
    return (path / "cameras.npz").is_file() and any((path / name).is_file() for name in (MESH, LANDMARKS))


def scan(path: Path, views_config: str | int | None = None, config: str | Path = CONFIG, held_out: int | None = None) -> Scan:
    """The views of a scene, the scanned head (``mesh``) and its landmarks.

    Args:
        path: the scene's folder, named after the scene.
        views_config: one of the scene's standard sets of training views (``'3'``); all others are for testing and get
            the prefix ``test_``, so they are held out. None: no split.
        config: the list of these sets, see :func:`deep3dmap.datasets.readers.h3ds_config.load_h3ds_config`.
        held_out: keep only this many of the others, evenly spaced.

    Raises:
        DataError: if a file is missing or damaged.
        ConfigError: for an unknown set, scene or list.
        MissingDependencyError: if the list's package is not installed.
    """
    file = path / "cameras.npz"
    result = replace(idr.scan_matrices(path, file, shared_scale=True), format="H3DS")
    if result.frames and all(frame.mask is None for frame in result.frames):
        result.problems.append(f"{path / 'mask'}: no masks; a scene needs one for each of its {len(result.frames)} images")
    with reaching(path):
        _add_head(path, result)
    if views_config is not None:
        chosen = chosen_views(path, views_config, config, len(result.frames))
        result.frames = _held_out(result.frames, chosen, held_out)
    return result


def _add_head(path: Path, result: Scan) -> None:
    """Head, landmarks and regions, or their problems."""
    try:
        result.mesh = read_head(path / MESH)
        count = len(result.mesh.vertices)
        if is_file(path / LANDMARKS):
            vertices = read_landmark_vertices(path / LANDMARKS, count)
            result.landmarks = {name: torch.tensor(result.mesh.vertices[v]) for name, v in vertices.items()} or None
            check_head_landmarks(result.landmarks or {}, path / LANDMARKS)
        else:
            result.warnings.append(f"{path / LANDMARKS}: is missing; faces can't be evaluated without the nose tip")
        result.mesh.metadata["regions"] = read_regions(path / REGIONS, count)
    except DataError as error:
        result.problems.append(str(error))


def _held_out(frames: list[Frame], chosen: tuple[int, ...], count: int | None) -> list[Frame]:
    """The chosen views and, renamed, all or some of the others."""
    others = [k for k in range(len(frames)) if k not in chosen]
    if count is not None and count < len(others):
        others = [others[int((k + 0.5) * len(others) / count)] for k in range(count)]
    kept = {k: frames[k] for k in chosen} | {k: replace(frames[k], name=HELD_OUT + frames[k].name) for k in others}
    return [kept[k] for k in sorted(kept)]


def write(capture: Capture, path: Path) -> None:
    """Write a capture of a head as a scene of H3DS, readable by the data set's own package: photographs become JPEG.

    Landmarks become their nearest vertices. Regions are taken from ``capture.mesh.metadata["regions"]``.

    Raises:
        DataError: if the capture lacks masks or the true mesh.
    """
    if capture.mesh is None or capture.masks is None:
        raise DataError(f"{path}: a scene of H3DS needs masks and the true head; the capture lacks the "
                        f"{'true head' if capture.mesh is None else 'masks'}: write it as 'idr'")
    for name in ("image", "mask", REGIONS):
        (path / name).mkdir(parents=True)
    for i, (image, mask) in enumerate(zip(capture.images, capture.masks)):
        pixels = image if image.dtype == torch.uint8 else (image.clamp(0, 1) * 255).round().to(torch.uint8)
        Image.fromarray(pixels.cpu().numpy()).save(path / "image" / f"img_{i:04d}.jpg", quality=95, subsampling=0)
        write_mask(path / "mask" / f"mask_{i:04d}.png", mask)
    np.savez(path / "cameras.npz", **idr.matrices(capture))
    save_mesh(capture.mesh, path / MESH)
    tree = cKDTree(capture.mesh.vertices)
    lines = [f"{name} {tree.query(np.asarray(point))[1]}\n" for name, point in (capture.landmarks or {}).items()]
    (path / LANDMARKS).write_text("".join(lines), encoding="utf-8")
    for name, vertices in capture.mesh.metadata.get("regions", {}).items():
        (path / REGIONS / f"{name}.txt").write_text("".join(f"{v}\n" for v in vertices), encoding="utf-8")

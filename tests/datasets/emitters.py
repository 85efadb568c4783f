"""Captures written by hand in every format, independently of the package's writers: what other programs might leave."""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from tests.datasets.strategies import Photo, Shoot

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])


def _save(pixels: np.ndarray, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


def _save_mask(photo: Photo, file: Path) -> None:
    _save(photo.mask.astype(np.uint8) * 255, file)


def _from_zero(K: np.ndarray) -> np.ndarray:
    """K with the first pixel's centre at 0."""
    return K - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])


def emit_idr(shoot: Shoot, folder: Path) -> None:
    """IDR: matrices of any scale (and sign, if there is no object to lie behind them), in single or double precision."""
    entries = {}
    scale = (-3.0 if shoot.similarity is None else 3.0, 1.0, 0.01)[shoot.option % 3]
    for i, (photo, file) in enumerate(zip(shoot.photos, shoot.files())):
        _save(photo.image, folder / "image" / file)
        if shoot.masked:
            _save_mask(photo, folder / "mask" / f"{file}.png")
        P = _from_zero(photo.K) @ photo.pose * scale
        P = np.concatenate([P, [[0, 0, 0, 1]]]) if shoot.option < 4 else P
        entries[f"world_mat_{i}"] = P.astype(np.float32) if shoot.digits < 8 else P
        if shoot.similarity is not None:
            entries[f"scale_mat_{i}"] = np.linalg.inv(shoot.similarity)
    name = "cameras_sphere.npz" if shoot.option % 2 else "cameras.npz"
    (np.savez_compressed if shoot.option % 2 else np.savez)(folder / name, **entries)


def emit_middlebury(shoot: Shoot, folder: Path) -> None:
    """Middlebury: a line a view; with Windows' line ends and tabs in one of its forms."""
    gap = "\t" if shoot.option == 1 else " "
    lines = [f"{len(shoot.photos)}"]
    for photo, file in zip(shoot.photos, shoot.files()):
        _save(photo.image, folder / file)
        if shoot.masked:
            _save_mask(photo, folder / "masks" / f"{photo.stem}.png")
        numbers = shoot.text([*_from_zero(photo.K).ravel(), *photo.pose[:, :3].ravel(), *photo.pose[:, 3]])
        lines.append(gap.join([file, *numbers.split()]))
    end = "\r\n" if shoot.option == 2 else "\n"
    (folder / "my scene_par.txt").write_text(end.join(lines) + end * (shoot.option % 3), encoding="utf-8", newline="")


def emit_transforms(shoot: Shoot, folder: Path) -> None:
    """NeRF or Instant-NGP: lenses at the top or in the frames, masks as alpha or files, one file or one a split."""
    at_top = all(np.array_equal(p.K, shoot.photos[0].K) for p in shoot.photos)
    frames = []
    for photo, file in zip(shoot.photos, shoot.files()):
        frame = {} if at_top else _lens_entries(shoot, photo)
        frame["file_path"] = ("./images/" if shoot.option % 2 else "images/") + file
        pose = np.linalg.inv(np.concatenate([photo.pose, [[0, 0, 0, 1]]])) @ OPENGL
        frame["transform_matrix"] = _rounded(shoot, pose[:3 if shoot.option == 3 else 4])
        alpha = shoot.masked and shoot.suffix.lower() == ".png" and shoot.option % 2
        pixels = np.concatenate([photo.image, photo.mask[..., None].astype(np.uint8) * 255], -1) if alpha else photo.image
        _save(pixels, folder / "images" / file)
        if shoot.masked and not alpha:
            frame["mask_path"] = f"masks/{photo.stem}.png"
            _save_mask(photo, folder / "masks" / f"{photo.stem}.png")
        frames.append(frame)
    top = _lens_entries(shoot, shoot.photos[0]) if at_top else {}
    if shoot.similarity is not None:
        top["scene_from_world"] = shoot.similarity.tolist()
    for name, part in splits(shoot, frames).items():
        (folder / name).write_text(json.dumps(top | {"frames": part}, ensure_ascii=shoot.option > 2), encoding="utf-8")


def splits(shoot: Shoot, views: list) -> dict[str, list]:
    """Names of the json files, and which views each holds."""
    if shoot.option != 4:
        return {"transforms.json": views}
    parts = {"train": views[:1], "val": views[1:2], "test": views[2:]}
    return {f"transforms_{split}.json": part for split, part in parts.items() if part}


def _rounded(shoot: Shoot, matrix: np.ndarray) -> list[list[float]]:
    return [[float(shoot.text(v)) for v in row] for row in matrix]


def _lens_entries(shoot: Shoot, photo: Photo) -> dict:
    height, width = shoot.size
    entries = dict(cx=photo.K[0, 2], cy=photo.K[1, 2], fl_x=photo.K[0, 0], fl_y=photo.K[1, 1])
    if shoot.option == 2:
        angles = 2 * np.arctan([width / 2 / entries.pop("fl_x"), height / 2 / entries.pop("fl_y")])
        entries |= dict(camera_angle_x=angles[0], camera_angle_y=angles[1])
    else:
        entries |= dict(w=width, h=height)
    if any(shoot.lens):
        entries |= dict(zip(("k1", "k2", "p1", "p2"), shoot.lens), camera_model="OPENCV")
    return entries


def _model(shoot: Shoot, photo: Photo) -> tuple[int, str, list[float]]:
    K = photo.K
    pinhole = [K[0, 0], K[1, 1], K[0, 2], K[1, 2]]
    return (4, "OPENCV", [*pinhole, *shoot.lens]) if any(shoot.lens) else (1, "PINHOLE", pinhole)


def _images_and_ids(shoot: Shoot, folder: Path) -> list[tuple[int, str]]:
    """Save what both COLMAP formats share; gives each view's number and name. Numbers have gaps."""
    found = []
    for i, (photo, file) in enumerate(zip(shoot.photos, shoot.files())):
        name = f"cam {i}/{file}" if shoot.option == 3 else file
        _save(photo.image, folder / "images" / name)
        if shoot.masked:
            whole = name if shoot.option % 2 else name[:-len(shoot.suffix)]
            _save_mask(photo, folder / "masks" / f"{whole}.png")
        found.append((3 + i * (1 + shoot.option), name))
    return found


def _model_folder(shoot: Shoot, folder: Path) -> Path:
    model = folder / ("sparse/0", "sparse", ".")[shoot.option % 3]
    model.mkdir(parents=True, exist_ok=True)
    return model


def _quaternion(photo: Photo) -> np.ndarray:
    return Rotation.from_matrix(photo.pose[:, :3]).as_quat(scalar_first=True)


def emit_colmap_text(shoot: Shoot, folder: Path) -> None:
    """COLMAP in text, with comments, 2D points and views that are not in the order of their numbers."""
    ids = _images_and_ids(shoot, folder)
    lenses, views = ["# Camera list", f"# Number of cameras: {len(ids)}"], ["# Image list"]
    for (number, name), photo in reversed(list(zip(ids, shoot.photos))):
        _, model, params = _model(shoot, photo)
        lenses.append(f"{number} {model} {shoot.size[1]} {shoot.size[0]} {shoot.text(params)}")
        views.append(f"{number} {shoot.text(_quaternion(photo))} {shoot.text(photo.pose[:, 3])} {number} {name}")
        views.append("1.5 2.5 -1 3.5 4.5 7" if shoot.option % 2 else "")
    points = ["# 3D point list", "7 0.1 0.2 0.3 10 20 30 0.5 3 1"] if shoot.option % 2 else []
    for name, lines in (("cameras", lenses), ("images", views), ("points3D", points)):
        (_model_folder(shoot, folder) / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def emit_colmap_binary(shoot: Shoot, folder: Path) -> None:
    """COLMAP in binary."""
    ids = _images_and_ids(shoot, folder)
    lenses, views = b"", b""
    for (number, name), photo in reversed(list(zip(ids, shoot.photos))):
        kind, _, params = _model(shoot, photo)
        lenses += struct.pack(f"<IiQQ{len(params)}d", number, kind, *shoot.size[::-1], *params)
        views += struct.pack("<I7dI", number, *_quaternion(photo), *photo.pose[:, 3], number) + name.encode() + b"\0"
        views += struct.pack("<QddqddQ", 2, 1.5, 2.5, -1, 3.5, 4.5, 7) if shoot.option % 2 else struct.pack("<Q", 0)
    points = struct.pack("<QdddBBBdQII", 7, 0.1, 0.2, 0.3, 10, 20, 30, 0.5, 1, 3, 1) if shoot.option % 2 else b""
    folder = _model_folder(shoot, folder)
    files = (("cameras", len(ids), lenses), ("images", len(ids), views), ("points3D", bool(points), points))
    for name, count, records in files:
        (folder / f"{name}.bin").write_bytes(struct.pack("<Q", count) + records)


@dataclass(frozen=True)
class Format:
    """A format as fuzzed: the package's name of it, options of its writer, the emitter, and what the format can hold."""

    name: str
    emit: Callable[[Shoot, Path], None]
    options: dict
    skew: bool = False
    lens: bool = False
    similarity: bool = False


FORMATS = {
    "idr": Format("idr", emit_idr, {}, skew=True, similarity=True),
    "middlebury": Format("middlebury", emit_middlebury, {}, skew=True),
    "transforms": Format("transforms", emit_transforms, {}, lens=True, similarity=True),
    "colmap-txt": Format("colmap", emit_colmap_text, dict(binary=False), lens=True),
    "colmap-bin": Format("colmap", emit_colmap_binary, dict(binary=True), lens=True),
}

"""A made recording: an empty room whose depth is known in closed form, and its files in every layout."""

import json
import struct
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

LOWER, UPPER = np.array([-2.0, -1.5, 0.0]), np.array([2.5, 3.0, 2.6])  # of the room, z up
Z_UP_TO_Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
OPENGL = np.diag([1.0, -1, -1, 1])


@dataclass
class Made:
    """Frames of a walk through the room; K with the first pixel's centre at 0.5."""

    poses: np.ndarray
    K: np.ndarray
    images: np.ndarray
    depths: np.ndarray

    def turned(self, world: np.ndarray) -> "Made":
        """The same in another world."""
        return replace(self, poses=world @ self.poses)


def walk(frames: int = 12, size: tuple[int, int] = (36, 48), step: float = 0.06, nod: float = 0.05) -> Made:
    """A walk forward while turning and nodding."""
    height, width = size
    K = np.array([[0.9 * width, 0, 0.51 * width], [0, 0.88 * width, 0.49 * height], [0, 0, 1]])
    level = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # camera looking along y, its y axis down
    poses = np.tile(np.eye(4), (frames, 1, 1))
    for k in range(frames):
        turn = Rotation.from_euler("zx", [0.5 - 0.03 * k, nod * np.sin(k)]).as_matrix()
        poses[k, :3, :3] = turn @ level
        poses[k, :3, 3] = [0.3 + 0.4 * step * k, -0.9 + step * k, 1.2 + 0.02 * np.sin(k)]
    v, u = np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(K).T
    depths = np.stack([depth_in_room(pose, rays) for pose in poses])
    points = np.stack([rays * d[..., None] @ p[:3, :3].T + p[:3, 3] for d, p in zip(depths, poses)])
    images = (127 + 120 * np.sin(points * [1.1, 1.3, 1.5])).astype(np.uint8)
    return Made(poses, K, images, depths.astype(np.float32))


def depth_in_room(pose: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Depth along z at which rays from inside hit the room's walls."""
    directions, origin = rays @ pose[:3, :3].T, pose[:3, 3]
    with np.errstate(divide="ignore"):
        return np.maximum((LOWER - origin) / directions, (UPPER - origin) / directions).min(-1)


def save_depth(path: Path, depth: np.ndarray, steps: float = 1000) -> None:
    """A depth map as 16-bit PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.round(depth * steps).astype(np.uint16))


def save_image(path: Path, image: np.ndarray) -> None:
    """A picture, losslessly unless the name says otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def save_matrix(path: Path, matrix: np.ndarray) -> None:
    """A matrix as text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, matrix, fmt="%.9g")


def whole(K: np.ndarray) -> np.ndarray:
    """K with the first pixel's centre at 0, as calibrations have it."""
    return K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]


def seven_scenes(folder: Path, made: Made, steps: float = 1000) -> Path:
    """7-Scenes."""
    for k, pose in enumerate(made.poses):
        save_image(folder / f"frame-{4 * k:06d}.color.png", made.images[k])
        save_depth(folder / f"frame-{4 * k:06d}.depth.png", made.depths[k], steps)
        save_matrix(folder / f"frame-{4 * k:06d}.pose.txt", pose)
    save_matrix(folder / "camera-intrinsics.txt", made.K)
    return folder


def scannet(folder: Path, made: Made) -> Path:
    """ScanNet exported; every second pixel of the depth maps."""
    for k, pose in enumerate(made.poses):
        save_image(folder / "color" / f"{k}.png", made.images[k])
        save_depth(folder / "depth" / f"{k}.png", made.depths[k, ::2, ::2])
        save_matrix(folder / "pose" / f"{k}.txt", pose)
    for kind, K in (("color", made.K), ("depth", half(made.K))):
        matrix = np.eye(4)
        matrix[:3, :3] = whole(K)
        save_matrix(folder / "intrinsic" / f"intrinsic_{kind}.txt", matrix)
    return folder


def half(K: np.ndarray) -> np.ndarray:
    """K of every second pixel, beginning with the first: its centre is at 0.5 again."""
    scaled = whole(K).copy()
    scaled[:2] /= 2
    return scaled + [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]


def sens(file: Path, made: Made, zipped: bool = True) -> Path:
    """ScanNet's own file."""

    def full(K):
        matrix = np.eye(4, dtype="<f4")
        matrix[:3, :3] = whole(K)
        return matrix.tobytes()

    (height, width), depth = made.images.shape[1:3], made.depths[:, ::2, ::2]
    identity = np.eye(4, dtype="<f4").tobytes()
    data = struct.pack("<IQ", 4, 5) + b"maker" + full(made.K) + identity + full(half(made.K)) + identity
    data += struct.pack("<2i4IfQ", 1, int(zipped), width, height, depth.shape[2], depth.shape[1], 1000.0, len(made.poses))
    for k, pose in enumerate(made.poses):
        picture = cv2.imencode(".png", made.images[k][..., ::-1])[1].tobytes()
        raw = np.round(depth[k] * 1000).astype("<u2").tobytes()
        raw = zlib.compress(raw) if zipped else raw
        data += pose.astype("<f4").tobytes() + struct.pack("<4Q", k, k, len(picture), len(raw)) + picture + raw
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data + struct.pack("<Q", 0))
    return file


def tum(folder: Path, made: Made) -> Path:
    """TUM RGB-D: three sensors, each with times of its own; poses four times as often as pictures, in another order."""
    rgb, depth, truth = ["# color images"], ["# depth maps"], ["# timestamp tx ty tz qx qy qz qw"]
    for k, pose in enumerate(made.poses):
        time = 100 + k / 30
        save_image(folder / "rgb" / f"{time:.6f}.png", made.images[k])
        save_depth(folder / "depth" / f"{time + 0.006:.6f}.png", made.depths[k], 5000)
        rgb.append(f"{time:.6f} rgb/{time:.6f}.png")
        depth.append(f"{time + 0.006:.6f} depth/{time + 0.006:.6f}.png")
        values = [*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat()]
        truth.append(f"{time - 0.003:.6f} " + " ".join(f"{v:.9f}" for v in values))
        truth.append(f"{time + 0.009:.6f} 9 9 9 0 0 0 1")  # farther away in time
    for name, lines in (("rgb", rgb), ("depth", depth), ("groundtruth", truth[:1] + truth[:0:-1])):
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    save_matrix(folder / "camera-intrinsics.txt", whole(made.K))
    return folder


def arkit(folder: Path, made: Made, video: bool = False) -> Path:
    """ios_logger; ``made`` with y up."""
    frames, poses = [], []
    for k, pose in enumerate(made.poses @ OPENGL):
        frames.append(f"{5 + k / 60},{k},{made.K[0, 0]},{made.K[1, 1]},{made.K[0, 2]},{made.K[1, 2]}")
        x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
        poses.append(",".join(map(str, [5 + k / 60, *pose[:3, 3], w, x, y, z])))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Frames.txt").write_text("\n".join(frames))
    (folder / "ARposes.txt").write_text("\n".join(poses))
    if video:
        save_video(folder / "Frames.avi", made.images)
    else:
        for k, image in enumerate(made.images):
            save_image(folder / "images" / f"{k}.png", image)
    return folder


def save_video(path: Path, images: np.ndarray) -> None:
    """A video of a picture after the other."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30, images.shape[2:0:-1])
    for image in images:
        writer.write(np.ascontiguousarray(image[..., ::-1]))
    writer.release()


def record3d(file: Path, made: Made, compress=zlib.compress) -> Path:
    """Record3D; ``made`` with y up; every second pixel's depth, but of the pictures' field of view."""
    poses = made.poses @ OPENGL
    quaternions = Rotation.from_matrix(poses[:, :3, :3]).as_quat()
    height, width = made.images.shape[1:3]
    facts = dict(w=width, h=height, dw=width // 2, dh=height // 2, fps=60, K=made.K.T.ravel().tolist(),
                 poses=np.concatenate([quaternions, poses[:, :3, 3]], 1).tolist())  # yapf: disable
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("metadata", json.dumps(facts))
        for k, image in enumerate(made.images):
            jpeg = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])[1]
            archive.writestr(f"rgbd/{k}.jpg", jpeg.tobytes())
            archive.writestr(f"rgbd/{k}.depth", compress(made.depths[k, ::2, ::2].astype("<f4").tobytes()))
    return file


def transforms(folder: Path, made: Made, depth: bool = True) -> Path:
    """``transforms.json``, frames listed in another order than they were taken in."""
    height, width = made.images.shape[1:3]
    frames = []
    for k, pose in enumerate(made.poses @ OPENGL):
        save_image(folder / "images" / f"{k}.png", made.images[k])
        frames.append(dict(file_path=f"images/{k}.png", transform_matrix=pose.tolist()))
        if depth:
            save_depth(folder / "depth" / f"{k}.png", made.depths[k])
            frames[-1]["depth_file_path"] = f"depth/{k}.png"
    document = dict(w=width,
                    h=height,
                    fl_x=made.K[0, 0],
                    fl_y=made.K[1, 1],
                    cx=made.K[0, 2],
                    cy=made.K[1, 2],
                    frames=frames[::-1])
    (folder / "transforms.json").write_text(json.dumps(document))
    return folder

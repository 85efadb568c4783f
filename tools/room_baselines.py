"""What trivial reconstructions of rooms reach by RoomMetrics, to compare methods with.

    python tools/room_baselines.py recordings/kitchen
    python tools/room_baselines.py recordings/kitchen --every 5 --ours out/metrics.json --json baselines.json
    python tools/room_baselines.py configs/neuralrecon/small.py    # its test data
    python tools/room_baselines.py configs/neuralrecon/small.py --cfg-options test_dataset.recording=recordings/kitchen

Two use no depth map: a constant depth, and a box (floor and walls) around the cameras. Two are made from the truth: each
frame's own mean depth, and the box around the true surface. The last ones are the true surface itself, fused from the sensor's
depth maps: their errors are those of voxels and of fusing twice.
"""

import argparse
import json
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path

import numpy as np
import trimesh
from mmengine.config import DictAction

from deep3dmap.datasets.videos import find_recordings, load_recording
from deep3dmap.engine.config import load_config
from deep3dmap.evaluation.rooms import RoomMetrics
from deep3dmap.evaluation.tables import format_table, write_metrics
from deep3dmap.geometry.tsdf import BlockVolume, DepthFrame
from deep3dmap.registry import DATASETS
from deep3dmap.structures import Reconstruction
from deep3dmap.structures.recording import Recording

VOXEL, MAX_DEPTH = 0.04, 5.0  # of RoomMetrics' fused surfaces
COARSE = 0.08  # metres: voxels of configs/neuralrecon/small.py
DEPTH = 2.0  # metres, of surfaces in rooms
CAMERA_HEIGHT, WALL_HEIGHT, WALL_DISTANCE = 1.5, 2.5, 1.0  # metres; the last one from the outermost cameras
OUTLIERS = 1  # per cent of the true surface's points beyond each side of its box
FIGURES = ("abs_rel", "abs_diff", "r1", "complete", "accuracy_mean", "completeness_mean", "precision@0.05", "recall@0.05",
           "f_score@0.05", "f_score@0.02")  # yapf: disable


def fused(recording: Recording, depth_of: Callable[[np.ndarray], np.ndarray], every: int = 1,
          voxel_size: float = VOXEL) -> trimesh.Trimesh:  # yapf: disable
    """The surface of depth maps that are made of the true ones."""
    volume = BlockVolume(voxel_size, max_depth=MAX_DEPTH)
    for index in recording.tracked(every):
        depth = depth_of(recording.depth(index)).astype(np.float32)
        volume.integrate(DepthFrame(depth, recording.depth_intrinsics[index], recording.poses[index]))
    return volume.mesh()


def constant_depth(depth: np.ndarray) -> np.ndarray:
    """The same depth in every pixel of every frame."""
    return np.full_like(depth, DEPTH)


def mean_depth(depth: np.ndarray) -> np.ndarray:
    """The mean of a frame's known depths in all of its pixels."""
    return np.full_like(depth, depth[depth > 0].mean() if (depth > 0).any() else 0)


def upright(points: np.ndarray, up: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) after which ``up`` is z and the points' box has the smallest floor, to a degree."""
    level = trimesh.geometry.align_vectors(up, [0, 0, 1])[:3, :3]
    turns = [trimesh.transformations.rotation_matrix(angle, [0, 0, 1])[:3, :3] @ level for angle in np.radians(range(90))]
    return min(turns, key=lambda turn: np.ptp(points @ turn[:2].T, axis=0).prod())


def open_box(lower: np.ndarray, upper: np.ndarray, rotation: np.ndarray) -> trimesh.Trimesh:
    """Floor and walls, seen from inside, of the box between two corners in a rotated frame."""
    box = trimesh.creation.box(bounds=np.stack([lower, upper]))
    box.update_faces(box.face_normals[:, 2] < 0.5)
    box.invert()
    box.vertices = box.vertices @ rotation
    return box


def box_around_cameras(recording: Recording) -> trimesh.Trimesh:
    """Floor and walls where they might be for these positions of a camera."""
    centers = recording.poses[recording.tracked(), :3, 3]
    rotation = upright(centers, recording.up)
    lower, upper = (ends(centers @ rotation.T, axis=0) for ends in (np.min, np.max))
    lower, upper = lower - [WALL_DISTANCE, WALL_DISTANCE, CAMERA_HEIGHT], upper + WALL_DISTANCE
    upper[2] = lower[2] + WALL_HEIGHT
    return open_box(lower, upper, rotation)


def box_around_surface(points: np.ndarray, up: np.ndarray) -> trimesh.Trimesh:
    """Floor and walls at the outermost points of a surface."""
    rotation = upright(points, up)
    return open_box(*np.percentile(points @ rotation.T, [OUTLIERS, 100 - OUTLIERS], axis=0), rotation)


def baselines(recording: Recording, every: int = 1) -> dict[str, trimesh.Trimesh]:
    """The meshes of all baselines by name."""
    truth = fused(recording, lambda depth: depth, every)
    return {
        f"depth of {DEPTH:g} m": fused(recording, constant_depth, every),
        "box around the cameras": box_around_cameras(recording),
        "each frame's mean depth": fused(recording, mean_depth, every),
        "box around the true surface": box_around_surface(np.asarray(truth.vertices), recording.up),
        f"true depth, voxels of {100 * COARSE:g} cm": fused(recording, lambda depth: depth, every, COARSE),
        "true depth": truth,
    }


def recordings(place: Path, options: dict) -> Iterable[Recording]:
    """The recordings at a path, or those that a config with these options is tested on."""
    if place.suffix == ".py":
        return DATASETS.build(load_config(place, options).test_dataset).recordings
    return map(load_recording, find_recordings(place))


def main() -> None:
    """Measure, print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="+", help="recordings with depth maps, folders of them, or configs")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, default={}, help="changes of the configs, KEY=VALUE")
    parser.add_argument("--every", type=int, default=1, help="use every n-th frame")
    parser.add_argument("--ours", type=Path, action="append", default=[], help="metrics.json of our own results, to list too")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    args = parser.parse_args()
    metrics: dict[str, RoomMetrics] = {}
    for recording in chain.from_iterable(recordings(place, args.cfg_options) for place in args.recordings):
        for name, mesh in baselines(recording, args.every).items():
            metric = metrics.setdefault(name, RoomMetrics(every=args.every))
            metric.add_item(dict(recording=recording), Reconstruction(recording.name, mesh=mesh))
    table = {name: metric.compute()["rooms"] for name, metric in metrics.items()}
    table |= {f"ours, {path}": json.loads(path.read_text(encoding="utf-8"))["rooms"] for path in args.ours}
    print(format_table({name: {key: row.get(key) for key in FIGURES} for name, row in table.items()}, "baseline"))
    if args.json:
        write_metrics(table, args.json)


if __name__ == "__main__":
    main()

"""A walk through a room with a camera in the hand."""

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import dijkstra

from deep3dmap.datasets.rooms.floor_plan import CELL, FloorPlan

RATE = 30.0  # frames of the video a second
LEAST_CLEARANCE = 0.25  # of the smoothed path from everything, metres
Random = np.random.Generator


def walk(plan: FloorPlan, frames: int, random: Random) -> Float[np.ndarray, "frames 4 4"]:
    """Poses of a video (camera to world, OpenCV's axes): steps of one or two centimetres and about a degree.

    Args:
        plan: of the room; the path keeps its distance from what stands there.
        frames: of the video.
        random: of the path and of where the camera looks.
    """
    ground = _path(plan, frames, random.uniform(0.4, 0.65) / RATE, random)
    time = np.arange(frames) / RATE
    height = random.uniform(1.3, 1.65) + _sway(time, 0.08, 6.0, random) + _sway(time, 0.01, 0.6, random)
    yaw = _gaze(plan, ground, random) + np.radians(_sway(time, 14, 5.0, random) + _sway(time, 0.5, 0.5, random))
    pitch = np.radians(random.uniform(-28, -10) + _sway(time, 12, 6.0, random) + _sway(time, 0.5, 0.5, random))
    roll = np.radians(random.uniform(-4, 4) + _sway(time, 4, 3.0, random) + _sway(time, 0.3, 0.5, random))
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, :3, :3] = _rotations(yaw, pitch, roll)
    poses[:, :2, 3], poses[:, 2, 3] = ground, height.clip(1.2, 1.8)
    return poses


def _sway(time: Float[np.ndarray, "n"], size: float, period: float, random: Random) -> Float[np.ndarray, "n"]:
    """A smooth random function: waves of periods about one, at most ``size`` high, in seconds."""
    periods, phases = period * np.array([0.7, 1.0, 1.6]) * random.uniform(0.8, 1.2, 3), random.uniform(0, 2 * np.pi, 3)
    return size / 3 * np.sin(2 * np.pi * time[:, None] / periods + phases).sum(1)


def _gaze(plan: FloorPlan, ground: Float[np.ndarray, "n 2"], random: Random) -> Float[np.ndarray, "n"]:
    """Yaw of the view: towards a point that goes round along the walls, rather beyond the room's middle than near."""
    half = np.array(plan.size) / 2
    speed = random.choice([-1, 1]) * 2 * np.pi / random.uniform(18.0, 26.0)
    angle = random.uniform(0, 2 * np.pi) + speed * np.arange(len(ground)) / RATE
    # less than all of the walker's own offset leaves the direction well defined wherever it stands
    view = half * np.stack([np.cos(angle), np.sin(angle)], -1) - 0.9 * (ground - half)
    return np.unwrap(np.arctan2(view[:, 1], view[:, 0]))


def _rotations(yaw, pitch, roll) -> Float[np.ndarray, "n 3 3"]:
    """Columns right, down, forward of cameras that look along a yaw and a pitch (up), rolled clockwise."""
    forward = np.stack([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)], -1)
    level = np.stack([np.sin(yaw), -np.cos(yaw), np.zeros_like(yaw)], -1)
    below = np.cross(forward, level)
    cosine, sine = np.cos(roll)[:, None], np.sin(roll)[:, None]
    return np.stack([cosine * level + sine * below, cosine * below - sine * level, forward], -1)


def _path(plan: FloorPlan, frames: int, step: float, random: Random) -> Float[np.ndarray, "frames 2"]:
    """Positions on the floor: shortest ways between random places, smoothed in time so far as they stay clear."""
    grid, free = plan.places()
    points = grid[free]
    graph = _neighbours(free)
    route = [int(random.integers(len(points)))]
    length = 0.0
    while length < step * frames:
        distance, before = dijkstra(graph, directed=False, indices=route[-1], return_predecessors=True)
        stretch, goal = [], int(random.choice(np.flatnonzero(distance >= 0.5 * distance.max())))
        length += distance[goal]
        while goal != route[-1]:
            stretch.append(goal)
            goal = int(before[goal])
        route += stretch[::-1]
    corners = points[route]
    knots = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    raw = np.stack([np.interp(np.arange(frames) * step, knots, corners[:, k]) for k in (0, 1)], -1)
    for seconds in (1.0, 0.5, 0.25, 0.12):
        smooth = gaussian_filter1d(raw, seconds * RATE, axis=0, mode="nearest")
        if plan.clearance(smooth).min() >= LEAST_CLEARANCE:
            return smooth
    return raw


def _neighbours(free: np.ndarray) -> csr_matrix:
    """Distances between free cells that touch each other."""
    index: Int[np.ndarray, "nx ny"] = np.cumsum(free).reshape(free.shape) - 1
    rows, columns, lengths = [], [], []
    for dx, dy in ((1, 0), (0, 1), (1, 1), (1, -1)):
        a = (slice(0, free.shape[0] - dx), slice(max(-dy, 0), free.shape[1] - max(dy, 0)))
        b = (slice(dx, None), slice(max(dy, 0), free.shape[1] + min(dy, 0)))
        both = free[a] & free[b]
        rows.append(index[a][both])
        columns.append(index[b][both])
        lengths.append(np.full(both.sum(), CELL * np.hypot(dx, dy)))
    count = int(free.sum())
    return coo_matrix((np.concatenate(lengths), (np.concatenate(rows), np.concatenate(columns))), (count, count)).tocsr()

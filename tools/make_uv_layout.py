"""Makes the shipped UV layouts of the ICT face model: ``python tools/make_uv_layout.py``.

Needs `deep3dmap download ict_face`, and PRNet's UV layout (``prnet_uv``) for the landmarks of jaw and brows: ICT's own jaw
runs along the front of the cheeks, 15 % of a face's size before that of the Basel model, which annotates 300W-LP and
AFLW2000-3D. The nearest vertices to those on PRNet's mean face, after a similarity of the other landmarks, take their place.

The maps show the model's narrow face area in its own UV coordinates. The slits between the eyelids are closed by fans to the
eyeballs' front, the mouth by a flat membrane. Each pixel of the face is a fixed combination of three of the model's vertices,
which the file holds, too; the 68 landmarks' pixels are vertices themselves.
"""

import numpy as np
import torch
from scipy.spatial import ConvexHull, Delaunay, cKDTree

from deep3dmap.geometry.alignment import align_points
from deep3dmap.geometry.boundaries import boundary_loops
from deep3dmap.geometry.transforms import transform_points
from deep3dmap.io.files import write_atomically
from deep3dmap.io.npz import npz_bytes
from deep3dmap.structures.face_model import EYEBALLS, ICTFaceModel
from deep3dmap.structures.uv_layout import ASSETS, UVLayout

NARROW = 6706  # the model's vertices before this one are its "narrow face area"
LEFT, TOP, WIDTH = 0.1, 0.918, 0.8  # of the maps' square in UV coordinates, v up
LANDMARK, INNER, OUTER = 16.0, 4.0, 3.0  # weights as in PRNet: landmarks; eyes, nose and mouth; the rest of the face
SIZES = (128, 256)
BROWS_END = 27  # landmarks of jaw and brows come first


def face_triangles(model: ICTFaceModel) -> tuple[np.ndarray, np.ndarray]:
    """Triangles of the narrow face area (t, 3), and the UV coordinates of their vertices (v, 2)."""
    part = model.triangle_part == model.part_names.index("face")
    inside = part & (model.triangles < NARROW).all(1)
    uv = np.full((len(model.mean), 2), np.nan)
    uv[model.triangles[inside]] = model.uv[model.uv_triangles[inside]]
    return model.triangles[inside], uv


def closing_triangles(model: ICTFaceModel, faces: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Triangles over the holes of eyes and mouth; gives the eyeballs' front vertices UV coordinates in the eyes."""
    loops = sorted(boundary_loops(faces), key=lambda loop: -np.ptp(uv[loop], 0).max())[1:]  # without the outline
    found = []
    for loop in loops:
        centre = uv[loop].mean(0)
        eye = [model.faces(part) for part in EYEBALLS if abs(centre[0] - 0.5) > 0.1]
        points = loop
        if eye:
            balls = [np.unique(ball) for ball in eye]
            ball = min(balls, key=lambda b: np.linalg.norm(model.mean[b].mean(0) - model.mean[loop].mean(0)))
            front = ball[np.argmax(model.mean[ball, 2])]
            uv[front] = centre
            points = np.append(loop, front)
        found.append(points[Delaunay(uv[points]).simplices])
    return np.concatenate(found)


def rasterized(triangles: np.ndarray, uv: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The covered pixels, and for each the triangle's vertices and their weights; the first triangles win."""
    corner = np.full((size * size, 3), -1)
    weight = np.zeros((size * size, 3))
    points = (uv - (LEFT, TOP)) * (1, -1) * ((size - 1) / WIDTH)
    for triangle in triangles:
        a, b, c = points[triangle]
        low = np.ceil(np.minimum(np.minimum(a, b), c) - 1e-9).astype(int).clip(0)
        high = np.floor(np.maximum(np.maximum(a, b), c) + 1e-9).astype(int).clip(max=size - 1)
        x, y = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1))
        area = np.linalg.det([b - a, c - a])
        if not x.size or abs(area) < 1e-12:
            continue
        p = np.stack([x.ravel(), y.ravel()], -1)
        v = ((p - a) @ [c[1] - a[1], a[0] - c[0]]) / area
        w = ((p - a) @ [a[1] - b[1], b[0] - a[0]]) / area
        bary = np.stack([1 - v - w, v, w], -1)
        index = p[:, 1] * size + p[:, 0]
        new = (bary >= -1e-9).all(1) & (corner[index, 0] < 0)
        corner[index[new]], weight[index[new]] = triangle, bary[new].clip(0)
    indices = np.flatnonzero(corner[:, 0] >= 0)
    return indices, corner[indices], weight[indices]


def landmark_vertices(model: ICTFaceModel) -> np.ndarray:
    """The vertices of the 68 landmarks: the model's own for nose, eyes and mouth, PRNet's for jaw and brows."""
    prnet = UVLayout.load("bfm")
    place = np.searchsorted(prnet.indices, prnet.landmarks @ (1, prnet.size))
    points = prnet.canonical[place].astype(np.float64) * (1, -1, 1)
    own = model.mean[model.landmarks68].astype(np.float64)
    motion = align_points(torch.from_numpy(points[BROWS_END:]), torch.from_numpy(own[BROWS_END:]))
    moved = transform_points(motion, torch.from_numpy(points)).numpy()[:BROWS_END]
    narrow = np.unique(face_triangles(model)[0])
    nearest = narrow[cKDTree(model.mean[narrow]).query(moved)[1]]
    return np.concatenate([nearest, model.landmarks68[BROWS_END:]])


def landmark_pixels(points: np.ndarray, indices: np.ndarray, size: int) -> np.ndarray:
    """The nearest pixels of the face to the landmarks, each landmark with its own."""
    grid = np.stack([indices % size, indices // size], -1)
    distances, near = cKDTree(grid).query(points, 9)
    rows, taken = np.zeros(len(points), int), set()
    for k in np.argsort(distances[:, 0]):
        rows[k] = next(row for row in near[k].tolist() if row not in taken)
        taken.add(rows[k])
    return grid[rows]


def loss_weights(indices: np.ndarray, landmarks: np.ndarray, size: int) -> np.ndarray:
    """PRNet's kind of weights: 16 around landmarks, 4 in the hull of brows, nose and mouth, 3 elsewhere; divided by 16."""
    y, x = np.divmod(np.arange(size * size), size)
    hull = ConvexHull(landmarks[17:])
    inner = (hull.equations[:, :2] @ [x, y] + hull.equations[:, 2:] <= 0).all(0)
    weights = np.where(inner, INNER, OUTER)
    reach = size // 128
    for column, row in landmarks:
        weights[(abs(x - column) < reach) & (abs(y - row) < reach)] = LANDMARK
    outside = np.setdiff1d(np.arange(size * size), indices)
    weights[outside] = 0
    return (weights / LANDMARK).reshape(size, size)


def make(model: ICTFaceModel, size: int) -> dict[str, np.ndarray]:
    """The arrays of a layout."""
    faces, uv = face_triangles(model)
    triangles = np.concatenate([faces, closing_triangles(model, faces, uv)])
    indices, corners, bary = rasterized(triangles, uv, size)
    vertices = landmark_vertices(model)
    points = (uv[vertices] - (LEFT, TOP)) * (1, -1) * ((size - 1) / WIDTH)
    landmarks = landmark_pixels(points, indices, size)
    place = np.searchsorted(indices, landmarks @ (1, size))
    corners[place], bary[place] = vertices[:, None], (1, 0, 0)
    canonical = (model.mean[corners] * bary[..., None]).sum(1) * (1, -1, 1)
    return dict(indices=indices.astype(np.uint16), landmarks=landmarks.astype(np.uint8),
                weights=loss_weights(indices, landmarks, size).astype(np.float16), canonical=canonical.astype(np.float16),
                landmark_vertices=vertices.astype(np.uint16), corners=corners.astype(np.uint16),
                corner_weights=bary.astype(np.float16))  # yapf: disable


if __name__ == "__main__":
    MODEL = ICTFaceModel.load()
    for SIZE in SIZES:
        PATH = write_atomically(ASSETS / f"uv_layout_ict_{SIZE}.npz", npz_bytes(True, **make(MODEL, SIZE)))
        print(f"{PATH.name}: {PATH.stat().st_size / 1000:.0f} kB")

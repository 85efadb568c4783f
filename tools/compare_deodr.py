"""Seconds of deodr and of our mesh renderer for the same picture: forward, and forward with gradients to vertices.

    pip install deodr
    python tools/compare_deodr.py $DEEP3DMAP_DATA/meshes/spot/spot.obj --size 256

Both draw vertex colours without light. deodr smooths outlines over a pixel; ours does so where it has gradients (eight faces a
pixel, softmax blending), and draws hard otherwise. Prints the best and the median of the repeats, and how far both pictures
differ.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from deep3dmap.renderers.mesh import MeshRenderer, VertexColors
from deep3dmap.structures import Cameras, Meshes

SIGMA = 1e-4
UNLIT = dict(type="MeshShader", shading="none", background=[0.0] * 3)
HARD = dict(shader=UNLIT)
SOFT = dict(rasterizer=dict(type="FastRasterizer", faces_per_pixel=8, blur_radius=9.2 * SIGMA),
            shader=dict(UNLIT, blending="softmax", sigma=SIGMA))  # yapf: disable


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles of an OBJ file, in the unit ball; not split along its texture's seams, which deodr can't draw."""
    lines = [line.split() for line in path.read_text().splitlines()]
    vertices = np.array([[float(x) for x in line[1:4]] for line in lines if line[:1] == ["v"]])
    faces = np.array([[int(corner.split("/")[0]) - 1 for corner in line[1:4]] for line in lines if line[:1] == ["f"]])
    vertices = vertices - (vertices.min(0) + vertices.max(0)) / 2
    return vertices / np.linalg.norm(vertices, axis=1).max(), faces


def camera(size: int) -> Cameras:
    """One that sees the unit ball from 3 units away, upright."""
    K = torch.tensor([[[1.3 * size, 0, size / 2], [0, 1.3 * size, size / 2], [0, 0, 1]]])
    return Cameras(K, torch.tensor([[[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 3]]]), (size, size))


def ours(vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray, view: Cameras, gradients: bool):
    """A function that draws the picture once."""
    renderer, texture = MeshRenderer(**SOFT if gradients else HARD), VertexColors(torch.tensor(colors).float())
    points, triangles = torch.tensor(vertices).float().requires_grad_(gradients), torch.tensor(faces)

    def draw() -> np.ndarray:
        picture = renderer(Meshes.pack([points], [triangles]), view, texture).color
        if gradients:
            torch.autograd.grad((picture**2).sum(), points)
        return picture[0].detach().numpy()

    return draw


def theirs(vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray, view: Cameras, gradients: bool):
    """The same with deodr."""
    import deodr
    mesh = deodr.ColoredTriMesh(faces, vertices=vertices, clockwise=False, colors=colors)
    scene = deodr.Scene3D(sigma=1, integer_pixel_centers=False)
    scene.set_light(None, 1.0)
    scene.set_background_color([0.0] * 3)
    scene.set_mesh(mesh)
    lens = deodr.Camera(view.world_to_cam[0].double().numpy(), view.K[0].double().numpy(), *view.size)

    def draw() -> np.ndarray:
        mesh.set_vertices(vertices)
        picture = scene.render(lens)
        if gradients:
            scene.clear_gradients()
            scene.render_backward(2 * picture)
        return picture

    return draw


def seconds(draw, repeats: int) -> tuple[float, float]:
    """Best and median."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        draw()
        times.append(time.perf_counter() - start)
    return min(times[1:]), float(np.median(times[1:]))


def main() -> None:
    """Read the options, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mesh", type=Path, help="OBJ file of triangles")
    parser.add_argument("--size", type=int, default=256, help="of the picture, pixels")
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    vertices, faces = read(options.mesh)
    colors, view = (vertices + 1) / 2, camera(options.size)
    for gradients in (False, True):
        draws = [renderer(vertices, faces, colors, view, gradients) for renderer in (theirs, ours)]
        difference = np.abs(draws[0]() - draws[1]()).max(-1) > 0.05
        print(f"{'forward and gradients' if gradients else 'forward'}: {difference.mean():.2%} of pixels differ by 0.05")
        for name, draw in zip(("deodr", "ours"), draws):
            best, median = seconds(draw, options.repeats)
            print(f"  {name:6} best {best:.4f} s, median {median:.4f} s")


if __name__ == "__main__":
    main()

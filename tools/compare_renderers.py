"""Seconds of the mesh renderers for one picture, and for its gradients to vertices, on the CPU.

    python tools/compare_renderers.py $DEEP3DMAP_DATA/meshes/spot/spot.obj --size 256

Vertex colours without light. Renderers whose package is missing are left out. Prints the best and the median of the repeats.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import trimesh

from deep3dmap.errors import MissingDependencyError
from deep3dmap.registry import RENDERERS, build_part
from deep3dmap.renderers.mesh import MeshImages, VertexColors
from deep3dmap.structures import Cameras, Meshes

UNLIT = dict(type="MeshShader", shading="none")
SOFT = dict(type="MeshRenderer", rasterizer=dict(type="FastRasterizer", faces_per_pixel=8, blur_radius=9.2e-4),
            shader=dict(UNLIT, blending="softmax"))  # yapf: disable
RENDERERS_COMPARED = {
    "ours, hard": dict(type="MeshRenderer", shader=UNLIT),
    "ours, outline": dict(type="MeshRenderer", shader=dict(UNLIT, blending="outline")),
    "ours, soft, 8 faces a pixel": SOFT,
    "deodr": dict(type="DeodrRenderer"),
    "pyrender": dict(type="PyrenderRenderer"),
    "PyTorch3D, soft, 8 faces a pixel": dict(SOFT, rasterizer=dict(SOFT["rasterizer"], type="PyTorch3DRasterizer"))
}


def read(path: Path) -> Meshes:
    """A mesh in the unit ball, whole along the seams of its texture."""
    mesh = trimesh.load(path, force="mesh", process=False)
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    mesh.apply_translation(-mesh.bounds.mean(0))
    mesh.apply_scale(1 / np.linalg.norm(mesh.vertices, axis=1).max())
    return Meshes.from_trimesh(mesh)


def camera(size: int) -> Cameras:
    """One that sees the unit ball from 3 units away, upright."""
    K = torch.tensor([[[1.3 * size, 0, size / 2], [0, 1.3 * size, size / 2], [0, 0, 1]]])
    return Cameras(K, torch.tensor([[[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 3]]]), (size, size))


def seconds(draw, repeats: int) -> tuple[float, float]:
    """Best and median, after a first call that compiles and sets up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        draw()
        times.append(time.perf_counter() - start)
    return min(times[1:]), float(np.median(times[1:]))


def compare(name: str, config: dict, meshes: Meshes, view: Cameras, repeats: int) -> None:
    """Print a renderer's row."""
    try:
        renderer = build_part(config, RENDERERS)
    except MissingDependencyError as error:
        print(f"{name:34} left out: {error}")
        return
    points, texture = meshes.vertices.clone().requires_grad_(), VertexColors((meshes.vertices + 1) / 2)

    def picture(vertices: torch.Tensor) -> MeshImages:
        return renderer(meshes.with_vertices(vertices), view, texture)

    def gradients() -> None:
        images = picture(points)
        torch.autograd.grad((images.color**2).sum() + images.alpha.sum(), points)

    row = "forward best {:.4f} s, median {:.4f} s".format(*seconds(lambda: picture(meshes.vertices), repeats))
    if picture(points).color.requires_grad:
        row += "; with gradients best {:.4f} s, median {:.4f} s".format(*seconds(gradients, repeats))
    print(f"{name:34} {row}")


def main() -> None:
    """Read the options, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mesh", type=Path, help="of any format that trimesh reads")
    parser.add_argument("--size", type=int, default=256, help="of the picture, pixels")
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    meshes, view = read(options.mesh), camera(options.size)
    print(f"{len(meshes.faces)} faces, {options.size} x {options.size} pixels, {torch.get_num_threads()} threads")
    for name, config in RENDERERS_COMPARED.items():
        compare(name, config, meshes, view, options.repeats)


if __name__ == "__main__":
    main()

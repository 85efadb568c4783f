"""The normal distributions of views and lights of the synthetic faces, and their relief, in GAN2Shape's numbers.

    python tools/face_views_and_lights.py --count 500

A view is known of each training face. So is its light's direction; how bright it and the ambient light are is fitted to the
face's shading, which is its picture over its true albedo. Prints means, deviations and correlations, and the deviation of the
depth of the mean head from the front: ``view_prior``, ``light_prior`` and ``relief`` of ``configs/gan2shape/small.py``.
"""

import argparse
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from deep3dmap.datasets.faces.synthetic.aligned import DISTANCE, PIVOT, AlignedFaces
from deep3dmap.datasets.faces.synthetic.heads import dressed, wardrobe
from deep3dmap.frameworks.gan2shape.canonical import VIEW_UNITS
from deep3dmap.losses.gan2shape import relief
from deep3dmap.renderers.mesh.rasterizer import FastRasterizer
from deep3dmap.structures import Cameras, Meshes

FRONT = np.diag([1.0, -1.0, -1.0])  # from the head model's axes to the camera's, of a head that looks into it
MOVES = 0.05  # deviation of moves along x and y: none of the pictures, so that they can be drawn
DARK = 0.05  # albedo up to which shading isn't measured
NAMES = dict(view=("rx", "ry", "rz", "tx", "ty", "tz"), light=("ambient", "diffuse", "x", "y"))


def view_of(item: Mapping) -> Float[np.ndarray, "3"]:
    """Rotations about x, y, z in this order, in units, from a frontal head to that of an item of ``AlignedFaces``."""
    rotation = item["world_to_cam"][:, :3] @ FRONT
    return Rotation.from_matrix(rotation).as_euler("xyz") / VIEW_UNITS[:3]


def light_of(item: Mapping) -> Float[np.ndarray, "4"]:
    """The light of an item of ``AlignedFaces`` with its truth, as in :class:`deep3dmap.frameworks.gan2shape.canonical.Light`.

    Brightness by least absolute differences of the shading, which has shadows and highlights.
    """
    toward = item["light"]
    lit = item["mask"] & (item["albedo"].min(-1) > DARK)
    shading = (item["img"][lit] / 255).sum(-1) / item["albedo"][lit].sum(-1)
    parts = np.stack([np.ones(lit.sum()), (item["normal"][lit] @ toward).clip(0)], 1)
    weight = np.ones(len(parts))
    for _ in range(20):
        found = np.linalg.lstsq(parts * weight[:, None], shading * weight, rcond=None)[0]
        weight = np.abs(parts @ found - shading).clip(1e-3)**-0.5
    return np.concatenate([2 * found - 1, toward[:2] / toward[2]])


def relief_of_the_mean_head(intrinsics: Float[np.ndarray, "3 3"], size: int) -> float:
    """The standard deviation of its depth from the front, in distances of the point that heads turn about."""
    shared = wardrobe("ict_face")
    head = dressed(shared, *(np.zeros(len(each)) for each in (shared.model.identity, shared.model.expression)), [])
    place = np.column_stack([FRONT, [0, 0, DISTANCE] - FRONT @ PIVOT])
    camera = Cameras(torch.from_numpy(intrinsics)[None], torch.from_numpy(place).float()[None], (size, size))
    mesh = Meshes.pack([torch.from_numpy(head.vertices).float()], [torch.from_numpy(head.faces)])
    fragments = FastRasterizer()(mesh, camera)
    depth, hit = (fragments.to_images(each[:, 0]).float() for each in (fragments.depth, fragments.hit))
    return float(relief(depth / float(DISTANCE), hit[:, None]).sqrt())


def main() -> None:
    """Fit, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500, help="number of training faces")
    data = AlignedFaces("train", count=parser.parse_args().count, truth=True)
    views, lights = zip(*((view_of(item), light_of(item)) for item in map(data.__getitem__, range(len(data)))))
    moved = [[0, 0, 0], [MOVES] * 3]
    for name, numbers, (mean, deviation) in (("view", np.array(views), moved), ("light", np.array(lights), ([], []))):
        print(f"{name}_prior=dict(type=\"LearnedGaussian\", mean={rounded([*numbers.mean(0), *mean])}, "
              f"deviation={rounded([*numbers.std(0), *deviation])}),")
        pairs = np.triu(np.abs(np.corrcoef(numbers.T)), 1)
        first, second = np.unravel_index(pairs.argmax(), pairs.shape)
        print(f"  largest correlation: {pairs.max():.2f}, of {NAMES[name][first]} and {NAMES[name][second]}")
    print(f"relief=dict(type=\"ReliefLoss\", deviation={relief_of_the_mean_head(data[0]['K'], data.size):.4f}),")


def rounded(numbers: list[float]) -> list[float]:
    """With three decimals."""
    return [round(float(number), 3) for number in numbers]


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()

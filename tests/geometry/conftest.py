"""Photographs for the geometry tests: a ball with exact silhouettes, the real temple, the preprocessing fixtures."""

from types import SimpleNamespace

import numpy as np
import pytest
import skimage.io
import torch

from deep3dmap.geometry.lookat import sphere_of_cameras

CENTER, RADIUS = torch.tensor([0.3, -0.2, 0.5]).double(), 0.4


def views(n=24, size=(120, 160), focal=180.0, distance=2.0, center=CENTER, radius=RADIUS):
    """Exact masks and projections (first pixel centre at 0.5) of a ball; the cameras look a little past its centre."""
    target = (center + torch.tensor([0.05, -0.03, 0.02])).tolist()
    world_to_cam = sphere_of_cameras(n, distance, target=target).double()
    K = torch.tensor([[focal, 0, size[1] / 2], [0, focal, size[0] / 2], [0, 0, 1]]).double()
    v, u = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    pixels = torch.stack([u + 0.5, v + 0.5, torch.ones(size)], -1).double()
    directions = torch.nn.functional.normalize(pixels @ torch.linalg.inv(K).T, dim=-1)
    in_camera = world_to_cam[:, :, :3] @ center + world_to_cam[:, :, 3]
    along = torch.einsum("hwc,nc->nhw", directions, in_camera)
    masks = (in_camera**2).sum(-1)[:, None, None] - along**2 < radius**2
    return masks, K @ world_to_cam


def of_fixture(z):
    """Masks and projections of a preprocessing fixture; its files count the first pixel's centre as 0, hence the shift."""
    shape = tuple(z["masks_shape"])
    masks = np.unpackbits(z["masks_packed"])[:np.prod(shape)].reshape(shape).astype(bool)
    shift = torch.tensor([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]]).double()
    return torch.from_numpy(masks), shift @ torch.from_numpy(z["world_mats"][:, :3])


@pytest.fixture
def ball():
    """``ball.views(n, ...)`` gives masks and projections of the ball with ``ball.center`` and ``ball.radius``."""
    return SimpleNamespace(views=views, center=CENTER, radius=RADIUS)


@pytest.fixture
def fixture_views():
    """Masks and projections of a preprocessing fixture."""
    return of_fixture


@pytest.fixture
def temple(real_data):
    """The 16 masks of the real temple and their projections (first pixel centre at 0.5)."""
    folder = real_data / "temple_sparse_ring"
    rows = [line.split()[1:] for line in (folder / "templeSR_par.txt").read_text().splitlines()[1:]]
    x = torch.tensor([[float(v) for v in row] for row in rows]).double()
    K, R, t = x[:, :9].view(-1, 3, 3), x[:, 9:18].view(-1, 3, 3), x[:, 18:, None]
    K[:, :2, 2] += 0.5
    masks = np.stack([skimage.io.imread(path) > 127 for path in sorted((folder / "masks").glob("*.png"))])
    return torch.from_numpy(masks), K @ torch.cat([R, t], -1)

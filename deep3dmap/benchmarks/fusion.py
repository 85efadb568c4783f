"""The benchmark of TSDF fusion: frames of a walk through an empty room, from memory, and the mesh of its volume."""

from collections.abc import Callable

import numpy as np
import torch
from mmengine.optim import OptimWrapperDict
from torch import Tensor

from deep3dmap.benchmarks import work
from deep3dmap.benchmarks.cases import Method, Network, Work
from deep3dmap.benchmarks.work import Job, Optimizers
from deep3dmap.frameworks.base import Framework
from deep3dmap.geometry.lookat import look_at

#: Half the room's size, metres.
ROOM = torch.tensor([3.0, 2.0, 1.25], dtype=torch.float64)
#: Frames of the work on other voxels or pictures, and their width.
FRAMES, WIDTH = 16, 640
UP = (0.0, 0.0, 1.0)


def frames(count: int, width: int = WIDTH) -> dict[str, Tensor]:
    """The batch of a camera that turns once around in the room, with coloured noise as pictures."""
    angle = torch.arange(count, dtype=torch.float64) * 2 * torch.pi / count
    eyes = torch.stack([0.8 * angle.cos(), 0.8 * angle.sin(), torch.zeros(count)], -1)
    targets = torch.stack([2 * (angle + 0.5).cos(), 2 * (angle + 0.5).sin(), torch.full((count, ), -0.5)], -1)
    cam = torch.cat([look_at(eye[None], target, UP) for eye, target in zip(eyes, targets)])
    poses = torch.linalg.inv(torch.cat([cam, torch.tensor([0, 0, 0, 1.0]).expand(count, 1, 4)], 1))
    height = width * 3 // 4
    K = torch.tensor([[0.9 * width, 0, width / 2], [0, 0.9 * width, height / 2], [0, 0, 1]], dtype=torch.float64)
    images = np.random.default_rng(0).integers(256, size=(count, height, width, 3), dtype=np.uint8)
    depth = torch.stack([depth_of_walls(K, pose, (height, width)) for pose in poses])
    return dict(depth=depth, K=K.expand(count, 3, 3), poses=poses, images=torch.from_numpy(images),
                image_K=K.expand(count, 3, 3))  # yapf: disable


def depth_of_walls(K: Tensor, pose: Tensor, size: tuple[int, int], room: Tensor = ROOM) -> Tensor:
    """The depth map (h, w) of a room's walls, metres: where rays from inside leave the box of half that size around 0."""
    rows, columns = torch.meshgrid(*(torch.arange(n) + 0.5 for n in size), indexing="ij")
    rays = torch.stack([columns, rows, torch.ones(size)], -1).double() @ torch.linalg.inv(K).T @ pose[:3, :3].T
    return ((rays.sign() * room - pose[:3, 3]) / rays).nan_to_num(torch.inf).amin(-1).float()


def _fusing(framework: Framework, batch: dict[str, Tensor]) -> Callable[[], object]:
    """Fuses frames into an empty volume."""

    def run():
        framework.volume.load_state({})
        framework.train_step(batch, OptimWrapperDict())

    return run


def _fuse(framework: Framework, count: int, **_) -> Job:
    return Job(_fusing(framework, frames(count)))


def _voxels(framework: Framework, millimetres: int, **_) -> Job:
    framework.volume.voxel_size = millimetres / 1000
    return Job(_fusing(framework, frames(FRAMES)))


def _pixels(framework: Framework, width: int, **_) -> Job:
    return Job(_fusing(framework, frames(FRAMES, width)))


def _mesh(framework: Framework, millimetres: int, **_) -> Job:
    """The mesh after one fusion."""
    framework.volume.voxel_size = millimetres / 1000
    _fusing(framework, frames(FRAMES))()
    return Job(framework.extract_mesh)


def _prepare(framework: Framework, fit_steps: int, train_steps: int, rate: float) -> Optimizers:
    """Nothing is trained."""
    return work.training(framework, [], {}, False)[1]


METHOD = Method(
    networks=dict(four_centimetres=Network("configs/fusion/fusion.py")),
    variants={f"truncation {n}": {"model.truncation": float(n)} for n in (2, 3, 5, 8)},
    work=dict(fuse=Work("frames", (10, 25, 50, 100), (1, 2), 50, job=_fuse),
              fuse_voxels=Work("millimetres", (80, 40, 20, 10), (160, 80), job=_voxels),
              fuse_pixels=Work("pixels wide", (160, 320, 640, 1280), (40, 80), job=_pixels),
              mesh_voxels=Work("millimetres", (80, 40, 20, 10), (160, 80), job=_mesh)),
    parts=(),
    prepare=_prepare,
    watch=lambda framework, change: None,
    preparation=(0, 0),
    quick_preparation=(0, 0),
)  # yapf: disable

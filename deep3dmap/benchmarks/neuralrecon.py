"""NeuralRecon's benchmark: its parts one by one, and fragments of a walk through an endless hall, without data.

Pictures are noise, on which the cost doesn't depend. It depends on the voxels that are found occupied; since the network isn't
trained, the hall's own walls take the place of what it finds.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from mmengine.dataset import default_collate
from torch import Tensor

from deep3dmap.backbones import MnasMulti
from deep3dmap.backbones.sparse import SparseConv3d, SparseTensor, VoxelSet
from deep3dmap.benchmarks import work
from deep3dmap.benchmarks.cases import Method, Network, Work
from deep3dmap.benchmarks.fusion import UP, depth_of_walls
from deep3dmap.benchmarks.work import Job, Optimizers
from deep3dmap.datasets.videos.space import KEPT
from deep3dmap.engine.optim import load_optimizers_state
from deep3dmap.frameworks.base import Framework, Stage
from deep3dmap.geometry.back_projection import back_project
from deep3dmap.geometry.lookat import look_at
from deep3dmap.geometry.random_space import MARGIN, occupied_voxels
from deep3dmap.geometry.tsdf import DepthFrame
from deep3dmap.geometry.voxels import camera_points, voxel_grid, world_points

#: Half the hall's size (it ends nowhere in sight) and its centre, metres.
HALL, CENTRE = torch.tensor([1e4, 1.5, 1.25], dtype=torch.float64), torch.tensor([0, 0, 1.25], dtype=torch.float64)
#: Views of a fragment, and metres between them.
VIEWS, STRIDE = 9, 0.15
#: Earlier fragments whose walls reach into a fragment's box.
EARLIER = 3
#: Pictures' height and width with the published 2D network, and with others.
PUBLISHED_SIZE, SIZE = (480, 640), (192, 256)
#: Channels of the single convolution, and the share of voxels that are occupied in its box.
CHANNELS, SHARE = 32, 0.1
#: Voxels along an edge of the published fragments' coarsest level.
COARSEST = 24

# --- the walk -------------------------------------------------------------------------------------------------------------


def picture_size(framework: Framework) -> tuple[int, int]:
    """Height and width of the pictures in the network's config."""
    return PUBLISHED_SIZE if isinstance(framework.backbone2d, MnasMulti) else SIZE


def views(first: int, size: tuple[int, int], max_depth: float) -> dict[str, Tensor]:
    """Nine views of the walk from number ``first`` on, as an item of ``Fragments``; larger depths are unknown."""
    k, (height, width) = torch.arange(first, first + VIEWS, dtype=torch.float64), size
    eyes = torch.stack([STRIDE * k, 0.3 * (k / 7).sin(), 0.1 * (k / 5).cos()], -1)
    targets = eyes + torch.stack([torch.ones(VIEWS), 1.2 * (k / 6).sin(), torch.full((VIEWS, ), -0.35)], -1)
    cam = torch.cat([look_at(eye[None], target, UP) for eye, target in zip(eyes, targets)])
    poses = torch.linalg.inv(torch.cat([cam, torch.tensor([0, 0, 0, 1.0]).expand(VIEWS, 1, 4)], 1))
    K = torch.tensor([[0.9 * width, 0, width / 2], [0, 0.9 * width, height / 2], [0, 0, 1]], dtype=torch.float64)
    depths = torch.stack([depth_of_walls(K, pose, size, HALL) for pose in poses])
    poses[:, :3, 3] += CENTRE
    images = torch.from_numpy(np.random.default_rng(0).integers(256, size=(VIEWS, 3, *size), dtype=np.uint8))
    return dict(images=images, poses=poses.float(), intrinsics=K.float().expand(VIEWS, 3, 3),
                depths=depths.where(depths < max_depth, 0.0))  # yapf: disable


def walk(framework: Framework, count: int) -> list[dict]:
    """Fragments of the walk in their boxes of voxels, with the ``occupancy`` of each level: what was shown so far."""
    network, seen, items = framework.network, [], []
    for number in range(count):
        item = views(VIEWS * number, picture_size(framework), framework.space.max_depth)
        seen.append([DepthFrame(depth.numpy(), K.double().numpy(), pose.double().numpy())
                     for depth, K, pose in zip(item["depths"], item["intrinsics"], item["poses"])])  # yapf: disable
        frames = sum(seen[-EARLIER - 1:], [])
        item = framework.space(
            item | dict(name="hall", begins=number == 0, ends=False, upright=torch.eye(4), voxel_size=network.voxel_size))
        item["occupancy"] = [occupied_voxels(frames, item["origin"].double().numpy(), [n // step for n in network.size],
                                             step * network.voxel_size) for step in (1, 2, 4)]  # yapf: disable
        items.append(item)
    return items


def distances(network: torch.nn.Module, coords: Int[Tensor, "n 4"], origins: Float[Tensor, "b 3"],
              level: int) -> Float[Tensor, " n"]:  # yapf: disable
    """Distances of voxels to the hall's walls, in truncations of their level."""
    points = world_points(coords, origins, network.voxel_size)
    inside = (HALL.to(points) - (points - CENTRE.to(points)).abs()).amin(1)
    return (inside / (MARGIN * network.voxel_size * network.gru_fusion.interval(level))).clamp(-1, 1)


def show_walls(framework: Framework, occupancy: Sequence[Tensor], origins: Float[Tensor, "b 3"]) -> None:
    """Let the network find the walls in the next fragments.

    Args:
        framework: of the network.
        occupancy: volumes (b, x, y, z) of the fragments at each level, fine to coarse.
        origins: of the fragments, metres.
    """
    network = framework.network

    def kept(level: int, found: dict, fragments: int) -> Tensor:
        coords = found["coords"]
        if not network.training:
            found["tsdf"] = distances(network, coords, origins.to(coords.device), level)
        scene, x, y, z = torch.cat([coords[:, :1], coords[:, 1:] // network.gru_fusion.interval(level)], 1).unbind(1)
        return occupancy[network.levels - 1 - level].to(coords.device)[scene, x, y, z]

    network.kept = kept


def pass_through(framework: Framework, item: Mapping) -> None:
    """Reconstruct the next fragment of the walk."""
    show_walls(framework, [volume[None] for volume in item["occupancy"]], item["origin"][None])
    list(framework.reconstruct({key: value for key, value in item.items() if key != "occupancy"}))


# --- the parts ------------------------------------------------------------------------------------------------------------


def _without_gradients(framework: Framework, amp: bool, run: Callable[[], Any]) -> Job:
    """Inference; in bfloat16, if ``amp``."""
    framework.eval()

    @torch.no_grad()
    def infer():
        with torch.autocast(framework.device.type, dtype=torch.bfloat16, enabled=amp):
            return run()

    return Job(infer)


def _pictures(framework: Framework, count: int, amp: bool, **_) -> Job:
    """The features of pictures."""
    images = torch.rand(count, 3, *picture_size(framework), device=framework.device) * 255
    return _without_gradients(framework, amp, lambda: framework.backbone2d(images))


def _back_project(framework: Framework, side: int, **_) -> Job:
    """Finest features of nine views to all voxels of a cube."""
    item = walk(framework, 1)[0]
    height, width = (n // 4 for n in picture_size(framework))
    features = torch.randn(VIEWS, 1, height, width, 24, device=framework.device).movedim(-1, 2)
    coords = voxel_grid([side] * 3, 1, device=framework.device)
    origin, projections = (item[key].to(framework.device) for key in ("origin", "projections"))
    run = partial(back_project, coords, origin[None], framework.network.voxel_size, features, projections[:, None, 0])
    return _without_gradients(framework, False, run)


def _convolve(framework: Framework, side: int, amp: bool, mapped: bool, **_) -> Job:
    """A convolution of random voxels, whose map is known, or built as well."""
    cube = voxel_grid([side] * 3, 1).roll(-1, 1)
    coords = cube[torch.randperm(len(cube))[:int(SHARE * len(cube))]].to(framework.device)
    conv, x = (thing.to(framework.device) for thing in (SparseConv3d(CHANNELS, CHANNELS), torch.randn(len(coords), CHANNELS)))
    known = VoxelSet(coords)
    return _without_gradients(framework, amp, lambda: conv(SparseTensor(x, known if mapped else VoxelSet(coords))))


def corner(level: int, count: int) -> Int[Tensor, "n 4"]:
    """That many voxels of a level, rows (0, x, y, z) in finest voxels: those closest to a room's floor and two walls."""
    coords = voxel_grid([COARSEST * 2**level] * 3, 1)
    order = coords[:, 1:].amin(1).argsort(stable=True)
    return coords[order[:count]] * torch.tensor([1] + [4 // 2**level] * 3)


def _points(framework: Framework, level: int, count: int) -> tuple[Tensor, float]:
    """A corner's voxels as the 3D networks get them, and their size."""
    network, item = framework.network, walk(framework, 1)[0]
    coords = corner(level, count).to(framework.device)
    origin, camera = (item[key][None].to(framework.device) for key in ("origin", "aligned_camera"))
    return camera_points(coords, origin, network.voxel_size, camera), network.voxel_size * network.gru_fusion.interval(level)


def _unet(framework: Framework, count: int, amp: bool, level: int, **_) -> Job:
    """The 3D network of a level, voxel sets and maps included."""
    points, resolution = _points(framework, level, count)
    network = framework.backbone3d[level]
    features = torch.randn(count, network.stem[0].kernel.shape[1], device=framework.device)
    return _without_gradients(framework, amp, lambda: network(points, features, resolution))


def _gru(framework: Framework, count: int, amp: bool, level: int, **_) -> Job:
    """The recurrent unit of a level, voxel sets and maps included."""
    points, resolution = _points(framework, level, count)
    fusion = framework.network.gru_fusion
    h, x = torch.randn(2, count, fusion.channels[level], device=framework.device)
    return _without_gradients(framework, amp, lambda: fusion.fusion_nets[level](h, x, points, resolution))


# --- the whole ------------------------------------------------------------------------------------------------------------


def _fragment(framework: Framework, number: int, amp: bool, **_) -> Job:
    """A fragment of the walk, after those before it."""
    *earlier, last = walk(framework, number)
    remembered = {}

    def pass_earlier():
        framework.load_training_state({})
        for item in earlier:
            pass_through(framework, item)
        remembered.update(framework.training_state())

    def pass_last():
        framework.load_training_state(remembered)
        pass_through(framework, last)

    before, job = (_without_gradients(framework, amp, run) for run in (pass_earlier, pass_last))
    return Job(job.run, warm_up=before.run)


def _box(framework: Framework, side: int, amp: bool, **_) -> Job:
    """A scene's first fragment, in a box of that many voxels along x, y and z."""
    network = framework.network
    network.size = network.gru_fusion.size = network.tsdf_fusion.size = framework.space.size = (side, ) * 3
    return _fragment(framework, 1, amp)


def _mesh(framework: Framework, count: int, **_) -> Job:
    """The mesh after so many fragments."""
    _without_gradients(framework, False, lambda: [pass_through(framework, item) for item in walk(framework, count)]).run()
    return Job(framework.extract_mesh)


def _training(framework: Framework, count: int, rate: float, amp: bool) -> tuple[Callable[[], Any], Optimizers]:
    """Steps in the stage of single fragments."""
    items = [{key: item[key] for key in (*KEPT, "occupancy") if key != "name"} for item in walk(framework, count)]
    for item in items:
        grids = [voxel_grid(volume.shape, 1) * torch.tensor([1, *[2**k] * 3]) for k, volume in enumerate(item["occupancy"])]
        item["tsdf"] = [distances(framework.network, grid, item["origin"][None], 2 - k).view(volume.shape)
                        for k, (grid, volume) in enumerate(zip(grids, item["occupancy"]))]  # yapf: disable
    batch = default_collate(items)
    show_walls(framework, batch["occupancy"], batch["origin"])
    framework.enter_stage(Stage("fragments"))
    return work.training(framework, [batch], dict(network=dict(optimizer=dict(type="Adam", lr=rate))), amp)


def _train_step(framework: Framework, count: int, rate: float, amp: bool, optimizer: Mapping, **_) -> Job:
    step, wrapper = _training(framework, count, rate, amp)
    load_optimizers_state(wrapper, optimizer)
    return Job(step, work.STEPS)


def _prepare(framework: Framework, fit_steps: int, train_steps: int, rate: float) -> Optimizers:
    """A short training with warm-up."""
    step, optimizers = _training(framework, 1, rate, False)
    work.train_with_warmup(step, optimizers, train_steps)
    return optimizers


# --- what is measured -----------------------------------------------------------------------------------------------------

#: Voxels of each level: the coarsest level's, and the most that go on to the others in training.
VOXELS = dict(coarse=(3456, 13_824), middle=(8192, 32_768), fine=(32_768, 131_072))

METHOD = Method(
    networks=dict(published=Network("configs/neuralrecon/paper.py", rate=1e-3),
                  small=Network("configs/neuralrecon/small.py", rate=1e-3)),
    variants={"float32": {"amp": False}, "mixed precision": {"amp": True}, "without fusion": {"model.recurrent": False}},
    work=dict(pictures=Work("pictures", (1, 3, 9), (1, ), 9, job=_pictures),
              back_project=Work("voxels a side", (24, 48, 96), (8, ), job=_back_project),
              convolution=Work("voxels a side", (48, 96, 192), (8, ), 96, job=partial(_convolve, mapped=True)),
              convolution_and_map=Work("voxels a side", (48, 96, 192), (8, ), 96, job=partial(_convolve, mapped=False)),
              **{f"unet_{name}": Work("voxels", amounts, (512, ), amounts[-1], job=partial(_unet, level=level))
                 for level, (name, amounts) in enumerate(VOXELS.items())},
              **{f"gru_{name}": Work("voxels", amounts, (512, ), amounts[-1], job=partial(_gru, level=level))
                 for level, (name, amounts) in enumerate(VOXELS.items())},
              fragment=Work("fragments", (1, 2, 4, 8, 16), (1, 2), 4, job=_fragment),
              box=Work("voxels a side", (48, 64, 96, 128), (24, ), job=_box),
              mesh=Work("fragments", (1, 2, 4, 8, 16), (1, ), job=_mesh),
              train_step=Work("fragments", (1, 2), (1, ), 1, job=_train_step)),
    parts=("network", ),
    prepare=_prepare,
    watch=lambda framework, change: None,
    preparation=(0, 2),
    quick_preparation=(0, 1),
)  # yapf: disable

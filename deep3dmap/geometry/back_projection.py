"""Features of pictures carried to voxels: each voxel's mean over the views that see it (NeuralRecon, section 3.2.1).

A voxel is seen where its centre projects between the centres of the feature map's outermost pixels, and in front of the
camera. Projections count pixels of the feature map from the first one's centre, which is (0, 0).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from deep3dmap.geometry.voxels import world_points

#: Voxels that are projected at a time.
CHUNK = 2**15


def back_project(coords: Int[Tensor, "n 4"], origins: Float[Tensor, "b 3"], voxel_size: float,
                 features: Float[Tensor, "v b c h w"], projections: Float[Tensor, "v b 4 4"],
                 variance: bool = False) -> tuple[Float[Tensor, "n d"], Int[Tensor, " n"]]:  # yapf: disable
    """Mean features and depths of voxels over the views that see them; 0 where none does.

    Memory grows with the voxels and their channels, not with the views. Gradients reach the features.

    Args:
        coords: rows (scene, x, y, z), finest voxels.
        origins: of the scenes' volumes, metres.
        voxel_size: of the finest voxels, metres.
        features: of each view and scene; without copies if they lie in memory with the channels last.
        projections: from the world to pixels of the feature map, see above.
        variance: whether features' variances over the views are returned, too: they are small at surfaces (Yao et al.,
            "MVSNet", ECCV 2018).

    Returns:
        ``c`` features, with ``variance`` another ``c``, and as the last channel the mean depth, minus its mean over the
        scene's seen voxels, divided by the norm (not the deviation) of these differences. And the number of views that see
        each voxel.
    """
    points = world_points(coords, origins, voxel_size)
    parts, counts, rows = [], [], []
    for scene in range(len(origins)):
        own = (coords[:, 0] == scene).nonzero()[:, 0]
        # a last channel with room for the depth
        table = functional.pad(features[:, scene].permute(0, 2, 3, 1), (0, int(not variance)))
        found = [_seen(chunk, table, projections[:, scene], variance) for chunk in points[own].split(CHUNK)]
        volume, depth, count = (torch.cat(values) for values in zip(*found))
        volume[:, -1] = _normalized(depth, count > 0)
        parts.append(volume), counts.append(count), rows.append(own)
    if len(parts) == 1:
        return volume, count
    order = torch.cat(rows).argsort()
    return torch.cat(parts)[order], torch.cat(counts)[order]


def _normalized(depth: Float[Tensor, " n"], seen: Tensor) -> Float[Tensor, " n"]:
    centred = depth - depth[seen].mean()
    return torch.where(seen, centred / (centred[seen].norm() + 1e-5), 0.0)


def _seen(points: Float[Tensor, "n 3"], table: Float[Tensor, "v h w c"], projections: Float[Tensor, "v 4 4"],
          variance: bool) -> tuple[Float[Tensor, "n d"], Float[Tensor, " n"], Int[Tensor, " n"]]:  # yapf: disable
    """Mean features, their variances (and room for the depth) if asked for, mean depths, and numbers of views of points of one
    scene."""
    views, height, width, channels = table.shape
    rows = projections[:, :3].transpose(0, 1).flatten(0, 1)  # all views' x, then y, then z
    with torch.autocast(points.device.type, enabled=False):  # positions need more digits than bfloat16 has
        x, y, depth = (points @ rows[:, :3].T + rows[:, 3]).view(-1, 3, views).unbind(1)
    x, y = x / depth, y / depth
    visible = ((2 * x / (width - 1) - 1).abs() <= 1) & ((2 * y / (height - 1) - 1).abs() <= 1) & (depth > 0)
    count = visible.sum(1)
    share = 1 / count.clamp(min=1)
    pairs = visible.flatten().nonzero()[:, 0]  # of a point and a view, by point
    view = torch.arange(views, dtype=torch.int32, device=points.device).expand(visible.shape)
    pixels, weights = _corners(*(values.flatten()[pairs] for values in (x, y, view)), height, width)
    table, mean_depth = table.reshape(-1, channels), (depth * visible).sum(1) * share
    if variance:
        seen = functional.embedding_bag(pixels, table, mode="sum", per_sample_weights=weights)
        return functional.pad(_moments(seen, pairs // views, share), (0, 1)), mean_depth, count
    means = functional.embedding_bag(pixels.flatten(), table, (4 * (count.cumsum(0) - count)).int(), mode="sum",
                                     per_sample_weights=weights.flatten())  # yapf: disable
    return means.mul_(share[:, None]), mean_depth, count


def _moments(seen: Float[Tensor, "m c"], point: Int[Tensor, " m"], share: Float[Tensor, " n"]) -> Float[Tensor, "n 2*c"]:
    """Means and variances of what the views show of each point.

    Args:
        seen: by a view of a point.
        point: which.
        share: of each view among those of the point.
    """

    def mean(values: Float[Tensor, "m c"]) -> Float[Tensor, "n c"]:
        return values.new_zeros(len(share), values.shape[1]).index_add(0, point, values) * share[:, None]

    means = mean(seen)
    return torch.cat([means, mean((seen - means[point]).square())], 1)


def _corners(x: Float[Tensor, " m"], y: Float[Tensor, " m"], view: Int[Tensor, " m"], height: int,
             width: int) -> tuple[Int[Tensor, "m 4"], Float[Tensor, "m 4"]]:
    """The four pixels around positions, numbered through all views, and their shares in a bilinear interpolation."""
    left, top = x.int().clamp(0, width - 2), y.int().clamp(0, height - 2)
    right, down = x - left, y - top
    pixels = ((view * height + top) * width + left)[:, None] + torch.tensor([0, 1, width, width + 1]).to(view)
    return pixels, torch.stack([(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down], 1)

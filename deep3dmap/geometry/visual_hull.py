"""The visual hull: the intersection of all viewing cones (Laurentini, "The visual hull concept", PAMI 1994).

A grid here is made of *cells*: ``grid[i, j, k]`` belongs to the cube whose centre is
``lower + (i + 0.5, j + 0.5, k + 0.5) * spacing`` with ``spacing = (upper - lower) / resolution``; i counts along x, j along y,
k along z. A cell is occupied if its centre projects into the masks. Pixel (0, 0) covers [0, 1) x [0, 1). Beyond the image's
edge a silhouette is extended by replication, so an object that a photograph crops is not carved by that photograph.

Carving goes from coarse to fine: a block of cells whose projection lies wholly outside or inside a mask (counted with
summed-area tables; Crow 1984) is decided for that view at once.
"""

import torch
from jaxtyping import Bool, Float, Int
from skimage.measure import marching_cubes
from torch import Tensor

from deep3dmap.geometry.silhouettes import check_silhouettes, mask_distance, normalized_projections, silhouette_distance

BLOCKS = (32, 8, 4)  # sizes in cells of the blocks that are decided as a whole, coarse to fine; each divides the one before
CHUNK = 1 << 16  # cells per chunk: small enough for the processor's cache


def _pixel_index(coordinate: Float[Tensor, "*batch"], size: int) -> Int[Tensor, "*batch"]:
    """Index into an extended mask's axis of length ``size`` of pixel coordinates of the image."""
    return coordinate.nan_to_num(-1.0).clamp(-1, size - 2).floor().long() + 1


def _project(P: Float[Tensor, "3 4"], base: Int[Tensor, "b 3"],
             offsets: Float[Tensor, "o 3"]) -> tuple[Float[Tensor, "b o"], Float[Tensor, "b o"], Float[Tensor, "b o"]]:
    """u, v and depth of ``base + offsets``: projection is affine before the division, so the two add up."""
    start = base.to(P) @ P[:, :3].T + P[:, 3]
    u, v, depth = (start[:, None] + offsets.to(P) @ P[:, :3].T).unbind(-1)
    return u / depth, v / depth, depth


def _settle_blocks(P: Float[Tensor, "3 4"], area: Int[Tensor, "h1 w1"], base: Int[Tensor, "b 3"],
                   size: int) -> tuple[Bool[Tensor, "b"], Bool[Tensor, "b"]]:
    """Which blocks have all their cells outside one view's silhouette, and which have all inside."""
    corners = torch.cartesian_prod(*[torch.tensor([0.5, size - 0.5])] * 3).to(P)
    u, v, depth = _project(P, base, corners)
    height, width = area.shape[0] - 1, area.shape[1] - 1
    left, right = _pixel_index(u.amin(1), width), _pixel_index(u.amax(1), width) + 1
    top, bottom = _pixel_index(v.amin(1), height), _pixel_index(v.amax(1), height) + 1
    inside = area[bottom, right] - area[top, right] - area[bottom, left] + area[top, left]
    in_front, behind = (depth > 0).all(1), (depth <= 0).all(1)
    return behind | (in_front & (inside == 0)), in_front & (inside == (right - left) * (bottom - top))


def _carve_cells(Ps, masks: Bool[Tensor, "n h2 w2"], base: Int[Tensor, "b 3"], size: int,
                 tolerance: int) -> Bool[Tensor, "b cells"]:
    """Which cells of the given blocks are occupied. Empty blocks are skipped in further views."""
    offsets = torch.cartesian_prod(*[torch.arange(size, device=base.device)] * 3) + 0.5
    misses = torch.zeros(len(base), len(offsets), dtype=torch.int16, device=base.device)
    alive = torch.arange(len(base), device=base.device)
    for P, mask in zip(Ps, masks):
        u, v, depth = _project(P, base[alive], offsets)
        seen = mask[_pixel_index(v, mask.shape[0]), _pixel_index(u, mask.shape[1])] & (depth > 0)
        misses[alive] += ~seen
        alive = alive[(misses[alive] <= tolerance).any(1)]
    return misses <= tolerance


def _children(base: Int[Tensor, "b 3"], size: int, child: int, resolution: int) -> Int[Tensor, "c 3"]:
    """First cells of the smaller blocks inside the given ones, without those beyond the grid."""
    steps = torch.arange(0, size, child, device=base.device)
    blocks = (base[:, None] + torch.cartesian_prod(steps, steps, steps)).reshape(-1, 3)
    return blocks[(blocks < resolution).all(1)]


def _fill(grid: Bool[Tensor, "r r r"], base: Int[Tensor, "b 3"], size: int, cells) -> None:
    """Write blocks into the grid."""
    count = len(grid) // size
    i, j, k = (base // size).unbind(1)
    grid.view(count, size, count, size, count, size)[i, :, j, :, k, :] = cells


def visual_hull(masks: Bool[Tensor, "n h w"],
                projections: Float[Tensor, "m 3 4"],
                lower: Float[Tensor, "3"],
                upper: Float[Tensor, "3"],
                resolution: int,
                tolerance: int = 0,
                continue_beyond_image: bool = True) -> Bool[Tensor, "r r r"]:
    """Which cells of a box are occupied after carving with every silhouette.

    Args:
        masks: True on the object.
        projections: world to pixels (first pixel centre at 0.5), of any scale and sign.
        lower, upper: corners of the box, world units.
        resolution: cells along each edge of the box.
        tolerance: number of views that may disagree before a cell is carved.
        continue_beyond_image: False carves everything that lies beyond an image's edge.

    Raises:
        ValueError: if ``check_silhouettes`` does, or the box or the resolution is empty.
    """
    check_silhouettes(masks, projections)
    if resolution < 1 or not (upper > lower).all():
        raise ValueError(f"nothing to carve in the box {lower.tolist()} to {upper.tolist()} at resolution {resolution}")
    beyond = [torch.arange(-1, side + 1, device=masks.device).clamp(0, side - 1) for side in masks.shape[1:]]
    masks = masks[:, beyond[0]][:, :, beyond[1]] if continue_beyond_image else torch.nn.functional.pad(masks, (1, 1, 1, 1))
    areas = [torch.nn.functional.pad(mask.int(), (1, 0, 1, 0)).cumsum(0, dtype=torch.int32).cumsum(1, dtype=torch.int32)
             for mask in masks]  # True pixels above and to the left of each pixel corner  # yapf: disable
    Ps = normalized_projections(projections).to(masks.device)
    spacing, offset = (upper.to(Ps) - lower.to(Ps)) / resolution, Ps[:, :, :3] @ lower.to(Ps) + Ps[:, :, 3]
    Ps = torch.cat([Ps[:, :, :3] * spacing, offset[..., None]], -1)  # of grid coordinates, in cells from the lower corner
    padded = -(-resolution // BLOCKS[0]) * BLOCKS[0]
    grid = torch.zeros(padded, padded, padded, dtype=torch.bool, device=masks.device)
    base = _children(torch.zeros(1, 3, dtype=torch.long, device=masks.device), padded, BLOCKS[0], resolution)
    for size, child in zip(BLOCKS, (*BLOCKS[1:], None)):
        outside = torch.zeros(len(base), dtype=torch.int16, device=base.device)  # views outside which a block is entirely
        unsettled = torch.zeros_like(outside)
        for P, area in zip(Ps, areas):
            all_out, all_in = _settle_blocks(P, area, base, size)
            outside += all_out
            unsettled += ~all_in
        carved, whole = outside > tolerance, unsettled <= tolerance
        _fill(grid, base[whole], size, True)
        base = base[~carved & ~whole]
        base = base if child is None else _children(base, size, child, resolution)
    for blocks in base.split(CHUNK // BLOCKS[-1]**3):
        _fill(grid, blocks, BLOCKS[-1], _carve_cells(Ps, masks, blocks, BLOCKS[-1], tolerance).view(-1, *[BLOCKS[-1]] * 3))
    return grid[:resolution, :resolution, :resolution].contiguous()


def cell_centers(cells: Bool[Tensor, "r r r"], lower: Float[Tensor, "3"], upper: Float[Tensor, "3"]) -> Float[Tensor, "p 3"]:
    """Centres in the world of the cells that are True."""
    return lower + (cells.nonzero().contiguous().to(lower) + 0.5) * (upper - lower) / len(cells)


def _grown(grid: Bool[Tensor, "x y z"], width: int) -> Bool[Tensor, "x y z"]:
    """The cells within ``width`` cells (Chebyshev distance) of a True one, axis by axis."""
    for axis in range(3):
        source = grid.transpose(0, axis)
        grown = source.clone()
        for step in range(1, width + 1):
            grown[step:] |= source[:-step]
            grown[:-step] |= source[step:]
        grid = grown.transpose(0, axis)
    return grid


def hull_field(masks: Bool[Tensor, "n h w"],
               projections: Float[Tensor, "m 3 4"],
               lower: Float[Tensor, "3"],
               upper: Float[Tensor, "3"],
               resolution: int,
               tolerance: int = 0) -> Float[Tensor, "r r r"]:
    """Signed distance (world units, approximate) to the visual hull at cell centres, exact in sign and near the surface only.

    Its zero level is the hull's surface to a fraction of a cell; three cells away and farther it is plus or minus three
    cells' diagonals. Arguments and errors as in ``visual_hull``; ``distance_grid.signed_distance_grid`` computes the rest.
    """
    grid = visual_hull(masks, projections, lower, upper, resolution, tolerance)
    far = 3 * float((upper - lower).norm()) / resolution
    field = torch.where(grid, -far, far).float()
    carved = torch.nn.functional.pad(~grid, [2] * 6, value=True)  # as is everything beyond the box
    band = _grown(grid, 2) & _grown(carved, 2)[2:-2, 2:-2, 2:-2]
    distances = torch.stack([mask_distance(mask) for mask in masks])
    Ps = normalized_projections(projections).to(masks.device)
    values = [
        silhouette_distance(distances, Ps, points, tolerance) for points in cell_centers(band, lower, upper).split(CHUNK)
    ]
    field[band] = torch.cat(values or [field[band]]).clamp(-far, far)
    return field


def hull_mesh(masks: Bool[Tensor, "n h w"],
              projections: Float[Tensor, "m 3 4"],
              lower: Float[Tensor, "3"],
              upper: Float[Tensor, "3"],
              resolution: int,
              tolerance: int = 0) -> tuple[Float[Tensor, "v 3"], Int[Tensor, "f 3"]]:
    """The visual hull as a closed mesh (vertices in world units, faces wound outwards) by marching cubes on ``hull_field``.

    Raises:
        ValueError: as ``visual_hull``, or if no cell inside the box is occupied.
    """
    field = hull_field(masks, projections, lower, upper, resolution, tolerance)
    if not (field < 0).any():
        raise ValueError("the visual hull is empty in this box: cameras and masks don't match, the box is wrong, or "
                         "masks miss parts of the object (try a tolerance of 1 or 2 views)")
    closed = torch.nn.functional.pad(field, [1] * 6, value=float(field.max()))
    vertices, faces, _, _ = marching_cubes(closed.cpu().numpy(), 0.0)
    vertices = torch.from_numpy(vertices.copy()).to(lower)
    return lower + (vertices - 0.5) * (upper - lower) / resolution, torch.from_numpy(faces.copy()).long().to(lower.device)

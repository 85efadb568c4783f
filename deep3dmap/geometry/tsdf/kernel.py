"""The loops of TSDF fusion, compiled by numba: the update of voxels by a depth map, and the blocks that it touches.

Curless and Levoy, "A volumetric method for building complex models from range images", SIGGRAPH 1996, with the rules of
Zeng et al.'s tsdf-fusion (3DMatch, CVPR 2017): the nearest pixel, the distance along the camera's z axis, weights of one.
"""

from typing import no_type_check

import numba
import numpy as np

_compiled = numba.njit(cache=True, nogil=True)

#: Block coordinates are from -BIAS to BIAS - 1, so that three of them fit into one integer.
BIAS = 2**20
#: Slots of a table that keeps most repeated blocks from being listed again.
RECENT = 4096


@_compiled
@no_type_check  # run-time shape checks would wrap what numba compiles
def update(tsdf, weight, color, slots, corners, axes, depth, lens, truncation, max_depth, image, image_lens):
    """Integrate a depth map into blocks of voxels, in place.

    Args:
        tsdf, weight: (n, i, j, k) float32: mean of the distances in units of the truncation, at most 1; and their number.
        color: (n, i, j, k, 4) uint16: mean red, green, blue in 1/256 of a grey level, and their number; or empty.
        slots: (m,) indices of the blocks to update.
        corners: (m, 3) their first voxels' centres in the camera's frame.
        axes: (3, 3) the steps from voxel to voxel along each axis in the camera's frame, one a column.
        depth: (h, w); lens: its ``fx, fy, cx, cy``, first pixel's centre at 0.5.
        truncation, max_depth: metres.
        image: (h, w, 3) uint8 or empty; image_lens: its ``fx, fy, cx, cy``.
    """
    colored = image.size > 0 and color.size > 0
    for m in range(len(slots)):
        n = slots[m]
        for i in range(tsdf.shape[1]):
            for j in range(tsdf.shape[2]):
                for k in range(tsdf.shape[3]):
                    x = corners[m, 0] + i * axes[0, 0] + j * axes[0, 1] + k * axes[0, 2]
                    y = corners[m, 1] + i * axes[1, 0] + j * axes[1, 1] + k * axes[1, 2]
                    z = corners[m, 2] + i * axes[2, 0] + j * axes[2, 1] + k * axes[2, 2]
                    row, column = pixel(x, y, z, lens, depth.shape)
                    if row < 0:
                        continue
                    d = depth[row, column]
                    if not (0 < d <= max_depth and d - z >= -truncation):
                        continue
                    distance = min(1.0, (d - z) / truncation)
                    w = weight[n, i, j, k]
                    tsdf[n, i, j, k] = (w * tsdf[n, i, j, k] + distance) / (w + 1)
                    weight[n, i, j, k] = w + 1
                    if colored and distance < 1:
                        row, column = pixel(x, y, z, image_lens, image.shape)
                        if row >= 0:
                            _mix(color[n, i, j, k], image[row, column])


@_compiled
@no_type_check
def pixel(x, y, z, lens, shape):
    """Row and column of the pixel that shows a point of the camera's frame; (-1, -1) if none does.

    Pixels are rounded as in the references, half to even in coordinates with the first pixel's centre at 0.
    """
    if z <= 0:
        return -1, -1
    u, v = np.rint(lens[0] * x / z + lens[2] - 0.5), np.rint(lens[1] * y / z + lens[3] - 0.5)
    if 0 <= u < shape[1] and 0 <= v < shape[0]:
        return int(v), int(u)
    return -1, -1


@_compiled
@no_type_check
def _mix(mean, value):
    """Add a colour to a mean of colours; whole numbers, so that it is the same on every machine."""
    count = np.int64(mean[3])
    for c in range(3):
        mean[c] = (np.int64(mean[c]) * count + 256 * np.int64(value[c]) + (count + 1) // 2) // (count + 1)
    mean[3] = min(count + 1, 65535)


@_compiled
@no_type_check
def touched(depth, first, last, lens, pose, edge, truncation, max_depth):
    """Keys of the blocks that voxels within the truncation of some rows' depths may be in; some repeatedly.

    The box around each pixel's piece of ray, widened by the pixel's footprint, so none is missed.

    Args:
        depth, lens, truncation, max_depth: as for :func:`update`.
        first, last: range of rows.
        pose: (3, 4) camera to world, in whose frame the first voxel of block (0, 0, 0) has the centre (0, 0, 0).
        edge: of a block, metres; its voxels' centres lie in ``[edge * b, edge * (b + 1))``.
    """
    found, recent = [np.int64(0) for _ in range(0)], np.full(RECENT, -1, np.int64)
    near, far = np.empty(3), np.empty(3)
    for row in range(first, last):
        y = (row + 0.5 - lens[3]) / lens[1]
        for column in range(depth.shape[1]):
            d = depth[row, column]
            if not 0 < d <= max_depth:
                continue
            x = (column + 0.5 - lens[2]) / lens[0]
            start, end = max(d - truncation, 0.0), d + truncation
            around = end / min(lens[0], lens[1])
            for axis in range(3):
                ray = pose[axis, 0] * x + pose[axis, 1] * y + pose[axis, 2]
                one, other = pose[axis, 3] + start * ray, pose[axis, 3] + end * ray
                near[axis] = np.floor((min(one, other) - around) / edge)
                far[axis] = np.floor((max(one, other) + around) / edge)
            for i in range(int(near[0]), int(far[0]) + 1):
                for j in range(int(near[1]), int(far[1]) + 1):
                    for k in range(int(near[2]), int(far[2]) + 1):
                        key = ((i + BIAS) << 42) | ((j + BIAS) << 21) | (k + BIAS)
                        slot = (i * 73 + j * 1181 + k) % RECENT
                        if recent[slot] != key:
                            recent[slot] = key
                            found.append(key)
    return np.array(found, dtype=np.int64)

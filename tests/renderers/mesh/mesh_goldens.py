"""Shared by the tests of mesh renderers: triangles and cameras of the parity fixtures."""

import numpy as np
import torch
from torch import Tensor

from deep3dmap.renderers.mesh.selection import RasterSettings, Triangles
from deep3dmap.structures import Cameras
from deep3dmap.structures.cameras import OrthographicCameras

#: The fixtures' image coordinates have x left and y up; their views as well.
FLIP = torch.tensor([-1.0, -1.0, 1.0])


def settings_of(row) -> RasterSettings:
    """The settings in a row of a raster fixture's ``configs``."""
    blur, k, *switches = row.tolist()
    return RasterSettings(int(k), float(blur), *(bool(s) for s in switches))


def triangles_of(vertices: Tensor, faces: np.ndarray) -> Triangles:
    """The triangles of one image."""
    index = torch.from_numpy(faces.astype(np.int64))
    return Triangles((vertices * FLIP)[index], torch.zeros(len(index), dtype=torch.int64), torch.arange(len(index)))


def camera_of(golden) -> Cameras:
    """The camera of a shader fixture, whichever kind it is."""
    rotation, translation = FLIP[:, None] * torch.tensor(golden["cam_R"][0]).T, FLIP * torch.tensor(golden["cam_T"][0])
    height, width = golden["cam_image_size"].tolist(
    ) if "cam_image_size" in golden.files else golden["hardphong_image"].shape[:2]
    half, cx, cy = min(height, width) / 2, width / 2, height / 2
    if "cam_fov_deg" in golden.files:
        fx = fy = half / np.tan(np.radians(float(golden["cam_fov_deg"])) / 2)
    elif "cam_focal_px" in golden.files:
        (fx, fy), (cx, cy) = golden["cam_focal_px"][0], golden["cam_principal_px"][0]
    elif "cam_focal_ndc" in golden.files:
        (fx, fy), (px, py) = golden["cam_focal_ndc"][0] * half, golden["cam_principal_ndc"][0] * half
        cx, cy = cx - px, cy - py
    else:
        fx, fy = golden["cam_scale_xyz"][0, :2] * half
    kind = OrthographicCameras if "cam_scale_xyz" in golden.files else Cameras
    K = torch.tensor([[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]], dtype=torch.float32)
    return kind(K, torch.cat([rotation, translation[:, None]], 1)[None], (int(height), int(width)))

"""Shared by the tests of mesh renderers: triangles and cameras of the parity fixtures."""

import numpy as np
import torch
from torch import Tensor

from deep3dmap.geometry.camera_conversions import fov_focal, from_ndc, from_row_vectors, pixels_to_ndc
from deep3dmap.renderers.mesh.selection import RasterSettings, Triangles
from deep3dmap.structures import Cameras, OrthographicCameras

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
    z = {name: torch.tensor(golden[name]) for name in golden.files if name.startswith("cam_")}
    height, width = z["cam_image_size"].tolist() if "cam_image_size" in z else golden["hardphong_image"].shape[:2]
    kind = OrthographicCameras if "cam_scale_xyz" in z else Cameras
    K = from_ndc(*_lens(z, (height, width)), (height, width))
    return kind(K.float(), from_row_vectors(z["cam_R"], z["cam_T"]), (height, width))


def _lens(z: dict[str, Tensor], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Focal lengths and principal point in normalised device coordinates."""
    if "cam_fov_deg" in z:
        return fov_focal(z["cam_fov_deg"].double().reshape(1)), torch.zeros(1, 2).double()
    if "cam_focal_px" in z:
        return z["cam_focal_px"] * 2 / min(size), pixels_to_ndc(z["cam_principal_px"], size)
    if "cam_focal_ndc" in z:
        return z["cam_focal_ndc"], z["cam_principal_ndc"]
    return z["cam_scale_xyz"][:, :2], torch.zeros(1, 2)

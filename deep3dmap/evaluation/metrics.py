"""The registered metrics of multi-view reconstruction."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import trimesh

from deep3dmap.annotations import Whole
from deep3dmap.evaluation.base import Metric
from deep3dmap.evaluation.cameras import NAMES as CAMERA_NAMES
from deep3dmap.evaluation.cameras import camera_metrics
from deep3dmap.evaluation.images import SSIM_WINDOW, mask_iou, psnr, shifted_mask_iou, ssim
from deep3dmap.evaluation.surfaces import HIGHER_IS_BETTER, NAMES, surface_metrics
from deep3dmap.geometry.alignment import align_cameras
from deep3dmap.registry import METRICS
from deep3dmap.structures import Cameras, Reconstruction

GROUPS = {"train": "training views", "test": "held-out views"}


@METRICS.register_module()
class ViewMetrics(Metric):
    """PSNR and SSIM of colours inside the mask, and IoU of masks; means over training and over held-out views.

    Where the rendering has no surface but the photograph shows the object, the rendering has the framework's background colour
    (white by default, as in the paper's evaluation); views without masks are compared over the whole image.

    Args:
        shift: also report the largest IoU over translations by up to ``shift`` pixels: the effect of inaccurate cameras.
    """

    higher_is_better = ("psnr", "ssim", "mask_iou", "mask_iou_min", "mask_iou_shifted")
    names = (*higher_is_better, "views")

    def __init__(self, shift: Whole = 0):
        self.shift = shift
        self.values = defaultdict(lambda: defaultdict(list))
        self.small: list[str] = []

    def add_item(self, item: Mapping, result: Reconstruction) -> dict[str, float]:
        """PSNR (dB), SSIM and mask IoU of one view."""
        if "split" not in item or "rgb" not in result.images:
            return {}
        height, width = item["size"]
        mask = item["mask"]
        seen = torch.ones(height, width, dtype=torch.bool) if mask is None else mask.reshape(height, width)
        hit, rendered = result.images["mask"], result.images["rgb"]
        photo = item["rgb"].reshape(height, width, 3)
        figures = dict(psnr=psnr(rendered, photo, seen))
        if min(height, width) >= SSIM_WINDOW:
            figures["ssim"] = ssim(rendered, photo, seen)
        else:
            self.small.append(item["name"])
        if mask is not None:
            figures["mask_iou"] = mask_iou(hit, seen)
            if self.shift:
                figures["mask_iou_shifted"] = shifted_mask_iou(hit, seen, self.shift)
        for name, value in figures.items():
            self.values[item["split"]][name].append(float(value))
        return {name: float(value) for name, value in figures.items()}

    def compute(self) -> dict[str, dict[str, float]]:
        """Means over the views of each split, and the worst IoU."""
        result = {}
        for split, label in GROUPS.items():
            values = self.values.get(split)
            if values:
                result[label] = {name: float(np.mean(v)) for name, v in values.items()}
                result[label] |= {f"{name}_min": float(np.min(v)) for name, v in values.items() if name == "mask_iou"}
                result[label]["views"] = len(values["psnr"])
        return result

    def notes(self) -> list[str]:
        """Views that are too small for SSIM."""
        return [f"no SSIM of {len(self.small)} views: a side has fewer than {SSIM_WINDOW} pixels"] * bool(self.small)


@METRICS.register_module()
class SurfaceMetrics(Metric):
    """Distances between the mesh and the true surface, if the capture has it; in the data's units.

    If cameras were trained and the true ones are known, the mesh is first transformed by the similarity that maps the former
    to the latter, as in the paper's evaluation: photographs alone don't determine the frame.

    Args:
        thresholds: of the F-score, as fractions of the true surface's diagonal.
        samples: points on each surface.
    """

    higher_is_better, names = HIGHER_IS_BETTER, NAMES

    def __init__(self, thresholds: Sequence[float] = (0.005, 0.01), samples: int = 50_000):
        self.thresholds, self.samples = tuple(thresholds), samples
        self.result: dict[str, float] = {}

    def add_item(self, item: Mapping, result: Reconstruction) -> dict[str, float]:
        """Measure a scene's mesh."""
        truth = item.get("true_mesh")
        if result.mesh is not None and truth is not None:
            mesh = in_true_frame(result.mesh, result.cameras, item.get("true_cameras"))
            self.result = surface_metrics(mesh, truth, relative_thresholds=self.thresholds, samples=self.samples)
        return {}

    def compute(self) -> dict[str, dict[str, float]]:
        """The metrics of :func:`deep3dmap.evaluation.surfaces.surface_metrics`."""
        return {"surface": self.result} if self.result else {}


@METRICS.register_module()
class CameraMetrics(Metric):
    """Error of trained (or given noisy) cameras after the best similarity alignment, where the true ones are known."""

    names = tuple(f"{initial}{name}" for initial in ("", "given_") for name in CAMERA_NAMES)

    def __init__(self):
        self.result: dict[str, float] = {}

    def add_item(self, item: Mapping, result: Reconstruction) -> dict[str, float]:
        """Compare a scene's estimated cameras, or else the given ones, with the true ones, in the world's frame."""
        truth, trained = item.get("true_cameras"), result.cameras
        if truth is None:
            return {}
        given = item["cameras"]
        if trained is None and torch.equal(given.world_to_cam, truth.world_to_cam):
            return {}  # exact by construction: nothing to measure
        if trained is not None:
            self.result |= {f"given_{name}": value for name, value in _camera_errors(given, truth).items()}
        self.result |= _camera_errors(given if trained is None else trained, truth)
        return {}

    def compute(self) -> dict[str, dict[str, float]]:
        """The metrics of :func:`deep3dmap.evaluation.cameras.camera_metrics`."""
        return {"cameras": self.result} if self.result else {}


def in_true_frame(mesh: trimesh.Trimesh, cameras: Cameras | None, true_cameras: Cameras | None) -> trimesh.Trimesh:
    """A mesh transformed by the similarity from estimated to true cameras, if both are given."""
    if cameras is None or true_cameras is None:
        return mesh
    return mesh.copy().apply_transform(_similarity(cameras, true_cameras))


def _poses(cameras: Cameras) -> tuple[torch.Tensor, torch.Tensor]:
    """Camera-to-world rotations and centres."""
    return cameras.cam_to_world[:, :, :3].double(), cameras.centers.double()


def _camera_errors(cameras: Cameras, truth: Cameras) -> dict[str, float]:
    return camera_metrics(*_poses(cameras), *_poses(truth))


def _similarity(cameras: Cameras, truth: Cameras) -> np.ndarray:
    """The (4, 4) similarity that maps cameras to the true ones."""
    scale, rotation, translation = align_cameras(*_poses(cameras), *_poses(truth))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = (scale * rotation).numpy(), translation.numpy()
    return matrix

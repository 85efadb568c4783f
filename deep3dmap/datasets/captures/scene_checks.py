"""Captures that can't be reconstructed: unusable masks, coincident cameras, silhouettes without a common point, an object
outside the unit sphere. And warnings about scenes that can still be trained on. `deep3dmap check` and every run share these
checks.

Silhouettes are checked at low resolution: the checks concern whole objects, not pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from deep3dmap.datasets.captures.camera_checks import CameraSet, camera_warnings, common_point, listed, sphere_warnings
from deep3dmap.datasets.captures.masking import MASK_PROBLEMS, mask_centroid, mask_problem
from deep3dmap.datasets.captures.silhouette_checks import contradiction_warnings
from deep3dmap.geometry.normalization import bounded_hull
from deep3dmap.geometry.silhouettes import silhouette_bounds
from deep3dmap.geometry.visual_hull import cell_centers, visual_hull
from deep3dmap.structures import Cameras, Capture

SIDE = 256  # maximum longer side of the downsampled masks, pixels
GRID = 48  # cells along the cube around the unit sphere
SHARED = 0.5  # fraction of the views whose silhouettes must contain a point
MAX_OUTSIDE, OUTSIDE_WARNING = 0.5, 0.05  # share of silhouette pixels outside the unit sphere: error, warning
MAX_HINTS = 4
FIX_NORMALIZATION = "fix the data's normalisation (scale_mat), or compute it from the masks with scene.normalization='hull'"


@dataclass
class Silhouettes:
    """Views of one object, reduced to what these checks need.

    Attributes:
        names: of the views.
        masks: (n, h, w) downsampled: True where any pixel of the object is; None if the capture has no masks.
        mask_problems: of each mask, see :func:`~deep3dmap.datasets.captures.masking.mask_problem`; empty without masks.
        cameras: of the downsampled masks (without masks, of the photographs), in the world.
        full_size: height and width of the photographs; None if that of ``cameras``.
        mask_names: names of the masks in messages; those of the views by default.
    """

    names: Sequence[str]
    masks: Bool[Tensor, "n h w"] | None
    mask_problems: Sequence[str]
    cameras: Cameras
    full_size: tuple[int, int] | None = None
    mask_names: Sequence[str] | None = None

    def __post_init__(self):
        self.full_size = self.full_size or self.cameras.size
        self.mask_names = self.mask_names or self.names

    @staticmethod
    def of(capture: Capture) -> "Silhouettes":
        """Those of a capture."""
        mask_problems = [mask_problem(mask.numpy()) for mask in capture.masks] if capture.masks is not None else []
        masks = None if capture.masks is None else [small_mask(mask) for mask in capture.masks]
        return Silhouettes.small(capture.names, masks, mask_problems, capture.cameras.to("cpu", torch.float64))

    @staticmethod
    def small(names: Sequence[str],
              masks: Sequence[Bool[Tensor, "h w"]] | None,
              mask_problems: Sequence[str],
              cameras: Cameras,
              mask_names: Sequence[str] | None = None) -> "Silhouettes":
        """From downsampled masks and the photographs' cameras."""
        small = cameras if masks is None else cameras.resized((masks[0].shape[0], masks[0].shape[1]))
        return Silhouettes(names, None if masks is None else torch.stack(list(masks)), mask_problems, small, cameras.size,
                           mask_names)

    def pick(self, views: Sequence[int]) -> "Silhouettes":
        """Some of the views."""
        views = list(views)
        if self.masks is None:
            return Silhouettes([self.names[v] for v in views], None, [], self.cameras[views], self.full_size)
        return Silhouettes([self.names[v] for v in views], self.masks[views], [self.mask_problems[v] for v in views],
                           self.cameras[views], self.full_size, [self.mask_names[v] for v in views])  # yapf: disable

    def camera_set(self) -> CameraSet:
        """The cameras with the centroids of their masks, as the camera checks need them."""
        middles = [None] * len(self.names) if self.masks is None else [mask_centroid(mask.numpy()) for mask in self.masks]
        cameras = self.cameras
        return CameraSet(self.names, cameras.K.numpy(), cameras.world_to_cam.numpy(), cameras.size, middles)


def small_mask(mask: Bool[Tensor, "h w"]) -> Bool[Tensor, "h2 w2"]:
    """A mask at most :data:`SIDE` pixels long; downsampled so that no object pixel is lost."""
    step = math.ceil(max(mask.shape) / SIDE)
    return F.max_pool2d(mask[None].float(), step, ceil_mode=True)[0] > 0


def unusable_reason(views: Silhouettes, scene_from_world: Float[Tensor, "4 4"] | None = None) -> str:
    """Why these views can't be reconstructed, and how to fix it; empty if nothing speaks against it.

    Args:
        views: with their silhouettes.
        scene_from_world: the similarity into the unit sphere, if known; without it the sphere is not checked.
    """
    if len(views.names) == 1:
        return "only one view: a surface is reconstructed from several, taken from different sides"
    if views.masks is None:
        return _coincident_cameras(views)
    return (unusable_masks(views) or _coincident_cameras(views)
            or ("" if scene_from_world is None else _outside_sphere(views, scene_from_world)))


def hull_problem(views: Silhouettes) -> str:
    """Why the silhouettes define no unit sphere (scene.normalization='hull', the default without a given normalisation)."""
    try:
        bounded_hull(views.masks, views.cameras.projections)
    except ValueError as error:
        return str(error)
    return ""


def unusable_masks(views: Silhouettes) -> str:
    """Masks that carry no information or would carve everything away; empty if there are none."""
    if not views.mask_problems:
        return ""
    for kind, words in MASK_PROBLEMS.items():
        if all(problem == kind for problem in views.mask_problems):
            return f"every mask {words}"
    if all(views.mask_problems):
        return (f"all {len(views.mask_problems)} masks are empty, full or inverted; the object must be white, the background "
                "black")
    for kind in ("empty", "inverted"):
        if names := [name for name, problem in zip(views.mask_names, views.mask_problems) if problem == kind]:
            return f"{listed(names)}: the mask {MASK_PROBLEMS[kind]}, or leave the view out"
    return ""


def _coincident_cameras(views: Silhouettes) -> str:
    centers = views.cameras.centers
    spread = (centers.amax(0) - centers.amin(0)).max()
    if len(centers) > 1 and not spread > 1e-9 * (1 + centers.abs().max()):
        return ("all cameras are at the same position, so shape can't be recovered; provide the photographs' true cameras "
                "(the poses may all be copies of one)")
    return ""


def _outside_sphere(views: Silhouettes, scene_from_world: Float[Tensor, "4 4"]) -> str:
    """Why silhouettes have no common point in the unit sphere, or lie mostly outside it; empty otherwise."""
    if len(views.names) < 2:
        return ""
    shared, lost = _shared_points(views, scene_from_world), part_past_sphere(views, scene_from_world)
    if shared and lost <= MAX_OUTSIDE:
        return ""
    past = f"{lost:.0%} of the silhouettes' pixels are outside the unit sphere: the object is not in it; {FIX_NORMALIZATION}"
    try:
        lower, upper = silhouette_bounds(views.masks, views.cameras.projections)
    except ValueError:
        none = "no point in space lies in most of the silhouettes: masks and cameras don't match"
        return past if shared else none + hints(views)
    world_from_scene = torch.linalg.inv(scene_from_world.double())
    center, radius = world_from_scene[:3, 3], torch.linalg.det(world_from_scene[:3, :3])**(1 / 3)
    if (center.clamp(lower, upper) - center).norm() <= radius:
        return past if lost > MAX_OUTSIDE else ""
    middle, half = (lower + upper) / 2, (upper - lower).norm() / 2
    return (f"the object is outside the unit sphere: its silhouettes place it around {_point(middle)}, within {half:.4g}, "
            f"but the sphere is centred at {_point(center)} with radius {radius:.4g} (the data's units); {FIX_NORMALIZATION}")


def _point(values: Float[Tensor, "3"]) -> str:
    return "(" + ", ".join(f"{v:.4g}" for v in values.tolist()) + ")"


def _shared_points(views: Silhouettes, scene_from_world: Float[Tensor, "4 4"]) -> bool:
    """Whether the silhouettes, slightly dilated, share a point of the unit sphere."""
    seen = [k for k, problem in enumerate(views.mask_problems) if problem != "empty"]
    views = views.pick(seen)
    needed = max(2, math.ceil(SHARED * len(seen)))
    if len(seen) < needed:
        return False
    masks = F.max_pool2d(views.masks.float(), 5, 1, 2) > 0
    box = torch.full((3, ), -1.0, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    projections = views.cameras.transformed(scene_from_world).projections
    grid = visual_hull(masks, projections, *box, GRID, len(seen) - needed)
    return bool((cell_centers(grid, *box).norm(dim=-1) < 1).any())


def part_past_sphere(views: Silhouettes, scene_from_world: Float[Tensor, "4 4"]) -> float:
    """The fraction of silhouette pixels whose rays miss the unit sphere."""
    view, row, column = views.masks.nonzero().T
    if not len(view):
        return 0.0
    rays = views.cameras.transformed(scene_from_world).rays(view, torch.stack([column, row], -1).double() + 0.5)
    nearest = -(rays.origins * rays.directions).sum(-1)
    distance = (rays.origins + nearest.clamp(min=0)[:, None] * rays.directions).norm(dim=-1)
    return float((distance > 1).double().mean())


def capture_warnings(views: Silhouettes, scene_from_world: Float[Tensor, "4 4"] | None = None) -> list[str]:
    """What may degrade a reconstruction from these views, except what :func:`unusable_masks` reports."""
    found = [
        f"{name}: the mask {MASK_PROBLEMS['full']}" for name, problem in zip(views.mask_names, views.mask_problems)
        if problem == "full"
    ]
    cameras = views.camera_set()
    found += camera_warnings(cameras, common_point(cameras.centers(), cameras.directions()))
    if scene_from_world is not None:
        found += sphere_warnings(cameras, scene_from_world.double().numpy())
    if views.masks is None:
        return found
    if scene_from_world is not None:
        lost = part_past_sphere(views, scene_from_world)
        if OUTSIDE_WARNING < lost <= MAX_OUTSIDE:
            found.append(f"{lost:.0%} of the silhouettes' pixels are outside the unit sphere, where nothing is reconstructed; "
                         f"{FIX_NORMALIZATION}")
    sound = views.pick([k for k, problem in enumerate(views.mask_problems) if not problem])
    return found + contradiction_warnings(sound.names, sound.masks, sound.cameras, sound.full_size)


def hints(views: Silhouettes) -> str:
    """Warnings about views whose silhouettes are inconsistent, to append to an error message."""
    found = capture_warnings(views)
    more = f"\n  (and {len(found) - MAX_HINTS} more: `deep3dmap check`)" if len(found) > MAX_HINTS else ""
    return "".join(f"\n  {line}" for line in found[:MAX_HINTS]) + more if found else "; run `deep3dmap check` for details"

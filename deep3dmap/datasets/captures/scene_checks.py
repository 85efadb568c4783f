"""What no method can make an object of: masks that say nothing, cameras in one place, silhouettes that share no point of
space, an object outside the unit sphere. And what is only odd about a scene that can be trained on. `deep3dmap check` and
every run ask the same functions.

Silhouettes are looked at in small copies: all of this is about whole objects and not about pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from deep3dmap.datasets.captures.camera_checks import CameraSet, camera_warnings, common_point, listed, sphere_warnings
from deep3dmap.datasets.captures.masking import MASK_FAULTS, mask_centroid, mask_fault
from deep3dmap.datasets.captures.silhouette_checks import contradiction_warnings
from deep3dmap.geometry.normalization import bounded_hull
from deep3dmap.geometry.silhouettes import silhouette_bounds
from deep3dmap.geometry.visual_hull import cell_centers, visual_hull
from deep3dmap.structures import Cameras, Capture

SIDE = 256  # the small copies' longer side, pixels, at most
GRID = 48  # cells along the cube around the unit sphere
SHARED = 0.5  # part of the views whose silhouettes must hold a point
LOST, CUT = 0.5, 0.05  # part of the silhouettes that looks past the unit sphere: hopeless, odd
CLUES = 4


@dataclass
class Silhouettes:
    """Views of one object, reduced to what is looked at here.

    Attributes:
        names: of the views.
        masks: (n, h, w) small copies: True where any pixel of the object is; None where the capture has no masks.
        faults: what is wrong with each mask (see :func:`~deep3dmap.datasets.captures.masking.mask_fault`); none without masks.
        cameras: of the small copies (of the photographs without masks), in the world.
        full_size: height and width of the photographs; None if that of ``cameras``.
        mask_names: how messages call the masks; as the views by default.
    """

    names: Sequence[str]
    masks: Bool[Tensor, "n h w"] | None
    faults: Sequence[str]
    cameras: Cameras
    full_size: tuple[int, int] | None = None
    mask_names: Sequence[str] | None = None

    def __post_init__(self):
        self.full_size = self.full_size or self.cameras.size
        self.mask_names = self.mask_names or self.names

    @staticmethod
    def of(capture: Capture) -> "Silhouettes":
        """Those of a capture."""
        faults = [mask_fault(mask.numpy()) for mask in capture.masks] if capture.masks is not None else []
        masks = None if capture.masks is None else [small_mask(mask) for mask in capture.masks]
        return Silhouettes.small(capture.names, masks, faults, capture.cameras.to("cpu", torch.float64))

    @staticmethod
    def small(names: Sequence[str],
              masks: Sequence[Bool[Tensor, "h w"]] | None,
              faults: Sequence[str],
              cameras: Cameras,
              mask_names: Sequence[str] | None = None) -> "Silhouettes":
        """From small copies of the masks and the photographs' cameras."""
        small = cameras if masks is None else cameras.resized((masks[0].shape[0], masks[0].shape[1]))
        return Silhouettes(names, None if masks is None else torch.stack(list(masks)), faults, small, cameras.size, mask_names)

    def pick(self, views: Sequence[int]) -> "Silhouettes":
        """Some of the views."""
        views = list(views)
        if self.masks is None:
            return Silhouettes([self.names[v] for v in views], None, [], self.cameras[views], self.full_size)
        return Silhouettes([self.names[v] for v in views], self.masks[views], [self.faults[v] for v in views],
                           self.cameras[views], self.full_size, [self.mask_names[v] for v in views])  # yapf: disable

    def camera_set(self) -> CameraSet:
        """The cameras with the middles of their masks, as their checks want them."""
        cameras = CameraSet()
        middles = [None] * len(self.names) if self.masks is None else [mask_centroid(mask.numpy()) for mask in self.masks]
        for name, middle, K, pose in zip(self.names, middles, self.cameras.K.numpy(), self.cameras.world_to_cam.numpy()):
            cameras.add(name, K, pose, self.cameras.size, middle)
        return cameras


def small_mask(mask: Bool[Tensor, "h w"]) -> Bool[Tensor, "h2 w2"]:
    """A mask at most :data:`SIDE` pixels long; nothing of the object gets lost."""
    step = math.ceil(max(mask.shape) / SIDE)
    return F.max_pool2d(mask[None].float(), step, ceil_mode=True)[0] > 0


def hopeless(views: Silhouettes, scene_from_world: Float[Tensor, "4 4"] | None = None) -> str:
    """Why there is no sense in training on these views, and what to do; empty if there may be.

    Args:
        views: with their silhouettes.
        scene_from_world: the similarity into the unit sphere, if it is known; without it the sphere is not looked at.
    """
    if len(views.names) == 1:
        return "only one view: a surface is reconstructed from several, taken from different sides"
    if views.masks is None:
        return _one_place(views)
    return (misleading_masks(views) or _one_place(views)
            or ("" if scene_from_world is None else _outside(views, scene_from_world)))


def hull_fault(views: Silhouettes) -> str:
    """Why the silhouettes give no unit sphere (scene.normalization='hull', which a run takes where none is given)."""
    try:
        bounded_hull(views.masks, views.cameras.projections)
    except ValueError as error:
        return str(error)
    return ""


def misleading_masks(views: Silhouettes) -> str:
    """Masks that say nothing, or would carve everything away; empty if there are none."""
    if not views.faults:
        return ""
    for kind, words in MASK_FAULTS.items():
        if all(fault == kind for fault in views.faults):
            return f"every mask {words}"
    if all(views.faults):
        return f"all {len(views.faults)} masks are empty, full or inverted; the object must be white, what is around it black"
    for kind in ("empty", "inverted"):
        if names := [name for name, fault in zip(views.mask_names, views.faults) if fault == kind]:
            return f"{listed(names)}: the mask {MASK_FAULTS[kind]}, or leave the view out"
    return ""


def _one_place(views: Silhouettes) -> str:
    centers = views.cameras.centers
    spread = (centers.amax(0) - centers.amin(0)).max()
    if len(centers) > 1 and not spread > 1e-9 * (1 + centers.abs().max()):
        return ("all cameras stand in one place, from which no shape can be told; give the photographs' true cameras (all "
                "poses may be copies of one)")
    return ""


def _outside(views: Silhouettes, scene_from_world: Float[Tensor, "4 4"]) -> str:
    """Silhouettes that share no point of the unit sphere, or look past it."""
    if len(views.names) < 2:
        return ""
    shared, lost = _shared_points(views, scene_from_world), part_past_sphere(views, scene_from_world)
    if shared and lost <= LOST:
        return ""
    past = f"{lost:.0%} of the silhouettes' pixels look past the unit sphere: the object is not in it; {WHAT_TO_DO}"
    try:
        lower, upper = silhouette_bounds(views.masks, views.cameras.projections)
    except ValueError:
        none = "no point of space lies in most of the silhouettes: masks and cameras don't belong together"
        return past if shared else none + clues(views)
    return _elsewhere(lower, upper, scene_from_world) or (past if lost > LOST else "")


WHAT_TO_DO = ("mend the data's normalisation (scale_mat), or let it be computed from the masks by scene.normalization='hull'")


def _elsewhere(lower: Float[Tensor, "3"], upper: Float[Tensor, "3"], scene_from_world: Float[Tensor, "4 4"]) -> str:
    """The object's box and the sphere, in the data's units, unless they meet."""
    world_from_scene = torch.linalg.inv(scene_from_world.double())
    center, radius = world_from_scene[:3, 3], torch.linalg.det(world_from_scene[:3, :3])**(1 / 3)
    if (center.clamp(lower, upper) - center).norm() <= radius:
        return ""
    middle, half = (lower + upper) / 2, (upper - lower).norm() / 2
    return (f"the object is outside the unit sphere: its silhouettes put it around {_point(middle)}, within {half:.4g}, but "
            f"the sphere is around {_point(center)} with the radius {radius:.4g} (the data's units); {WHAT_TO_DO}")


def _point(values: Float[Tensor, "3"]) -> str:
    return "(" + ", ".join(f"{v:.4g}" for v in values.tolist()) + ")"


def _shared_points(views: Silhouettes, scene_from_world: Float[Tensor, "4 4"]) -> bool:
    """Whether the silhouettes, made a little larger, share a point of the unit sphere."""
    seen = [k for k, fault in enumerate(views.faults) if fault != "empty"]
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
    """The part of the silhouettes' pixels whose rays miss the unit sphere."""
    view, row, column = views.masks.nonzero().T
    if not len(view):
        return 0.0
    rays = views.cameras.transformed(scene_from_world).rays(view, torch.stack([column, row], -1).double() + 0.5)
    nearest = -(rays.origins * rays.directions).sum(-1)
    beside = (rays.origins + nearest.clamp(min=0)[:, None] * rays.directions).norm(dim=-1)
    return float((beside > 1).double().mean())


def odd(views: Silhouettes, scene_from_world: Float[Tensor, "4 4"] | None = None) -> list[str]:
    """What may spoil a reconstruction from these views; what :func:`misleading_masks` reports is left out."""
    found = [
        f"{name}: the mask {MASK_FAULTS['full']}" for name, fault in zip(views.mask_names, views.faults) if fault == "full"
    ]
    cameras = views.camera_set()
    found += camera_warnings(cameras, common_point(cameras.centers(), cameras.directions()))
    if scene_from_world is not None:
        found += sphere_warnings(cameras, scene_from_world.double().numpy())
    if views.masks is None:
        return found
    if scene_from_world is not None:
        found += cut_warnings(views, scene_from_world)
    sound = views.pick([k for k, fault in enumerate(views.faults) if not fault])
    return found + contradiction_warnings(sound.names, sound.masks, sound.cameras, sound.full_size)


def cut_warnings(views: Silhouettes, scene_from_world: Float[Tensor, "4 4"]) -> list[str]:
    """Silhouettes that look past the unit sphere in part: what they show there is cut off."""
    lost = part_past_sphere(views, scene_from_world)
    if not CUT < lost <= LOST:
        return []
    return [f"{lost:.0%} of the silhouettes' pixels look past the unit sphere, where nothing is reconstructed; {WHAT_TO_DO}"]


def clues(views: Silhouettes) -> str:
    """What is odd about views whose silhouettes don't fit together, as the end of a message."""
    found = odd(views)
    more = f"\n  (and {len(found) - CLUES} more: `deep3dmap check`)" if len(found) > CLUES else ""
    return "".join(f"\n  {line}" for line in found[:CLUES]) + more if found else "; `deep3dmap check` looks closer"

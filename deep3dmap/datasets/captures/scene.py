"""One scene ready for training: a capture, normalised into the unit sphere, split into training and held-out views."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F

from deep3dmap.annotations import Count
from deep3dmap.datasets.captures.formats import load_capture, scan_capture
from deep3dmap.datasets.captures.scene_checks import Silhouettes, hints, unusable_masks, unusable_reason
from deep3dmap.datasets.readers.base import frame_problems, without_image_suffix
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.geometry import normalization
from deep3dmap.registry import DATASETS, nearest
from deep3dmap.structures import Cameras, Capture

FARTHEST = 1e6  # unit spheres; beyond it the object is smaller than a pixel
EVERY, ENOUGH = 8, 16  # every 8th view is held out by default, from 16 views on
SHOWN = 5
NORMALIZATIONS = ("auto", "given", "hull", "masks", "cameras")


@dataclass(frozen=True)
class Scene:
    """A normalised capture and which of its views are for training.

    Attributes:
        capture: all views; ``capture.scene_from_world`` is set.
        train_views, test_views: indices of views.
        rule: description of the held-out rule.
    """

    capture: Capture
    train_views: tuple[int, ...]
    test_views: tuple[int, ...]
    rule: str = ""

    @property
    def train(self) -> Capture:
        """The views to train on."""
        return self.capture.subset(self.train_views)

    @property
    def test(self) -> Capture:
        """The held-out views."""
        return self.capture.subset(self.test_views)

    @property
    def split(self) -> str:
        """How many views are for training and held out, which, and why."""
        names = ", ".join(self.test.names[:SHOWN]) + ", ..." * (len(self.test_views) > SHOWN)
        held_out = f"{len(self.test_views)} held out{': ' * bool(names)}{names}"
        return f"{len(self.train_views)} views to train on, {held_out} ({self.rule})"


@DATASETS.register_module()
def FolderCapture(path: str, true_cameras: str | None = None, **options) -> Capture:
    """The capture in a folder: a path, or a name under the data root; ``options`` go to the format's reader.

    Args:
        path: of the folder.
        true_cameras: a second camera file in it, in IDR's format, with the ground truth, for evaluation.
        options: ``cameras`` and others; see :func:`deep3dmap.datasets.captures.formats.load_capture`.

    Raises:
        DataError: if there is no usable capture, or another number of true cameras.
    """
    capture = load_capture(path, **options)
    if true_cameras is None:
        return capture
    scan = scan_capture(path, "idr", cameras=true_cameras)[1]
    frames = {f.name: f for f in scan.frames if not frame_problems(f)}
    if missing := [name for name in capture.names if name not in frames]:
        raise DataError(f"{path}: {true_cameras} holds no proper camera for the view '{missing[0]}'")
    K, world_to_cam = (torch.from_numpy(np.stack([getattr(frames[name], key) for name in capture.names])).double()
                       for key in ("K", "world_to_cam"))  # yapf: disable
    return replace(capture, true_cameras=Cameras(K, world_to_cam, capture.cameras.size))


def normalize(capture: Capture, how: str | Sequence = "auto", minimal_views: int | None = None) -> Capture:
    """Set ``scene_from_world`` so that the object lies inside the unit sphere.

    Args:
        capture: in the world's frame; masks are used where it has them.
        how: ``given`` (what the data say), ``hull`` (bounding sphere of the visual hull), ``masks`` (as in IDR),
            ``cameras`` (no masks needed), a box ``[[x, y, z], [x, y, z]]`` in world units, or ``auto``: the first of given,
            hull and cameras that is possible.
        minimal_views: number of masks that must hold a point, for ``masks`` alone; by default the reference's, see
            :func:`deep3dmap.geometry.normalization.refine_by_carving`.

    Raises:
        ConfigError: for an unknown method, or ``minimal_views`` with a method other than ``masks``.
        DataError: if the data don't allow it.
    """
    if minimal_views is not None and how != "masks":
        raise ConfigError(f"scene.minimal_views={minimal_views} is for scene.normalization='masks'; here it is {how!r}")
    if not isinstance(how, str):
        try:
            box = torch.tensor(how, dtype=torch.float64).reshape(2, 3)
            return replace(capture, scene_from_world=normalization.normalization_from_box(*box))
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(f"normalization={how}: a box is [[x, y, z], [x, y, z]], its lower and its upper corner "
                              f"({error})") from None
    if how not in NORMALIZATIONS:
        raise ConfigError(f"normalization='{how}': {nearest(how, NORMALIZATIONS)}")
    given = not torch.equal(capture.scene_from_world, torch.eye(4).to(capture.scene_from_world))
    if how == "auto":
        how = "given" if given else "hull" if capture.masks is not None else "cameras"
    if how == "given":
        return capture
    if how in ("hull", "masks") and capture.masks is None:
        raise DataError(f"{capture.source}: normalization='{how}' needs masks; add them or use normalization='cameras'")
    cameras, masks = capture.cameras, capture.masks
    try:
        if how == "hull":
            frame = normalization.normalization_from_hull(masks, cameras.projections)
        elif how == "masks":
            frame = normalization.normalization_from_masks(masks, cameras.projections, minimal_views)
        else:
            frame = normalization.normalization_from_cameras(cameras.world_to_cam)
        return replace(capture, scene_from_world=frame)
    except ValueError as error:
        raise DataError(f"{capture.source}: {error}") from None


def _held_out(capture: Capture, test_views: Sequence[str] | str | int | None) -> tuple[tuple[int, ...], str]:
    """Indices of the held-out views, and why these: the given ones (by name, with or without folder and ending), every n-th,
    or by default those named ``test*``, else every 8th of 16 views or more."""
    if isinstance(test_views, int):
        if test_views < 0 or test_views == 1:
            raise ConfigError(f"test_views={test_views}: hold out every n-th view with n of at least 2, or 0 for none")
        return _every(test_views, len(capture)), f"scene.test_views={test_views}"
    if test_views is None:
        named = tuple(k for k, name in enumerate(capture.names) if name.startswith("test") or _stem(name).startswith("test"))
        if 0 < len(named) < len(capture):  # if all are named so, the name carries no information
            return named, "the views named test*"
        why = f"since {'all are' if named else 'none is'} named test*"
        if len(capture) < ENOUGH:
            return (), f"{why}, and there are fewer than {ENOUGH}"
        return _every(EVERY, len(capture)), f"every {EVERY}th, {why}"
    stems, names = [_stem(name) for name in capture.names], {name: k for k, name in enumerate(capture.names)}
    known = {stem: k for k, stem in enumerate(stems) if stems.count(stem) == 1} | names
    wanted = [name if name in names else _stem(name) for name in ([test_views] if isinstance(test_views, str) else test_views)]
    for name in wanted:
        if name not in known:
            raise DataError(f"{capture.source}: no view '{name}' to hold out; {nearest(name, known)}")
    return tuple(dict.fromkeys(known[name] for name in wanted)), "scene.test_views"


def _every(step: int, count: int) -> tuple[int, ...]:
    return tuple(range(step // 2, count, step)) if step else ()


def _stem(name: str) -> str:
    """A view's name without folder and image ending."""
    return without_image_suffix(name.rsplit("/", 1)[-1])


def resize(capture: Capture, scale: float) -> Capture:
    """The capture with images resampled by ``scale`` (area-averaged), masks by majority.

    Raises:
        ConfigError: unless ``0 < scale <= 1``.
    """
    if not isinstance(scale, (int, float)) or not 0 < scale <= 1:
        raise ConfigError(f"scene.scale={scale!r}: must be a number above 0 and at most 1")
    if scale == 1:
        return capture
    size = tuple(max(round(s * scale), 1) for s in capture.cameras.size)
    if min(size) < 2:
        raise ConfigError(f"scene.scale={scale!r}: leaves no pixels of images of {capture.cameras.size[1]}x"
                          f"{capture.cameras.size[0]} pixels")

    def shrink(values):
        return F.interpolate(values.permute(0, 3, 1, 2).float(), size, mode="area").permute(0, 2, 3, 1)

    images = shrink(capture.images)
    images = images.round().to(torch.uint8) if capture.images.dtype == torch.uint8 else images
    masks = None if capture.masks is None else shrink(capture.masks[..., None])[..., 0] > 0.5
    true_cameras = None if capture.true_cameras is None else capture.true_cameras.resized(size)
    return replace(capture,
                   images=images,
                   masks=masks,
                   cameras=capture.cameras.resized(size),
                   depth=None,
                   normals=None,
                   true_cameras=true_cameras)


def load_scene(capture: Mapping | str,
               normalization: str | Sequence = "auto",
               test_views: Sequence[str] | str | int | None = None,
               scale: float = 1.0,
               reader: Mapping | None = None,
               minimal_views: Count | None = None) -> Scene:
    """Load, normalise and split a capture; cached by its arguments.

    Args:
        capture: config of a capture (``dict(type='FolderCapture', path='temple_sparse_ring')``), or just a folder or name.
        normalization: see :func:`normalize`; computed from the training views alone.
        test_views: names of the held-out views, or n to hold out every n-th, 0 for none; by default those named
            ``test*``, and where there are none every 8th of 16 views or more.
        scale: of the images.
        reader: further arguments of :func:`FolderCapture` where ``capture`` is a folder or name, such as ``format`` or
            ``cameras``.
        minimal_views: see :func:`normalize`.

    Raises:
        ConfigError: for a value that is out of its range, or an unknown option.
        DataError: if there is no such capture or view, or fewer than two views are left to train on.
    """
    if isinstance(capture, str):
        capture = dict(reader or {}, type="FolderCapture", path=capture)
    elif reader:
        raise ConfigError("scene: reader is for a capture that is a folder or name; this one is a config: write "
                          f"{', '.join(reader)} into it")
    arguments = dict(c=capture, n=normalization, t=test_views, s=scale, m=minimal_views)
    return _load_scene(json.dumps(arguments, default=list, sort_keys=True))


def forget_scenes() -> None:
    """Clear the cache of scenes: their files may have changed."""
    _load_scene.cache_clear()


@lru_cache(maxsize=2)
def _load_scene(key: str) -> Scene:
    arguments = json.loads(key)
    source, held_out = arguments["c"], arguments["t"]
    capture = DATASETS.build(source)
    test, rule = _held_out(capture, held_out)
    train = tuple(k for k in range(len(capture)) if k not in test)
    if len(train) < 2:
        others = ", the others are held out (scene.test_views)" if test else ""
        raise DataError(f"{capture.source}: only {len(train)} of {len(capture)} views to train on{others}; at least 2 are "
                        "needed, from different sides")
    frame = _validated_frame(capture, train, arguments["n"], arguments["m"])
    capture = replace(capture, scene_from_world=frame)
    far = ~(capture.scene_cameras.centers.norm(dim=-1) < FARTHEST)
    if far.any():  # beyond single precision
        view = capture.names[int(far.nonzero()[0])]
        raise DataError(
            f"{capture.source}: the camera of view '{view}' is more than {FARTHEST:g} times as far away as the unit "
            "sphere is wide; check for a wrong camera, or use another scene.normalization")
    return Scene(resize(capture, arguments["s"]), train, test, rule)


def _validated_frame(capture: Capture, train: Sequence[int], how: str | Sequence, minimal_views: int | None) -> torch.Tensor:
    """``scene_from_world`` of the training views, in which there is an object to reconstruct, as far as masks show."""
    every = Silhouettes.of(capture)
    views = every.pick(train)
    problem = unusable_reason(views) or unusable_masks(every)
    if not problem:
        try:
            frame = normalize(capture.subset(train), how, minimal_views).scene_from_world
        except DataError as error:
            raise DataError(f"{error}{hints(views)}") from None
        problem = unusable_reason(views, frame)
    if problem:
        raise DataError(f"{capture.source}: {problem}")
    return frame

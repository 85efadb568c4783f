"""One scene ready for training: a capture, normalised into the unit sphere, split into training and held-out views."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
import torch.nn.functional as F

from deep3dmap.datasets.formats import load_capture
from deep3dmap.datasets.paths import resolve_data
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.geometry import normalization
from deep3dmap.registry import DATASETS, nearest
from deep3dmap.structures import Capture

NORMALIZATIONS = ("auto", "given", "hull", "masks", "cameras")


@dataclass(frozen=True)
class Scene:
    """A normalised capture and which of its views are for training.

    Attributes:
        capture: all views; ``capture.scene_from_world`` is set.
        train_views, test_views: indices of views.
    """

    capture: Capture
    train_views: tuple[int, ...]
    test_views: tuple[int, ...]

    @property
    def train(self) -> Capture:
        """The views to train on."""
        return self.capture.subset(self.train_views)

    @property
    def test(self) -> Capture:
        """The held-out views."""
        return self.capture.subset(self.test_views)


@DATASETS.register_module()
def FolderCapture(path: str, **options) -> Capture:
    """The capture in a folder: a path, or a name under the data root; ``options`` go to the format's reader."""
    return load_capture(resolve_data(path), **options)


def normalize(capture: Capture, how: str | Sequence = "auto") -> Capture:
    """Set ``scene_from_world`` so that the object lies inside the unit sphere.

    Args:
        capture: in the world's frame; masks are used where it has them.
        how: ``given`` (what the data say), ``hull`` (bounding sphere of the visual hull), ``masks`` (IDR's way),
            ``cameras`` (no masks needed), a box ``[[x, y, z], [x, y, z]]`` in world units, or ``auto``: the first of given,
            hull and cameras that is possible.

    Raises:
        ConfigError: for an unknown way.
        DataError: if the data don't allow it.
    """
    if not isinstance(how, str):
        return replace(capture,
                       scene_from_world=normalization.normalization_from_box(torch.tensor(how[0]), torch.tensor(how[1])))
    if how not in NORMALIZATIONS:
        raise ConfigError(f"normalization='{how}': {nearest(how, NORMALIZATIONS)}")
    given = not torch.equal(capture.scene_from_world, torch.eye(4).to(capture.scene_from_world))
    if how == "auto":
        how = "given" if given else "hull" if capture.masks is not None else "cameras"
    if how == "given":
        return capture
    if how in ("hull", "masks") and capture.masks is None:
        raise DataError(f"{capture.source}: normalization='{how}' needs masks; add them or use normalization='cameras'")
    try:
        return replace(capture, scene_from_world=_similarity(capture, how))
    except ValueError as error:
        raise DataError(f"{capture.source}: {error}") from None


def _similarity(capture: Capture, how: str) -> torch.Tensor:
    cameras = capture.cameras
    if how == "hull":
        return normalization.normalization_from_hull(capture.masks, cameras.projections)
    if how == "masks":
        return normalization.normalization_from_masks(capture.masks, cameras.projections)
    return normalization.normalization_from_cameras(cameras.world_to_cam)


def _held_out(capture: Capture, test_views: Sequence[str] | int | None) -> tuple[int, ...]:
    """Indices of the held-out views: by name (with or without ending), every n-th, or those named ``test_*``."""
    if isinstance(test_views, int):
        return tuple(range(test_views // 2, len(capture), test_views)) if test_views else ()
    if test_views is None:
        return tuple(k for k, name in enumerate(capture.names) if name.startswith("test"))
    stems = {name.rsplit("/", 1)[-1].rsplit(".", 1)[0]: k for k, name in enumerate(capture.names)}
    for name in test_views:
        if name.rsplit(".", 1)[0] not in stems:
            raise DataError(f"{capture.source}: no view '{name}' to hold out; {nearest(name, stems)}")
    return tuple(stems[name.rsplit(".", 1)[0]] for name in test_views)


def resize(capture: Capture, scale: float) -> Capture:
    """The capture with images resampled by ``scale`` (area-averaged), masks by majority.

    Raises:
        ConfigError: unless ``0 < scale <= 1``.
    """
    if not 0 < scale <= 1:
        raise ConfigError(f"scale={scale}: must be above 0 and at most 1")
    if scale == 1:
        return capture
    size = tuple(max(round(s * scale), 1) for s in capture.cameras.size)

    def shrink(values):
        return F.interpolate(values.permute(0, 3, 1, 2).float(), size, mode="area").permute(0, 2, 3, 1)

    images = shrink(capture.images)
    images = images.round().to(torch.uint8) if capture.images.dtype == torch.uint8 else images
    masks = None if capture.masks is None else shrink(capture.masks[..., None])[..., 0] > 0.5
    return replace(capture, images=images, masks=masks, cameras=capture.cameras.resized(size), depth=None, normals=None)


def load_scene(capture: Mapping | str,
               normalization: str | Sequence = "auto",
               test_views: Sequence[str] | int | None = None,
               scale: float = 1.0) -> Scene:
    """Load, normalise and split a capture; the same arguments give the same object again.

    Args:
        capture: config of a capture (``dict(type='FolderCapture', path='temple_sparse_ring')``), or just a folder or name.
        normalization: see :func:`normalize`; computed from the training views alone.
        test_views: names of the held-out views, or n to hold out every n-th, 0 for none; by default those named ``test*``.
        scale: of the images.
    """
    return _load_scene(json.dumps(dict(c=capture, n=normalization, t=test_views, s=scale), default=list, sort_keys=True))


@lru_cache(maxsize=2)
def _load_scene(key: str) -> Scene:
    arguments = json.loads(key)
    source, how, held_out = arguments["c"], arguments["n"], arguments["t"]
    capture = DATASETS.build(dict(type="FolderCapture", path=source) if isinstance(source, str) else source)
    test = _held_out(capture, held_out)
    train = tuple(k for k in range(len(capture)) if k not in test)
    if len(train) < 2:
        raise DataError(f"{capture.source}: {len(train)} view to train on; at least 2 are needed, from different sides")
    frame = normalize(capture.subset(train), how).scene_from_world
    return Scene(resize(replace(capture, scene_from_world=frame), arguments["s"]), train, test)

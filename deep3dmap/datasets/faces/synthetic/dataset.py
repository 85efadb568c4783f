"""Synthetic faces as a data set."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from deep3dmap.annotations import Count, Whole
from deep3dmap.datasets.faces.ict_maps import ICTMaps
from deep3dmap.datasets.faces.synthetic.heads import Wardrobe, wardrobe
from deep3dmap.datasets.faces.synthetic.rendering import VARIED, portrait
from deep3dmap.datasets.kinds import ItemDataset
from deep3dmap.errors import ConfigError
from deep3dmap.io.files import write_atomically
from deep3dmap.io.npz import npz_bytes, read_npz
from deep3dmap.registry import DATASETS, nearest

SPLITS = ("train", "validation", "test")
COUNTS = dict(train=20_000, validation=500, test=500)
UNIT = 64.0  # steps of a pixel in which the cache stores positions
KEYS = ("image", "visible", "pose")


class RenderedFaces(ItemDataset):
    """Photographs of random people, rendered when they are first asked for.

    Args:
        split: ``train``, ``validation`` or ``test``; no person is in two of them.
        count: number of pictures; by default 20,000 for training and 500 for the others.
        size: of the pictures, pixels.
        seed: of all pictures.
        cache: folder in which rendered pictures are kept; None renders them again in every epoch.
        pipeline: see :class:`ItemDataset`.
    """

    maps: ICTMaps | None = None
    left_out: tuple[str, ...] = ()

    def __init__(self, split: str, count: int | None, size: int, seed: int, cache: str | None, pipeline: Sequence[Mapping]):
        super().__init__(pipeline)
        if split not in SPLITS:
            raise ConfigError(f"{type(self).__name__}: there is no '{split}': {nearest(split, SPLITS)}")
        self.split, self.count, self.size, self.seed = split, count or COUNTS[split], size, seed
        self.cache = None if cache is None else Path(cache)

    @abstractmethod
    def wardrobe(self) -> Wardrobe:
        """What all faces share, and the model of their heads."""

    def __len__(self) -> int:
        return self.count

    def load(self, index: int) -> dict:
        """A picture with its labels."""
        image, arrays = self._rendered(index) if self.cache is None else self._cached(index)
        landmarks = arrays["landmarks"] if self.maps is None else arrays["points"][self.maps.landmark_rows]
        box = np.concatenate([landmarks[:, :2].min(0), landmarks[:, :2].max(0)])
        mapped = {} if self.maps is None else dict(position_map=self.maps.image(arrays["points"]))
        return dict(name=f"{self.split}_{index:06d}", img=np.ascontiguousarray(image), **mapped, landmarks=landmarks, box=box,
                    visible=arrays["visible"], **dict(zip(("yaw", "pitch", "roll"), arrays["pose"])))  # yapf: disable

    def _cached(self, index: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """As :meth:`_rendered`, from its file, which is made first where it is missing."""
        path = self.cache / f"{index // 1000:03d}" / f"{index:06d}.npz"
        if not path.is_file():
            _store(path, *self._rendered(index))
        arrays = read_npz(path, "a synthetic face", (*KEYS, "landmarks" if self.maps is None else "points"))
        image = cv2.imdecode(arrays["image"], cv2.IMREAD_COLOR)[..., ::-1]
        return image, arrays | {key: arrays[key].astype(np.float32) / UNIT for key in ("points", "landmarks") if key in arrays}

    def _rendered(self, index: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        shared = self.wardrobe()
        found = portrait(shared, self.size, [self.seed, SPLITS.index(self.split), index], self.left_out)
        pose = np.array(found.sitter.angles, np.float32)
        points = (dict(landmarks=found.points[shared.model.landmarks68]) if self.maps is None else dict(
            points=self.maps.values(found.points)))
        return found.image, dict(points, visible=found.visible, pose=pose)


@DATASETS.register_module()
class SyntheticFaces(RenderedFaces):
    """Photographs of random people, rendered from the ICT face model, with exact position maps, landmarks and poses.

    An item depends only on seed, split and index. It has ``img`` (s, s, 3) uint8 RGB, ``position_map`` (3, m, m),
    ``landmarks`` (68, 3), ``box`` (left, top, right, bottom), all in pixels of the picture, ``visible`` (68,), and ``yaw``,
    ``pitch``, ``roll`` in degrees, as AFLW2000-3D has them (yaw positive where a face looks to the picture's left).

    Args:
        split: ``train``, ``validation`` or ``test``; no person is in two of them.
        count: number of pictures; by default 20,000 for training and 500 for the others.
        size: of the pictures, pixels.
        map_size: of the position maps: 128 or 256.
        seed: of all pictures.
        model: the face model: a name below ``DEEP3DMAP_DATA``, a folder, a file.
        cache: folder in which rendered pictures are kept as JPEG, 0.1 MB each; None renders them again in every epoch.
        left_out: what doesn't vary, for ablations: ``lights``, ``background``, ``occlusion``, ``skin``, ``camera``.
        pipeline: see :class:`ItemDataset`.
    """

    def __init__(self,
                 split: str = "train",
                 count: Count | None = None,
                 size: Count = 192,
                 map_size: Count = 128,
                 seed: Whole = 0,
                 model: str = "ict_face",
                 cache: str | None = None,
                 left_out: Sequence[str] = (),
                 pipeline: Sequence[Mapping] = ()):
        kind = "_".join([Path(model).stem, split, str(size), str(map_size), str(seed), *sorted(left_out)])
        super().__init__(split, count, size, seed, cache and str(Path(cache) / kind), pipeline)
        for name in left_out:
            if name not in VARIED:
                raise ConfigError(f"SyntheticFaces: there is no '{name}': {nearest(name, VARIED)}")
        self.model, self.maps, self.left_out = model, ICTMaps.load(map_size), tuple(left_out)

    def wardrobe(self) -> Wardrobe:
        """The ICT face model's."""
        return wardrobe(self.model)


def _store(path: Path, image: np.ndarray, arrays: Mapping[str, np.ndarray]) -> None:
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    stored = {key: (arrays[key] * UNIT).round().astype(np.int32) for key in ("points", "landmarks") if key in arrays}
    write_atomically(path, npz_bytes(image=data, visible=arrays["visible"], pose=arrays["pose"], **stored))

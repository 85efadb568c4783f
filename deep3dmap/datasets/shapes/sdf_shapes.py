"""Batches of signed-distance samples of many shapes, read on demand (DeepSDF's data loading)."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Generator, Tensor

from deep3dmap.annotations import Count, Share
from deep3dmap.datasets.kinds import BatchDataset, ItemDataset
from deep3dmap.datasets.shapes.sdf_samples import layout
from deep3dmap.datasets.shapes.sdf_samples.finding import find_meshes
from deep3dmap.datasets.shapes.sdf_samples.layout import SdfSamples, ShapeName
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.io.images import safe_decoders
from deep3dmap.io.reading import reading
from deep3dmap.registry import DATASETS

#: Maximum number of files kept open, each memory-mapped.
OPEN_FILES = 4096


def take_run(rows: Float[np.ndarray, "n 4"], count: int, uniform: float) -> Float[np.ndarray, "m 4"]:
    """``count`` contiguous rows, starting at a position that ``uniform`` in [0, 1) selects among all valid ones."""
    start = int(uniform * (len(rows) - count + 1))
    return rows[start:start + count]


def take_any(rows: Float[np.ndarray, "n 4"], uniform: Float[Tensor, "m"]) -> Float[np.ndarray, "m 4"]:
    """Rows drawn with replacement: ``floor(uniform * n)``, ``uniform`` in [0, 1)."""
    return rows[(uniform * len(rows)).long().numpy()]


def draw_samples(samples: SdfSamples, count: int, generator: Generator) -> Float[Tensor, "count 4"]:
    """Half of them positive, half negative, in this order.

    Shuffled rows are taken contiguously, so little is read; others, and halves larger than the available rows, with
    replacement. As in the authors' code, so are negative rows whose number equals the half.
    """
    half = count // 2
    parts = []
    for rows, least in ((samples.positive, half), (samples.negative, half + 1)):
        if samples.shuffled and len(rows) >= least:
            parts.append(take_run(rows, half, float(torch.rand((), generator=generator, dtype=torch.float64))))
        else:
            parts.append(take_any(rows, torch.rand(half, generator=generator)))
    return torch.from_numpy(np.concatenate(parts).astype(np.float32, copy=False))


class _Folder:
    """Shapes of a folder in DeepSDF's layout.

    Attributes:
        shapes: their names.
        paths: of their samples.
    """

    def __init__(self, root: str, split: str | None, share: float, memory: bool):
        self.root = Path(root)
        self.shapes = layout.all_shapes(self.root) if split is None else layout.read_split(layout.split_path(self.root, split))
        self.shapes = self.shapes[:max(round(share * len(self.shapes)), 1)]
        self.paths = layout.find_samples(self.root, self.shapes)
        self.memory, self._open = memory, OrderedDict()

    def __len__(self) -> int:
        return len(self.shapes)

    def samples(self, index: int) -> SdfSamples:
        """A shape's samples; memory-mapped files stay open, loaded samples are cached if requested."""
        if index in self._open:
            self._open.move_to_end(index)
            return self._open[index]
        samples = layout.read_samples(self.paths[index])
        if self.memory or samples.shuffled:
            self._open[index] = samples
        if len(self._open) > OPEN_FILES and not self.memory:
            self._open.popitem(last=False)
        return samples

    def info(self) -> dict:
        """Names of the shapes, and their similarities into the normalised frame, where known."""
        offsets, scales = torch.zeros(len(self), 3, dtype=torch.float64), torch.ones(len(self), dtype=torch.float64)
        for k, shape in enumerate(self.shapes):
            path = layout.normalization_path(self.root, shape)
            if path.is_file():
                normalization = layout.read_normalization(path)
                offsets[k], scales[k] = torch.from_numpy(normalization.offset), normalization.scale
        return dict(shapes=[str(shape) for shape in self.shapes], offsets=offsets, scales=scales, source=str(self.root))


@DATASETS.register_module()
class SDFShapes(BatchDataset):
    """Samples of several shapes per batch, different ones in every step of an epoch.

    A batch holds ``points`` (s, k, 3) in the shapes' normalised frames, ``sdf`` (s, k), ``shape`` (s,) their numbers, and
    ``batch_shapes``, those of all processes. An epoch passes once through the shapes, in its own order; an
    incomplete last batch is dropped, as in the authors' code.

    Args:
        root: folder in DeepSDF's layout (``deep3dmap prepare sdf-samples`` creates it).
        split: file with the names of the shapes, also relative to ``root``; None for all shapes found.
        shapes: in a batch, over all processes.
        samples: of each; half of them outside the shape, half inside.
        share: use only this first fraction of the split's shapes.
        memory: keep all samples in memory. Otherwise files written by ``prepare`` are memory-mapped and those of the authors'
            tool read each time.

    Raises:
        ConfigError: for fewer than 2 samples.
        DataError: if there is no such split, or samples are missing.
    """

    def __init__(self,
                 root: str,
                 split: str | None = None,
                 shapes: Count = 64,
                 samples: Count = 16384,
                 share: Share = 1.0,
                 memory: bool = False):
        if samples < 2:
            raise ConfigError(f"SDFShapes: samples={samples}: a shape needs at least one outside and one inside")
        self.folder = _Folder(root, split, share, memory)
        self.shapes, self.samples, self.seed = min(shapes, len(self.folder)), samples, 0

    def __len__(self) -> int:
        return len(self.folder) // self.shapes

    def info(self) -> dict:
        """``shapes`` (their names), ``offsets`` (n, 3) and ``scales`` (n,) into their normalised frames, ``source``."""
        return self.folder.info()

    def set_seed(self, seed: int) -> None:
        """Seed of the order of the shapes in each epoch."""
        self.seed = seed

    def batch(self, step: int, generator: Generator, rank: int = 0, world: int = 1) -> dict[str, Tensor]:
        """The batch of a step; every process takes its own share of the shapes."""
        epoch, k = divmod(step, len(self))
        order = torch.randperm(len(self.folder), generator=torch.Generator().manual_seed(self.seed + epoch))
        chosen = order[k * self.shapes:(k + 1) * self.shapes]
        seeds = torch.randint(2**62, (self.shapes, ), generator=generator)
        mine = slice(rank, None, world)
        rows = [draw_samples(self.folder.samples(int(index)), self.samples, torch.Generator().manual_seed(int(seed)))
                for index, seed in zip(chosen[mine], seeds[mine])]  # yapf: disable
        drawn = torch.stack(rows) if rows else torch.empty(0, self.samples // 2 * 2, 4)
        return dict(points=drawn[..., :3].contiguous(), sdf=drawn[..., 3].contiguous(), shape=chosen[mine],
                    batch_shapes=chosen)  # yapf: disable


@DATASETS.register_module()
class SDFTestShapes(ItemDataset):
    """Shapes one by one, to be reconstructed from samples of their signed distances.

    An item holds ``name``, ``positive`` (n, 4) and ``negative`` (m, 4) samples, ``offset`` (3,) and ``scale``, and of the true
    surface ``mesh`` (its file) or points, ``surface`` (p, 3).

    Args:
        root, split: as for :class:`SDFShapes`.
        limit: use only the first ``limit`` shapes of the split; all by default.
        meshes: folder with the true meshes, each named after its shape; by default the points of ``SurfaceSamples`` are used.

    Raises:
        DataError: if a shape has no mesh there, or several.
    """

    def __init__(self, root: str, split: str | None = None, limit: Count | None = None, meshes: str | None = None):
        super().__init__()
        self.folder = _Folder(root, split, 1.0, False)
        self.shapes = self.folder.shapes[:limit]
        self.meshes = None if meshes is None else _meshes_of(self.shapes, Path(meshes))
        self._info = self.folder.info()

    def __len__(self) -> int:
        return len(self.shapes)

    def info(self) -> dict:
        """As :meth:`SDFShapes.info`."""
        return self._info

    def load(self, index: int) -> dict:
        """See above."""
        samples = self.folder.samples(index)
        positive, negative = (torch.from_numpy(np.array(rows)) for rows in (samples.positive, samples.negative))
        return dict(name=str(self.shapes[index]), positive=positive, negative=negative, offset=self._info["offsets"][index],
                    scale=float(self._info["scales"][index])) | self._truth(index)  # yapf: disable

    def _truth(self, index: int) -> dict:
        if self.meshes is not None:
            return dict(mesh=str(self.meshes[index]))
        path = layout.surface_path(self.folder.root, self.shapes[index])
        if not path.is_file():
            return {}
        with reading(path, "points in PLY"), safe_decoders():
            return dict(surface=torch.from_numpy(np.array(trimesh.load(path, process=False).vertices, np.float64)))


def _meshes_of(shapes: Sequence[ShapeName], folder: Path) -> list[Path]:
    """The mesh file of each shape below a folder: named after it, or in a folder named after it."""
    found = find_meshes(folder, "any").meshes
    by_name: dict[str, list[Path]] = {}
    for mesh in found:
        by_name.setdefault(mesh.shape.name, []).append(mesh.path)
    wrong = [shape.name for shape in shapes if len(by_name.get(shape.name, ())) != 1]
    if wrong:
        raise DataError(f"{folder}: has not exactly one mesh for {len(wrong)} of {len(shapes)} shapes ({', '.join(wrong[:5])}"
                        f"{', ...' * (len(wrong) > 5)})")
    return [by_name[shape.name][0] for shape in shapes]

"""A data set of heads in DeepSDF's layout: meshes, samples, splits; in several processes, resumable.

Under one root: ``meshes/ict_heads/heads/<id>.ply`` (centimetres), DeepSDF's folders (``shapes/sdf_samples/layout.py``),
``splits/ict_heads_*.json`` and ``heads.json``, which records how the heads were generated.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from deep3dmap.datasets.heads.ict_face.heads import SPLITS, HeadMaker
from deep3dmap.datasets.heads.ict_face.sampling import sample_head
from deep3dmap.datasets.shapes.sdf_samples import layout
from deep3dmap.datasets.shapes.sdf_samples.layout import ShapeName
from deep3dmap.datasets.shapes.sdf_samples.preparing import write_shape
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.geometry.sdf_sampling import Plan
from deep3dmap.io.files import write_atomically
from deep3dmap.io.mesh_files import save_mesh
from deep3dmap.io.reading import exists, reaching, read_text, reading
from deep3dmap.io.workers import DONE, run_tasks
from deep3dmap.structures.face_model import ICTFaceModel

DATASET, CATEGORY = "ict_heads", "heads"
NESTED = (25, 100, 400)
RECORD = "heads.json"
TIMEOUT = 600.0  # seconds per head, which takes about one


@dataclass(frozen=True)
class HeadSettings:
    """Generation settings; the same settings give the same heads.

    Attributes:
        model: file of the face model, its folder, or a data set's name.
        seed: of all heads.
        expressions: largest weight of random expressions, 0 for neutral heads.
        missing: regions cut from the heads.
        mouth: whether the bag behind the lips is part of the surface.
        eyeballs: whether the eyeballs are part of the solid.
        samples: signed-distance samples of each head.
        surface_samples: points on each head's surface.
    """

    model: str = "ict_face"
    seed: int = 0
    expressions: float = 0.0
    missing: tuple[str, ...] = ()
    mouth: bool = True
    eyeballs: bool = False
    samples: int = 100_000
    surface_samples: int = 30_000

    def maker(self) -> HeadMaker:
        """The heads' maker.

        Raises:
            ConfigError: for invalid options.
            DataError: if the model can't be read.
        """
        for name in ("samples", "surface_samples"):
            if getattr(self, name) < 100:
                raise ConfigError(f"{name} must be at least 100, got {getattr(self, name)}")
        options = dict(expressions=self.expressions, missing=self.missing, mouth=self.mouth, eyeballs=self.eyeballs)
        return HeadMaker.build(ICTFaceModel.load(self.model), self.seed, **options)

    def record(self, maker: HeadMaker) -> dict:
        """The settings as recorded in ``heads.json``, with the model's fingerprint instead of its path."""
        digest = hashlib.sha256(maker.model.identity.tobytes() + maker.model.triangles.tobytes())
        digest.update(maker.model.mean.tobytes())
        return asdict(self) | {"model": digest.hexdigest()[:16], "missing": list(maker.missing)}


def head_shape(split: str, index: int) -> ShapeName:
    """A head's name in the layout."""
    return ShapeName(DATASET, CATEGORY, f"{split}_{index:05d}")


def mesh_path(root: str | Path, shape: ShapeName) -> Path:
    """Path of a head's mesh."""
    return Path(root, "meshes", shape.dataset, shape.category, f"{shape.name}.ply")


class HeadTask(NamedTuple):
    """A head to generate, and its folder."""

    root: Path
    settings: HeadSettings
    split: str
    index: int

    @property
    def shape(self) -> ShapeName:
        """The head's name in the layout."""
        return head_shape(self.split, self.index)

    @property
    def is_made(self) -> bool:
        """Whether the head exists; its samples are written last, atomically."""
        return layout.samples_path(self.root, self.shape).is_file()


def prepare_heads(root: str | Path,
                  counts: Sequence[int],
                  settings: HeadSettings,
                  processes: int = 1,
                  report: Callable[[int, int], object] = lambda done, total: None) -> int:
    """Generate heads, sample them, and write splits; existing heads are kept.

    Args:
        root: folder to write to.
        counts: how many heads of each of training, validation and test.
        settings: of the heads.
        processes: number of parallel processes.
        report: called with the number of heads done.

    Returns:
        Number of heads generated in this call.

    Raises:
        ConfigError: for invalid options.
        DataError: if the model can't be read, the root holds heads of other settings, or some heads could not be generated;
            the others are kept, and no splits are written.
    """
    root = Path(root)
    if processes < 1 or min(counts) < 0 or not max(counts):
        raise ConfigError(f"at least one process and one head are needed; got {processes} processes and " +
                          ", ".join(f"{n} heads for {s}" for s, n in zip(SPLITS, counts)))
    _check_record(root, settings.record(_maker(settings)))
    heads = [HeadTask(root, settings, split, index) for split, count in zip(SPLITS, counts) for index in range(count)]
    todo = [head for head in heads if not head.is_made]
    report(0, len(todo))
    failed = []
    for done, (number, outcome) in enumerate(run_tasks(make_head, todo, processes, TIMEOUT), 1):
        report(done, len(todo))
        if outcome.kind != DONE:
            failed.append(f"{todo[number].shape}: {outcome.reason}")
    if failed:
        raise DataError(f"{root}: {len(failed)} of {len(todo)} heads could not be generated; the first: {failed[0]}")
    if not exists(root / layout.SOURCES):
        layout.add_data_source(root, DATASET, root / "meshes")
    _write_splits(root, dict(zip(SPLITS, counts)))
    return len(todo)


def make_head(task: HeadTask) -> None:
    """Generate one head and write all its files, the samples last."""
    root, settings, *head = task
    maker, shape = _maker(settings), task.shape
    sampling = sample_head(maker, *head, Plan(settings.samples), settings.surface_samples)
    with reaching(root):
        save_mesh(maker.mesh(*head), mesh_path(root, shape))
        write_shape(root, shape, sampling, maker.frame, maker.sampling_seed(*head))


@lru_cache(maxsize=1)
def _maker(settings: HeadSettings) -> HeadMaker:
    """The head generator, cached per process."""
    return settings.maker()


def _check_record(root: Path, wanted: dict) -> None:
    """Compare the settings of a folder's heads with the requested ones, or record these in a new folder."""
    path = root / RECORD
    if exists(path):
        with reading(path, "a record of heads in JSON"):
            found = dict(json.loads(read_text(path)))
        wrong = [name for name in wanted if found.get(name) != wanted[name]]
        if wrong:
            raise DataError(f"{root}: holds heads with {wrong[0]} = {found.get(wrong[0])!r}, not {wanted[wrong[0]]!r}; choose "
                            "another folder, or remove this one")
        return
    with reaching(root):
        write_atomically(path, (json.dumps(wanted, indent=2) + "\n").encode())


def _write_splits(root: Path, counts: dict[str, int]) -> None:
    """Split files: nested subsets of the training heads, all of them, and the other splits."""
    sizes = {f"train_{size}": ("train", size) for size in (*NESTED, counts["train"]) if 0 < size <= counts["train"]}
    sizes |= {split: (split, counts[split]) for split in SPLITS[1:] if counts[split]}
    for name, (split, size) in sizes.items():
        layout.write_split(root / "splits" / f"{DATASET}_{name}.json", [head_shape(split, index) for index in range(size)])

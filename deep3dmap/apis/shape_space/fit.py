"""Fitting shapes by a trained shape space: from samples, point clouds, meshes or depth maps to codes and meshes.

Park et al., CVPR 2019, sections 4.2 (eq. 10) and 6.3; their supplementary material takes the better of two starts.
"""

import contextlib
import csv
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
import trimesh

from deep3dmap.apis.shape_space.codes import load_shape_space, read_code, write_code
from deep3dmap.apis.shape_space.inputs import OFFSET, Frames, ShapeInput, find_inputs, observe, shared_frame
from deep3dmap.datasets.shapes.sdf_samples.layout import Normalization, read_normalization
from deep3dmap.errors import DataError, Deep3DError
from deep3dmap.frameworks.deepsdf import DeepSDF
from deep3dmap.frameworks.deepsdf.fitting import FittedCode
from deep3dmap.frameworks.deepsdf.observations import Observations
from deep3dmap.geometry.meshing_grids import check_resolution
from deep3dmap.io.files import csv_text, write_atomically
from deep3dmap.io.mesh_files import save_mesh
from deep3dmap.io.npz import read_npz
from deep3dmap.io.reading import exists, is_file, output_folder, reading, sha256_of
from deep3dmap.ranges import AtLeastTwo, Count, NotNegative, Positive, Scale, Whole

FITTED, SKIPPED, REFUSED, FAILED = "fitted", "skipped", "refused", "failed"

#: Number of last iterations whose mean is the loss of a fit; each iteration has other samples.
LAST = 20


@dataclass
class ShapeFit:
    """Outcome of an input: a row of ``fits.csv``.

    Attributes:
        name: of the shape.
        status: fitted, skipped (already exists), refused (exists with other settings), or failed.
        loss: at the end of the fit.
        code_length: Euclidean length of the code.
        seconds: duration of the fit, without the mesh.
        reason: of a refusal or failure.
    """

    name: str
    status: str
    loss: float | None = None
    code_length: float | None = None
    seconds: float | None = None
    reason: str = ""


def fit_shapes(checkpoint: str | Path,
               inputs: Sequence[str | Path],
               output: str | Path,
               *,
               split: str | Path | None = None,
               viewpoint: tuple[float, float, float] | None = None,
               normalization: str | Path | None = None,
               offset: Scale = OFFSET,
               iterations: Count | None = None,
               samples: AtLeastTwo | None = None,
               lr: Positive | None = None,
               code_weight: NotNegative | None = None,
               starts: Count = 1,
               seed: Whole = 0,
               resolution: AtLeastTwo = 256,
               amp: bool = False,
               device: str = "auto",
               skip_existing: bool = False,
               log: Callable[[str], object] = print) -> list[ShapeFit]:
    """New shapes from samples, points, meshes or depth maps.

    Writes ``meshes/<name>.ply``, ``codes/<name>.npz`` and ``fits.csv`` to ``output``. Other arguments as for
    :func:`deep3dmap.apis.shape_space.shapes.mesh_shapes`.

    Args:
        inputs: signed-distance samples, point cloud, mesh or depth map; or a folder with SdfSamples/. See
            :func:`deep3dmap.apis.shape_space.inputs.find_inputs`.
        output: folder to write to. Meshes are in their input's own frame and units.
        split: file that names the shapes of a folder (default: all).
        viewpoint: position of the sensor of a point cloud, in its own frame.
        normalization: npz with offset and scale into the normalised frame. For all inputs.
        offset: distance from the surface of the points in front of and behind it, normalised.
        iterations: of the fit (default: the config's).
        samples: in an iteration (default: the config's).
        lr: learning rate (default: the config's).
        code_weight: of the code's mean square in the loss (default: the config's).
        starts: number of fits, of which the best is kept. The one with the lowest final loss.
        seed: of every random choice. A shape's result doesn't depend on the others.
        amp: mixed precision (bfloat16) where it is safe.
        skip_existing: keep existing results in the output folder. A code and a mesh; those made of other files, with
            other options, or by another decoder, are refused.
        log: prints a line.

    Returns:
        The outcome of each input; a failure doesn't stop the others.

    Raises:
        ConfigError: if the mesh's grid is too large for the machine.
        CheckpointError: if there is no usable DeepSDF.
        DataError: if there are no inputs, or several of the same name.
    """
    options = dict(iterations=iterations, samples=samples, lr=lr, code_weight=code_weight)
    options = {key: value for key, value in options.items() if value is not None}
    check_resolution(resolution)
    shapes = find_inputs(inputs, split)
    given = None if normalization is None else read_normalization(normalization)
    framework = load_shape_space(checkpoint, device)
    frames = Frames(given, shared_frame(framework))
    observing = dict(offset=offset, viewpoint=None if viewpoint is None else [*map(float, viewpoint)],
                 normalization=None if given is None else [*given.offset.tolist(), given.scale])  # yapf: disable
    fitter = _Fitter(framework, output_folder(output), starts, seed, resolution, amp, options, observing)
    _old_rows(fitter.output / "fits.csv")
    rows = []
    for k, shape in enumerate(shapes, 1):
        row = _skipped(shape, fitter) if skip_existing else None
        row = row or _one(fitter, shape, lambda s: observe(s, frames, viewpoint, offset, seed))
        rows.append(row)
        log(f"[{k}/{len(shapes)}] {row.name}: {row.status}" + (f": {row.reason}" if row.reason else f", loss {row.loss:.4g}"))
        write_fits(fitter.output / "fits.csv", rows)
    return rows


@dataclass
class _Fitter:
    """Settings of all fits, and the output folder."""

    framework: DeepSDF
    output: Path
    starts: int
    seed: int
    resolution: int
    amp: bool
    options: dict
    observing: dict

    def code_path(self, name: str) -> Path:
        return self.output / "codes" / f"{name}.npz"

    def mesh_path(self, name: str) -> Path:
        return self.output / "meshes" / f"{name}.ply"

    def fit(self, observations: Observations) -> FittedCode:
        """The best of the starts."""
        cast = torch.autocast(self.framework.device.type, torch.bfloat16) if self.amp else contextlib.nullcontext()
        with cast:
            seeds = range(self.seed, self.seed + self.starts)
            fits = [self.framework.fit(observations, generator=torch.Generator().manual_seed(seed), **self.options)
                    for seed in seeds]  # yapf: disable
        return min(fits, key=final_loss)

    def recorded(self, shape: ShapeInput) -> dict:
        """Everything that a shape's result depends on."""
        merged = asdict(self.framework.fit_options) | self.options
        own = dict(starts=self.starts, seed=self.seed, amp=self.amp, resolution=self.resolution)
        sources = dict(decoder=_fingerprint(self.framework), input=_checksum(shape))
        return json.loads(json.dumps(merged | own | self.observing | sources))


def _fingerprint(framework: DeepSDF) -> str:
    """Checksum of a decoder's weights."""
    digest = hashlib.sha256()
    for _, value in sorted(framework.decoder.state_dict().items()):
        digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


def _checksum(shape: ShapeInput) -> str | None:
    """Checksum of an input's files; None if they no longer exist."""
    files = [path for path in (shape.path, shape.normalization) if path and is_file(path)]
    return hashlib.sha256("".join(map(sha256_of, files)).encode()).hexdigest()[:12] if shape.path in files else None


def final_loss(fitted: FittedCode) -> float:
    """The mean loss of a fit's last iterations."""
    return float(np.mean(fitted.losses[-LAST:]))


def _one(fitter: _Fitter, shape: ShapeInput, observing: Callable) -> ShapeFit:
    """Fit one shape and write code and mesh; errors caused by its input become the reason of its failure."""
    try:
        recorded = fitter.recorded(shape)
        observations, normalization = observing(shape)
        begun = time.monotonic()
        fitted = fitter.fit(observations)
        seconds = time.monotonic() - begun
        if not np.isfinite(fitted.losses[-1]):
            raise DataError(f"{shape.path}: the fit diverged (its loss is {fitted.losses[-1]}); use a smaller --lr")
        row = ShapeFit(shape.name, FITTED, final_loss(fitted), float(fitted.code.norm()), round(seconds, 3))
        details = dict(losses=np.array(fitted.losses, np.float32), loss=np.array(row.loss), seconds=np.array(row.seconds),
                    options=np.array(json.dumps(recorded)))  # yapf: disable
        write_code(fitter.code_path(shape.name), fitted.code, **details)
        save_mesh(_mesh(fitter, fitted, normalization), fitter.mesh_path(shape.name))
        return row
    except Deep3DError as error:
        return ShapeFit(shape.name, FAILED, reason=str(error))


def _mesh(fitter: _Fitter, fitted: FittedCode, normalization: Normalization) -> trimesh.Trimesh:
    mesh = fitter.framework.extract_mesh(fitter.resolution, code=fitted.code)
    return trimesh.Trimesh(normalization.undo(mesh.vertices), mesh.faces, process=False)


def _skipped(shape: ShapeInput, fitter: _Fitter) -> ShapeFit | None:
    """The row of an existing shape: its result is kept or refused, never overwritten."""
    path = fitter.code_path(shape.name)
    if not (is_file(path) and is_file(fitter.mesh_path(shape.name))):
        return None
    try:
        code = read_code(path, fitter.framework.decoder.code_length)
        known = read_npz(path, "a file of a shape's code", ("loss", "seconds", "options"))
        _check_same(path, known["options"], fitter.recorded(shape), shape.path)
    except DataError as error:
        return ShapeFit(shape.name, REFUSED, reason=str(error))
    return ShapeFit(shape.name, SKIPPED, float(known["loss"]), float(np.linalg.norm(code)), float(known["seconds"]))


def _check_same(path: Path, options: np.ndarray, now: dict, source: Path) -> None:
    with reading(path, "a file of a shape's code"):
        before = dict(json.loads(str(options)))
    old, new = before.pop("input", None), now.pop("input")
    if old and new and old != new:
        raise DataError(
            f"{source}: has changed since {path} was made of it; restore it, or fit it again without --skip-existing, "
            "or choose another folder")
    changed = [f"{key}: {before.get(key)}, now {value}" for key, value in now.items() if before.get(key) != value]
    if changed:
        raise DataError(f"{path}: was made with other options ({'; '.join(changed)}); use the same, or fit it again "
                        "without --skip-existing, or choose another folder")


def _old_rows(path: Path) -> dict[str, dict]:
    """The rows of an older table, by name."""
    if not exists(path):
        return {}
    with reading(path, "a table of fitted shapes", "move it away, or choose another folder"):
        with path.open(newline="", encoding="utf-8") as file:
            return {row["name"]: row for row in csv.DictReader(file)}


def write_fits(path: Path, rows: Sequence[ShapeFit]) -> Path:
    """Write the outcomes as CSV; rows of an older table for other shapes, or for refused ones, are kept."""
    old = _old_rows(path)
    new = {row.name: {k: "" if v is None else v for k, v in asdict(row).items()} for row in rows
           if row.status != REFUSED or row.name not in old}  # yapf: disable
    return write_atomically(path, csv_text([f.name for f in fields(ShapeFit)], (old | new).values()).encode())

"""Evaluation of all methods: reconstruct the test data and compute metrics of the results.

Used for tests, validation during training, and inference.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
import trimesh
from mmengine.dist import get_dist_info, is_main_process

from deep3dmap.annotations import NotNegative, Scale, Whole
from deep3dmap.datasets.kinds import ClipDataset, ViewDataset
from deep3dmap.engine.sequence_progress import SequenceProgress
from deep3dmap.engine.test_data import Batch, TestData
from deep3dmap.errors import ConfigError, DataError, returned
from deep3dmap.evaluation.base import Metric
from deep3dmap.frameworks.base import Framework
from deep3dmap.processes import all_reduce, broadcast_object, gather_objects
from deep3dmap.registry import LOOPS, METRICS
from deep3dmap.structures import Reconstruction


@dataclass
class Evaluated:
    """An item with its reconstruction.

    Attributes:
        item: the data set's item, with ground truth if known.
        result: its reconstruction.
        figures: its metrics.
    """

    item: Mapping
    result: Reconstruction
    figures: dict[str, float]

    @property
    def name(self) -> str:
        """The item's name."""
        return self.result.name


@dataclass
class TestResult:
    """Result of an evaluation.

    Attributes:
        metrics: metrics by group.
        results: all items, in order of evaluation: a scene, its held-out views, then others.
        notes: omissions and warnings.
        files: contents of further files to write, by file name.
    """

    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    results: list[Evaluated] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    @property
    def scene(self) -> Evaluated | None:
        """The result of the whole scene, if the data are a scene."""
        return next((each for each in self.results if "true_cameras" in each.item), None)

    @property
    def mesh(self) -> trimesh.Trimesh | None:
        """The first mesh among the results: the scene's, if the data are a scene."""
        return next((each.result.mesh for each in self.results if each.result.mesh is not None), None)

    @property
    def views(self) -> list[Evaluated]:
        """Rendered views of a scene."""
        return [each for each in self.results if "split" in each.item]

    @property
    def items(self) -> list[Evaluated]:
        """All results other than a scene and its views."""
        return [each for each in self.results if not {"split", "true_cameras"} & set(each.item)]


def evaluate(framework: Framework, data: TestData, metrics: list[Metric], *, resolution: int = 256,
             max_seconds: float | None = None, keep: bool = True,
             progress: SequenceProgress | None = None) -> TestResult:  # yapf: disable
    """Reconstruct the test data and compute metrics.

    The data are distributed over processes; the first process computes the metrics, and all return them. The framework's mode
    and training state are restored afterwards.

    Args:
        framework: framework to evaluate.
        data: test data.
        metrics: newly built metrics.
        resolution: resolution of extracted meshes; 0 for none.
        max_seconds: time limit; no unit is started that would likely exceed it. Two units are always evaluated, since the
            first may be a scene's mesh.
        keep: also return items and results.
        progress: keeps what the framework remembers of sequences of clips, and resumes them.
    """
    training, state, result = framework.training, framework.training_state(), TestResult(notes=data.notes)
    names: set[str] = set()
    framework.eval()
    if isinstance(data.dataset, ViewDataset) and (left_out := data.dataset.left_out):
        result.notes.append(f"{left_out} training views are not rendered, as test_dataset.train_views says")
    for found in _reconstructed(framework, data, resolution, max_seconds, result.notes, progress):
        for item, reconstruction in found:
            result.notes += [note for note in reconstruction.notes if note not in result.notes]
            figures: dict[str, float] = {}
            for metric in metrics:
                figures |= returned(metric.add_item(item, reconstruction), Mapping, metric, "add_item")
            if keep and reconstruction.name in names:
                raise DataError(f"{type(data.dataset).__name__}: two items are called '{reconstruction.name}'; results need "
                                "names of their own")
            names.add(reconstruction.name)
            if keep:
                result.results.append(Evaluated(item, reconstruction, figures))
    if is_main_process():
        for metric in metrics:
            groups = returned(metric.compute(), Mapping, metric, "compute")
            result.metrics |= {
                name: returned(group, Mapping, metric, f"compute, group '{name}',")
                for name, group in groups.items()
            }
            result.files |= metric.files()
            result.notes += metric.notes()
    framework.train(training)
    framework.load_training_state(state)
    return broadcast_object(result)


def _reconstructed(framework: Framework, data: TestData, resolution: int, max_seconds: float | None, notes: list[str],
                   progress: SequenceProgress | None) -> Iterator[list[tuple[Mapping, Reconstruction]]]:  # yapf: disable
    """Items with their results, unit by unit, in the first process; units are distributed round-robin."""
    (rank, world), start, longest = get_dist_info(), time.perf_counter(), 0.0
    units = len(data.units)
    mine = data.batches(range(rank, units, world))
    for done in range(0, units, world):
        begun = time.perf_counter()
        if done > world and max_seconds is not None and any(all_reduce(begun - start + longest > max_seconds)):
            notes.append(f"{units - done} of {units} items were not evaluated: out of time")
            return
        found = _unit_results(framework, next(mine), resolution, done + rank, progress) if done + rank < units else []
        yield [pair for each in gather_objects(found) for pair in each]
        longest = max(longest, time.perf_counter() - begun) if done else 0.0


def _unit_results(framework: Framework, batches: Iterator[Batch], resolution: int, unit: int,
                  progress: SequenceProgress | None) -> list[tuple[Mapping, Reconstruction]]:  # yapf: disable
    """Items of a unit with their results; a clip's item gets the key ``clips``: the items of all clips up to its result."""
    names, clips, found = [], [], []
    skipped = 0 if progress is None else progress.restore(framework, unit)
    with nullcontext() if progress is None else progress.listening():
        for done, (items, inputs) in enumerate(batches, 1):
            names += [item["name"] for item in items if "name" in item]
            clips += items
            if done <= skipped:
                continue
            if results := _results(framework, inputs, len(items), resolution):
                found += zip([{**item, "clips": clips} if "ends" in item else item for item in items], results)
                clips = []
            if progress is not None:
                progress.after_clip(framework, unit, done, inputs, complete=bool(found))
    if not found:
        raise DataError(
            f"{type(framework).__name__}.reconstruct returned no complete result for {', '.join(dict.fromkeys(names))}")
    return found


@torch.no_grad()
def _results(framework: Framework, inputs: Mapping, count: int, resolution: int) -> list[Reconstruction]:
    """The complete results of a batch of ``count`` items: one for each, or none."""
    results = returned(framework.reconstruct(inputs, resolution), Iterable, framework, "reconstruct")
    results = [returned(each, Reconstruction, framework, "reconstruct, for each item,") for each in results]
    complete = [each for each in results if not each.partial]
    if complete and len(complete) != count:
        raise DataError(f"{type(framework).__name__}.reconstruct returned {len(complete)} results for {count} items")
    return complete


@LOOPS.register_module()
class ReconstructionTestLoop:
    """Evaluates the runner's framework on its test data; see :func:`evaluate`.

    Args:
        runner: the runner.
        resolution: resolution of meshes; 0 for none.
        scale: size of rendered views relative to the photographs.
        max_seconds: see :func:`evaluate`.
        resumable: whether the work folder keeps what the framework remembers of sequences, with which the runner can resume.
    """

    def __init__(self,
                 runner,
                 resolution: Whole = 256,
                 scale: Scale = 1.0,
                 max_seconds: NotNegative | None = None,
                 resumable: bool = False):
        if resolution < 0 or resolution == 1 or not 0 < scale <= 1:
            raise ConfigError(
                f"test_cfg: resolution={resolution} must be 0 (no mesh) or at least 2 and scale={scale} in (0, 1]")
        self.runner, self.resolution, self.scale, self.max_seconds = runner, resolution, scale, max_seconds
        self.resumable = resumable

    def run(self) -> TestResult:
        """Evaluate the framework's current weights."""
        runner = self.runner
        data = runner.build_test_data(self.scale)
        if not runner.info:
            runner.setup(data.info())
        metrics = [METRICS.build(m) for m in runner.test_evaluator_cfg or ()]
        progress = self._progress() if self.resumable and isinstance(data.dataset, ClipDataset) else None
        return evaluate(runner.framework, data, metrics, resolution=self.resolution, max_seconds=self.max_seconds,
                        progress=progress)  # yapf: disable

    def _progress(self) -> SequenceProgress:
        runner = self.runner
        settings = dict(model=runner.cfg.get("model"), test_dataset=runner.test_dataset_cfg,
                        test_dataloader=runner.test_loader_cfg, seed=runner.seed)  # yapf: disable
        return SequenceProgress(Path(runner.work_dir), settings, bool(runner.resume_from),
                                partial(runner.call_hook, "after_test_iter"))

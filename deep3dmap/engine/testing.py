"""The test loop of all methods: render views, extract the mesh, let the metrics look at both."""

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
import trimesh
from mmengine.dist import get_dist_info, is_main_process
from torch import Tensor

from deep3dmap.annotations import NotNegative, Scale, Whole
from deep3dmap.errors import ConfigError
from deep3dmap.evaluation.base import Metric
from deep3dmap.frameworks.base import Framework
from deep3dmap.geometry.meshing import NoSurfaceError
from deep3dmap.processes import agree, from_first, gather_to_first
from deep3dmap.registry import LOOPS, METRICS


@dataclass
class TestedView:
    """A view beside its rendering.

    Attributes:
        name, split: of the view (``train`` or ``test``).
        photo, rendering: (h, w, 3) in [0, 1].
        mask: (h, w) of the rendering.
        normals: (h, w, 3) of the rendering, in the scene's frame, or None.
        metrics: the view's own figures.
    """

    name: str
    split: str
    photo: np.ndarray
    rendering: np.ndarray
    mask: np.ndarray
    normals: np.ndarray | None
    metrics: dict[str, float]


@dataclass
class TestResult:
    """What testing found.

    Attributes:
        metrics: figures by group.
        views: in the order in which they were rendered, held-out ones first.
        mesh: in the world's frame and units, or None.
        notes: what was left out, and why.
        files: texts that the metrics want written, by file name.
    """

    metrics: dict[str, dict[str, float]]
    views: list[TestedView] = field(default_factory=list)
    mesh: trimesh.Trimesh | None = None
    notes: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)


@LOOPS.register_module()
class ReconstructionTestLoop:
    """Renders the views of the test dataset, held-out ones first, and extracts the mesh.

    Several processes share the views; the first one extracts the mesh and measures, and all return what it found.

    Args:
        runner: the runner.
        resolution: of the mesh; 0 for none.
        scale: of the rendered pictures, relative to the photographs.
        max_seconds: no further view is begun when the next one would likely end later than this; at least one is rendered.
    """

    def __init__(self, runner, resolution: Whole = 256, scale: Scale = 1.0, max_seconds: NotNegative | None = None):
        if resolution < 0 or resolution == 1 or not 0 < scale <= 1:
            raise ConfigError(
                f"test_cfg: resolution={resolution} must be 0 (no mesh) or at least 2 and scale={scale} in (0, 1]")
        self.runner, self.resolution, self.scale, self.max_seconds = runner, resolution, scale, max_seconds

    def run(self) -> TestResult:
        """Test the runner's framework as it is."""
        runner, start = self.runner, time.perf_counter()
        framework = runner.framework
        training = framework.training
        framework.eval()
        dataset = runner.build_test_dataset()
        if not runner.info:
            runner.setup(dataset.info())
        metrics: list[Metric] = [METRICS.build(m) for m in runner.test_evaluator_cfg or ()]
        result = TestResult({})
        if is_main_process():
            result.mesh = self._mesh(framework, result.notes)
        self._views(framework, dataset, metrics, result, start)
        if is_main_process():
            for metric in metrics:
                metric.add_scene(framework, result.mesh, dataset)
            for metric in metrics:
                result.metrics |= metric.compute()
                result.files |= metric.files()
                result.notes += metric.notes()
        framework.train(training)
        return from_first(result)

    def _mesh(self, framework, notes: list[str]) -> trimesh.Trimesh | None:
        if not self.resolution:
            return None
        if type(framework).extract_mesh is Framework.extract_mesh:
            notes.append(f"{type(framework).__name__} has no mesh to give")
            return None
        try:
            return framework.extract_mesh(self.resolution)
        except NoSurfaceError:
            notes.append("the method has no surface yet, so there is no mesh")
            return None

    def _views(self, framework, dataset, metrics, result: TestResult, start: float) -> None:
        views = hasattr(dataset, "item_split")  # other datasets give plain items, which only the metrics look at
        order = sorted(range(len(dataset)), key=lambda k: views and dataset.item_split(k) != "test")
        if left_out := getattr(dataset, "left_out", 0):
            result.notes.append(f"{left_out} training views are not rendered, as test_dataset.train_views says")
        (rank, world), longest = get_dist_info(), 0.0
        for done in range(0, len(order), world):
            begun = time.perf_counter()
            if done and self.max_seconds is not None and any(agree(begun - start + longest > self.max_seconds)):
                result.notes.append(f"{len(order) - done} of {len(order)} views were not rendered: out of time")
                return
            mine = order[done + rank:done + rank + 1]  # every process renders one; the last round may leave some idle
            rendered = [self._render(framework, dataset, index, views) for index in mine]
            for item, prediction in itertools.chain(*gather_to_first(rendered)):
                figures: dict[str, float] = {}
                for metric in metrics:
                    figures |= metric.add_view(item, prediction)
                if views:
                    result.views.append(_tested(item, prediction, figures))
            longest = max(longest, time.perf_counter() - begun)

    def _render(self, framework, dataset, index: int, views: bool) -> tuple[Mapping, dict[str, Tensor]]:
        item = dataset.item(index, self.scale) if views else dataset[index]
        return item, {k: v.detach().cpu() for k, v in framework.test_step(item).items()}


def _tested(item: Mapping, prediction: Mapping[str, Tensor], figures: dict[str, float]) -> TestedView:

    def image(values):
        return values.reshape(*item["size"], -1).numpy()

    normals = prediction.get("normals")
    return TestedView(item["name"], item["split"], image(item["rgb"]), image(prediction["rgb"]),
                      image(prediction["mask"].to(torch.float32))[..., 0] > 0.5, None if normals is None else image(normals),
                      figures)  # yapf: disable

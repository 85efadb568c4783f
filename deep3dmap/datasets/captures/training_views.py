"""All training views at once: for methods that use whole photographs rather than rays."""

from collections.abc import Mapping

from torch import Generator, Tensor

from deep3dmap.datasets.captures.ray_batches import SceneDataset
from deep3dmap.datasets.captures.scene import load_scene
from deep3dmap.datasets.kinds import BatchDataset
from deep3dmap.registry import DATASETS


@DATASETS.register_module()
class TrainingViews(SceneDataset, BatchDataset):
    """One batch with every training view, in the scene's frame.

    It holds ``images`` (n, h, w, 3) uint8 or in [0, 1], ``masks`` (n, h, w) bool (left out without masks), ``projections``
    (n, 3, 4) from the scene to pixels and ``centers`` (n, 3) of the cameras. Every process gets the whole batch.

    Args:
        scene: arguments of :func:`deep3dmap.datasets.captures.scene.load_scene`.
    """

    def __init__(self, scene: Mapping):
        self.scene = load_scene(**scene)

    def __len__(self) -> int:
        return 1

    def batch(self, step: int, generator: Generator, rank: int = 0, world: int = 1) -> dict[str, Tensor]:
        """The same batch at every step."""
        capture = self.scene.train
        cameras = capture.scene_cameras
        masks = {} if capture.masks is None else dict(masks=capture.masks)
        return dict(images=capture.images, projections=cameras.projections, centers=cameras.centers, **masks)

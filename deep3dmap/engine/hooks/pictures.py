"""Pictures during training."""

from pathlib import Path

import torch
from jaxtyping import Float
from mmengine.hooks import Hook
from torch import Tensor

from deep3dmap.annotations import NotNegative, Scale
from deep3dmap.io.files import OptionalFiles
from deep3dmap.registry import HOOKS
from deep3dmap.visualization.pictures import save_image


@HOOKS.register_module()
class PictureHook(Hook):
    """Renders one test view at regular intervals, next to the photograph, into ``pictures/``; or the framework's own picture.

    Doesn't count as training time.

    Args:
        minutes: training minutes between two pictures.
        view: index in the test dataset (the last view is held out, if any is).
        scale: size relative to the photograph.
    """

    priority = "VERY_LOW"

    def __init__(self, minutes: NotNegative = 2.0, view: int = -1, scale: Scale = 0.5):
        self.seconds, self.view, self.scale = 60 * minutes, view, scale
        self._last, self._files = 0.0, OptionalFiles("pictures/")

    def before_train(self, runner) -> None:
        """Start the clock."""
        self._last = runner.train_loop.seconds

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Render if due."""
        if runner.train_loop.seconds - self._last >= self.seconds and runner.rank == 0:
            self._last = runner.train_loop.seconds
            self.draw(runner)

    def draw(self, runner) -> None:
        """Save the framework's picture, or photograph and rendering of the view side by side."""
        framework = runner.framework
        framework.eval()
        with runner.train_loop.averages.applied(framework), torch.no_grad():
            picture = framework.training_picture()
            picture = self._view(runner) if picture is None else picture
        framework.train()
        with self._files.writing(runner.logger.warning):
            save_image(Path(runner.work_dir) / "pictures" / f"step_{runner.iter:08d}.png", (picture * 255).byte().numpy())

    def _view(self, runner) -> Float[Tensor, "h w 3"]:
        item = runner.build_test_data().dataset.item(self.view, scale=self.scale)
        result = next(iter(runner.framework.reconstruct(item)))
        return torch.cat([item["rgb"].reshape(*item["size"], 3), result.images["rgb"]], 1).clamp(0, 1)

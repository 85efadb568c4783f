"""``--online`` and ``--mesh-every`` of ``reconstruct``: the mesh while a method goes through a recording."""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.hooks import Hook

from deep3dmap.apis.work_folder import GROWING, escaped
from deep3dmap.errors import ConfigError
from deep3dmap.frameworks.cards import card_of
from deep3dmap.geometry.meshing import NoSurfaceError
from deep3dmap.io.mesh_files import save_mesh
from deep3dmap.visualization.online import OnlineViewer


@contextmanager
def growing(cfg: Config, output: Path, mesh_every: int | None, online: bool,
            log: Callable[[str], object]) -> Iterator[list[Hook]]:  # yapf: disable
    """The hook for these options, if one is given. The page is closed after the block; on a terminal by Ctrl-C.

    Args:
        cfg: the run's config.
        output: folder of the result.
        mesh_every: fragments, or blocks of frames, between two meshes in the folder ``growing``; None for no meshes.
        online: show the mesh in a page.
        log: prints a line.

    Raises:
        ConfigError: if the method doesn't go through a recording.
        MissingDependencyError: for the page, without viser.
    """
    if mesh_every is None and not online:
        yield []
        return
    card = card_of(cfg.model.type)
    if card is None or not card.grows:
        raise ConfigError(f"--online and --mesh-every: the mesh of {cfg.model.type} doesn't grow along a recording")
    viewer = OnlineViewer() if online else None
    try:
        if viewer is not None:
            log(f"{viewer.address} shows the mesh as it grows")
        yield [GrowingMesh(output / GROWING, mesh_every, viewer)]
        if viewer is not None and sys.stdin.isatty():
            log(f"{viewer.address} stays open until Ctrl-C")
            with suppress(KeyboardInterrupt):
                threading.Event().wait()
    finally:
        if viewer is not None:
            viewer.close()


class GrowingMesh(Hook):
    """Writes and shows the mesh of what a framework has seen of a recording, its ``extract_mesh`` after each step.

    Args:
        folder: of the meshes ``NAME_0001.ply``, with the recording's name.
        every: steps between two meshes; None for none.
        viewer: shows the mesh after each step; None for none.
    """

    priority = "VERY_LOW"

    def __init__(self, folder: Path, every: int | None, viewer: OnlineViewer | None):
        self.folder, self.every, self.viewer = folder, every, viewer

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """After a batch of :class:`deep3dmap.datasets.RecordingFrames`."""
        if "poses" in data_batch:
            self._show(runner.framework, data_batch["name"], runner.train_loop.step, lambda: data_batch)

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """After an item of :class:`deep3dmap.datasets.Fragments`."""
        self._show(runner.framework, data_batch["name"], batch_idx + 1, lambda: _in_the_recordings_world(data_batch))

    def _show(self, framework, name: str, step: int, cameras: Callable[[], Mapping]) -> None:
        written = self.every is not None and step % self.every == 0
        if not written and self.viewer is None:
            return
        try:
            mesh = framework.extract_mesh()
        except NoSurfaceError:
            return
        if written:
            save_mesh(mesh, self.folder / f"{escaped(name)}_{step:04d}.ply")
        if self.viewer is not None:
            arrays = {key: np.asarray(cameras()[key]) for key in ("up", "poses", "image_K", "images")}
            self.viewer.show(mesh, arrays["up"], arrays["poses"], arrays["image_K"], arrays["images"])


def _in_the_recordings_world(fragment: Mapping) -> dict:
    """A fragment's cameras and pictures as in batches of :class:`deep3dmap.datasets.RecordingFrames`."""
    upright = fragment["upright"]
    return dict(up=upright[2, :3], poses=upright.inverse() @ fragment["poses"], image_K=fragment["intrinsics"],
                images=fragment["images"].permute(0, 2, 3, 1))  # yapf: disable

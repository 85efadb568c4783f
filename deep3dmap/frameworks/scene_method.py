"""Common to single-scene methods: the scene's frame, rendered views, the mesh."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from deep3dmap.frameworks.base import Framework
from deep3dmap.geometry.meshing import NoSurfaceError
from deep3dmap.structures import Cameras, Reconstruction


class SceneMethod(Framework):
    """A framework that renders rays (``predict`` returns ``rgb``, ``mask`` ...) and extracts a mesh; a mix-in.

    Attributes:
        scene_from_world: (4, 4) buffer, the similarity from the data's frame to the unit sphere.
    """

    needs = ("masks", )

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.register_buffer("scene_from_world", torch.eye(4, dtype=torch.float64))

    def setup(self, info: Mapping) -> None:
        """Set the scene's frame.

        Raises:
            DataError: if the data lack what the method ``needs``.
        """
        self.check_needs(info)
        if "scene_from_world" in info:
            self.scene_from_world.copy_(info["scene_from_world"])

    def trained_cameras(self) -> Cameras | None:
        """The trained cameras of the training views in the world, or None where cameras are fixed."""
        return None

    def reconstruct(self, batch: Mapping, resolution: int = 256) -> Iterator[Reconstruction]:
        """Images of a view, if the batch is one (``directions``, ``size``); otherwise the scene's mesh and cameras."""
        yield self._view(batch) if "directions" in batch else self._scene(batch["name"], resolution)

    def _view(self, view: Mapping) -> Reconstruction:
        predicted = {key: value.detach().cpu() for key, value in self.test_step(view).items()}
        return Reconstruction(view["name"], images={key: _image(value, view["size"]) for key, value in predicted.items()})

    def _scene(self, name: str, resolution: int) -> Reconstruction:
        result = Reconstruction(name, cameras=self.trained_cameras())
        try:
            result.mesh = self.extract_mesh(resolution) if resolution else None
        except NoSurfaceError:
            result.notes.append("the method has no surface yet, so there is no mesh")
        return result


def _image(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Values of rays in row-major order as an image (h, w) or (h, w, c)."""
    return values.reshape(*size, *values.shape[1:])

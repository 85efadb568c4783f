"""The visual hull (Laurentini, "The visual hull concept", PAMI 1994) coloured from the photographs.

Nothing is learned: the single training step carves the hull of the training views, meshes it, and colours its vertices
from the views. It is a quick preview, and the baseline for learned surfaces.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import trimesh
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor

from deep3dmap.errors import ConfigError, DataError
from deep3dmap.frameworks.base import CustomFramework
from deep3dmap.frameworks.scene_method import SceneMethod
from deep3dmap.geometry.meshing import NoSurfaceError, largest_component
from deep3dmap.geometry.painting import BLENDS, nearest_colors, paint_vertices, visible_vertices
from deep3dmap.geometry.ray_casting import cast_rays
from deep3dmap.geometry.visual_hull import hull_mesh
from deep3dmap.registry import FRAMEWORKS, nearest
from deep3dmap.renderers.mesh.drawing import as_meshes, surface_normals, texture_of
from deep3dmap.renderers.mesh.raycast import hit_fragments


@FRAMEWORKS.register_module()
class Hull(SceneMethod, CustomFramework):
    """The visual hull coloured from the photographs: no training, a mesh within seconds.

    A checkpoint holds the silhouettes and the coloured points; meshes of any resolution are carved from them.

    Args:
        resolution: cells along an edge of the cube around the scene's unit sphere, for colouring and rendering.
        tolerance: views whose silhouette may miss a point of the object.
        blend: of the colours of several views: ``mean`` or ``median``.
        power: views are weighted by this power of the cosine between normal and viewing direction.
        background: grey of rays that miss, in [0, 1].
        input_keys: see :class:`deep3dmap.frameworks.base.Framework`.

    Raises:
        ConfigError: if a value is out of its range.
    """

    def __init__(self,
                 resolution: int = 256,
                 tolerance: int = 0,
                 blend: str = "mean",
                 power: float = 2.0,
                 background: float = 1.0,
                 input_keys: Sequence[str] | Mapping[str, str] | None = None):
        super().__init__(input_keys=input_keys)
        if resolution < 2 or tolerance < 0 or power < 0:
            raise ConfigError(f"Hull: resolution={resolution} must be at least 2, tolerance={tolerance} and power={power} not "
                              "negative")
        if blend not in BLENDS:
            raise ConfigError(f"Hull: blend='{blend}': {nearest(blend, BLENDS)}")
        self.resolution, self.tolerance, self.blend, self.power = resolution, tolerance, blend, power
        self.background, self.source = background, "the data"
        self.state: dict = {}
        self._meshes: dict[tuple[int, bool], trimesh.Trimesh] = {}

    @property
    def device(self) -> torch.device:
        """The framework's device: it has no parameters."""
        return self.scene_from_world.device

    def setup(self, info: Mapping) -> None:
        """See :meth:`SceneMethod.setup`; stores the data's source."""
        self.source = info.get("source", self.source)
        super().setup(info)

    def forward(self, inputs: dict, mode: str = "tensor") -> dict:
        """Render rays, in every mode: there are no losses."""
        return self.predict(inputs)

    def train_step(self, data: Mapping, optim_wrapper: OptimWrapper | OptimWrapperDict) -> dict[str, Tensor]:
        """Carve and colour; the batch is that of :class:`deep3dmap.datasets.TrainingViews`.

        Returns:
            ``loss``: the fraction of the vertices that no view colours; ``vertices``: their number.

        Raises:
            DataError: if the silhouettes have no common point.
        """
        inputs = self.prepare_inputs(data, True)
        images, masks, projections, centers = (inputs[key] for key in ("images", "masks", "projections", "centers"))
        none = torch.zeros(0, 3)
        packed = torch.from_numpy(np.packbits(masks.cpu().numpy(), axis=2))  # eight pixels per byte
        self._set(dict(width=masks.shape[2], silhouettes=packed, projections=projections.cpu(), points=none, colors=none))
        try:
            mesh = self._carved(self.resolution, False)
        except NoSurfaceError as error:
            raise DataError(f"{self.source}: {error}. Run `deep3dmap check` for details; model.tolerance is how many views "
                            "may disagree") from None
        vertices, normals = (torch.tensor(np.asarray(x)) for x in (mesh.vertices, mesh.vertex_normals))
        colors, painted = paint_vertices(vertices, normals, visible_vertices(mesh, centers), images, masks, projections,
                                         centers, self.blend, self.power)  # yapf: disable
        colors, painted = colors.cpu(), painted.cpu()
        self._set(dict(self.state, points=vertices[painted], colors=colors[painted]))
        return dict(loss=1 - painted.float().mean(), vertices=torch.tensor(float(len(vertices))))

    def get_extra_state(self) -> dict:
        """What checkpoints hold besides buffers; its size depends on the data."""
        return self.state

    def set_extra_state(self, state: dict) -> None:
        """Restore the state of :meth:`get_extra_state`."""
        self._set(state)

    def _set(self, state: dict) -> None:
        self.state = dict(state)
        self._meshes.clear()

    def _carved(self, resolution: int, largest: bool) -> trimesh.Trimesh:
        """The coloured hull in the scene's frame, cached."""
        if (resolution, largest) in self._meshes:
            return self._meshes[resolution, largest]
        if not self.state:
            raise NoSurfaceError("nothing is carved yet: the hull needs its single training step")
        masks = np.unpackbits(self.state["silhouettes"].numpy(), axis=2, count=self.state["width"]).astype(bool)
        box = (torch.full((3, ), side, device=self.device) for side in (-1.0, 1.0))
        try:
            vertices, faces = hull_mesh(
                torch.from_numpy(masks).to(self.device), self.state["projections"].to(self.device), *box, resolution,
                self.tolerance)
        except ValueError as error:
            raise NoSurfaceError(str(error)) from None
        if largest:
            vertices, faces = largest_component(vertices, faces)
        colors = nearest_colors(vertices.double(), self.state["points"], self.state["colors"])
        mesh = trimesh.Trimesh(vertices.cpu().double().numpy(), faces.cpu().numpy(), process=False,
                               vertex_colors=(255 * colors).round().byte().numpy())  # yapf: disable
        self._meshes[resolution, largest] = mesh
        return mesh

    @torch.no_grad()
    def predict(self, inputs: dict) -> dict[str, Tensor]:
        """Render rays by casting them onto the mesh.

        Args:
            inputs: ``origins`` and ``directions`` (r, 3), unit, in the scene's frame.

        Returns:
            ``rgb`` (r, 3) in [0, 1], ``mask`` (r,) bool, ``distance`` (r,) along the ray in scene units (0 where it misses),
            ``normals`` (r, 3) unit, in the scene's frame (0 where it misses).
        """
        origins, directions = inputs["origins"], inputs["directions"]
        try:
            mesh = self._carved(self.resolution, True)
        except NoSurfaceError:
            nothing = torch.zeros_like(origins)
            return dict(rgb=nothing + self.background, mask=nothing[:, 0] > 0, distance=nothing[:, 0], normals=nothing)
        hits = cast_rays(mesh, origins, directions)
        fragments = hit_fragments(hits)
        rgb = fragments.to_images(texture_of(mesh).sample(fragments, as_meshes(mesh))[:, 0], self.background)[0, 0]
        return dict(rgb=rgb.to(origins),
                    mask=hits.hit.to(origins.device),
                    distance=hits.distance.to(origins),
                    normals=fragments.to_images(surface_normals(mesh, fragments))[0, 0].to(origins))

    def extract_mesh(self, resolution: int = 256, color: bool = True, largest: bool = True) -> trimesh.Trimesh:
        """The coloured hull, in the data's own frame and units.

        Args:
            resolution: cells along an edge of the cube around the scene's unit sphere. Colours are those of
                the model's resolution.
            color: give the vertices their colours.
            largest: keep only the largest connected component.

        Raises:
            ConfigError: if the resolution is below 2.
            NoSurfaceError: if nothing is carved yet, or the hull is empty at this resolution.
        """
        if resolution < 2:
            raise ConfigError(f"resolution={resolution}: a mesh needs at least 2 cells along an edge")
        mesh = self._carved(resolution, largest).copy()
        if not color:
            mesh.visual = trimesh.visual.ColorVisuals()
        return mesh.apply_transform(torch.linalg.inv(self.scene_from_world.cpu()).numpy())

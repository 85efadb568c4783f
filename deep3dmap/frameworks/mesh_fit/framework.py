"""A mesh fitted to photographs by differentiable rendering, from coarse to fine.

Each level starts from the surface of the previous one, remeshed on a finer grid (the first from the visual hull or a sphere),
and optimises its vertices so that renderings match silhouettes and photographs (Liu et al., "Soft Rasterizer", ICCV 2019), in
smooth coordinates (Nicolet et al., "Large steps in inverse rendering of geometry", SIGGRAPH Asia 2021).
"""

import gc
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
import trimesh
from jaxtyping import Float
from torch import Tensor, nn

from deep3dmap.errors import CheckpointError, ConfigError, DataError
from deep3dmap.frameworks.base import BaseFramework, Stage
from deep3dmap.frameworks.mesh_fit.start import MeshState, hull_start, remeshed, sphere_start
from deep3dmap.frameworks.scene_method import SceneMethod
from deep3dmap.geometry.meshing import NoSurfaceError
from deep3dmap.geometry.ray_casting import cast_rays
from deep3dmap.geometry.smoothing import SmoothCoordinates
from deep3dmap.registry import FRAMEWORKS
from deep3dmap.renderers.mesh.drawing import as_meshes, surface_normals, texture_of
from deep3dmap.renderers.mesh.raycast import hit_fragments
from deep3dmap.renderers.mesh.textures import VertexColors
from deep3dmap.structures import Cameras, Meshes

STARTS = ("hull", "sphere")
RENDERER = dict(type="MeshRenderer", shader=dict(type="MeshShader", shading="none", blending="outline", sigma=3e-5))


def check_level(name: str, level: Mapping) -> None:
    """Check a level's values.

    Raises:
        ConfigError: that names the level.
    """
    resolution, scale = level.get("resolution"), level["scale"]
    if not (level.keys() <= {"resolution", "scale"} and isinstance(resolution, int) and resolution >= 4
            and isinstance(scale, int | float) and 0 < scale <= 1):
        raise ConfigError(
            f"MeshFit: levels.{name}={dict(level)}: expected resolution, an integer of at least 4, and optionally "
            "scale, above 0 and at most 1")


class VertexValues(nn.Module):
    """A parameter with three values for each vertex, resized with the mesh."""

    def __init__(self):
        super().__init__()
        self.values = nn.Parameter(torch.zeros(0, 3))

    def replace(self, values: Float[Tensor, "v 3"]) -> None:
        """Assign values of any number of vertices; the parameter stays the same object."""
        gc.collect()  # a graph that lingers in a cycle of references keeps the parameter's node of the old size alive
        self.values.data = values.to(self.values)


@FRAMEWORKS.register_module()
class MeshFit(SceneMethod, BaseFramework):
    """A mesh with vertex colours, fitted to masks and photographs.

    Args:
        levels: by name of a stage of training: ``resolution``, grid cells along an edge of the cube around the
            scene's unit sphere at which the level's mesh is made, and ``scale`` of its images.
        start: the first level's surface: the visual ``hull`` of the training views, or a ``sphere``.
        radius: of the sphere, relative to the scene's unit sphere.
        smoothness: lambda of the smooth coordinates; see :class:`deep3dmap.geometry.smoothing.SmoothCoordinates`.
        background: grey of rays that miss, in [0, 1].
        renderer: config of a mesh renderer, which is called with meshes, cameras and a texture; :data:`RENDERER` by default.
        parts: ``losses``, ``input_keys`` of the base class.

    Raises:
        ConfigError: if a value is out of its range.
    """

    def __init__(self,
                 levels: Mapping[str, Mapping],
                 start: str = "hull",
                 radius: float = 0.6,
                 smoothness: float = 20.0,
                 background: float = 1.0,
                 renderer: dict | None = None,
                 **parts):
        super().__init__(renderer=renderer or RENDERER, **parts)
        if start not in STARTS:
            raise ConfigError(f"MeshFit: start='{start}': expected {' or '.join(STARTS)}")
        self.levels = {name: {"scale": 1.0, **level} for name, level in levels.items()}
        for name, level in self.levels.items():
            check_level(name, level)
        if smoothness < 0 or not 0 < radius < 1:
            raise ConfigError(f"MeshFit: smoothness={smoothness} must not be negative, radius={radius} between 0 and 1")
        self.stages = tuple(self.levels)
        self.start, self.radius, self.smoothness, self.background = start, radius, smoothness, background
        self.unknowns, self.colors = VertexValues(), VertexValues()
        self.register_buffer("faces", torch.zeros(0, 3, dtype=torch.int64))
        self._coordinates: SmoothCoordinates | None = None

    # --- the surface ----------------------------------------------------------------------------------------------------

    @property
    def coordinates(self) -> SmoothCoordinates:
        """The change of variables of the current mesh."""
        if self._coordinates is None:
            self._coordinates = SmoothCoordinates(self.faces, len(self.unknowns.values), self.smoothness)
        return self._coordinates

    def vertices(self) -> Tensor:
        """(v, 3) positions in the scene's frame, differentiable."""
        return self.coordinates.positions(self.unknowns.values)

    def begin_stage(self, stage: Stage, data: object) -> Sequence[str]:
        """Remesh the surface at the level's resolution; in the first stage, make the start surface."""
        level, views = self.levels[stage.name], data.scene.train
        try:
            if len(self.faces):
                state = remeshed(self.state(), views, level["resolution"])
            elif self.start == "hull":
                state = hull_start(views, level["resolution"])
            else:
                state = sphere_start(views, self.radius, level["resolution"])
        except NoSurfaceError as error:
            raise DataError(f"{views.source}: {error}") from None
        self.set_state(state)
        return ()

    def state(self) -> MeshState:
        """The current mesh, without gradients."""
        return MeshState(self.vertices().detach().cpu(), self.faces.cpu(), self.colors.values.detach().cpu())

    def set_state(self, state: MeshState) -> None:
        """Replace the mesh; parameters stay the same objects."""
        self.faces = state.faces.to(self.faces.device)
        self._coordinates = SmoothCoordinates(state.faces, len(state.vertices), self.smoothness)
        self.unknowns.replace(self._coordinates.encode(state.vertices))
        self.colors.replace(state.colors)

    def adapt_sizes(self, state: Mapping) -> None:
        """Resize the parameters to the numbers of vertices and faces of the weights.

        Raises:
            CheckpointError: if their shapes or face indices are inconsistent.
        """
        unknowns, colors, faces = (state.get(key) for key in ("unknowns.values", "colors.values", "faces"))
        if not all(
                isinstance(array, Tensor) and array.ndim == 2 and array.shape[1] == 3 for array in (unknowns, colors, faces)):
            return  # names and shapes are compared when they are loaded
        if len(colors) != len(unknowns) or len(faces) and not 0 <= int(faces.min()) <= int(faces.max()) < len(unknowns):
            raise CheckpointError(
                f"the weights of MeshFit are not a mesh: {len(unknowns)} vertices, {len(colors)} colours, faces "
                "with vertex indices out of range")
        self._coordinates, self.faces = None, torch.zeros_like(faces, device=self.faces.device)
        self.unknowns.replace(torch.zeros_like(unknowns))
        self.colors.replace(torch.zeros_like(colors))

    # --- interface --------------------------------------------------------------------------------------------------------

    def forward(self, inputs: dict, mode: str = "tensor") -> dict:
        """Losses of whole views, a prediction for rays, or renderings.

        Args:
            inputs: ``images``, ``masks``, ``K``, ``world_to_cam``, as of :class:`deep3dmap.datasets.TrainingViews`; for
                predictions ``origins`` and ``directions`` (r, 3) in the scene's frame.
            mode: ``loss``, ``predict`` or ``tensor``.
        """
        if mode == "predict":
            return self.predict(inputs)
        inputs = self._scaled(inputs)
        vertices = self.vertices()
        meshes = Meshes(vertices, self.faces, (len(vertices), ), (len(self.faces), ))
        cameras = Cameras(inputs["K"], inputs["world_to_cam"], tuple(inputs["images"].shape[1:3]))
        images = self.renderer(meshes, cameras, VertexColors(self.colors.values))
        outputs = dict(meshes=meshes, rgb=images.color, alpha=images.alpha, covered=images.alpha.detach() > 0.5)
        return self.compute_losses(outputs, inputs) if mode == "loss" else outputs

    def _scaled(self, inputs: dict) -> dict:
        """The views at the level's scale, in floating point."""
        scale = self.levels[self.stage.name]["scale"] if self.stage.name in self.levels else 1.0
        size = tuple(inputs["images"].shape[1:3])
        small = tuple(max(round(side * scale), 1) for side in size)
        images = inputs["images"].to(self.unknowns.values) / (255 if inputs["images"].dtype == torch.uint8 else 1)
        stacked = torch.cat([images, inputs["masks"].to(images)[..., None]], -1).permute(0, 3, 1, 2)
        stacked = F.interpolate(stacked, small, mode="area").permute(0, 2, 3, 1) if small != size else stacked.permute(
            0, 2, 3, 1)
        cameras = Cameras(inputs["K"].to(images), inputs["world_to_cam"].to(images), size).resized(small)
        return inputs | dict(images=stacked[..., :3], masks=stacked[..., 3], K=cameras.K, world_to_cam=cameras.world_to_cam)

    @torch.no_grad()
    def predict(self, inputs: dict) -> dict[str, Tensor]:
        """Render rays by casting them onto the mesh.

        Args:
            inputs: ``origins`` and ``directions`` (r, 3), unit, in the scene's frame.

        Returns:
            ``rgb`` (r, 3) in [0, 1], ``mask`` (r,) bool, ``distance`` (r,) along the ray in scene units (0 where it misses),
            ``normals`` (r, 3) unit, in the scene's frame (0 where it misses).
        """
        mesh, origins = self._mesh(), inputs["origins"]
        hits = cast_rays(mesh, origins, inputs["directions"])
        fragments = hit_fragments(hits)
        rgb = fragments.to_images(texture_of(mesh).sample(fragments, as_meshes(mesh))[:, 0], self.background)[0, 0]
        normals = fragments.to_images(surface_normals(mesh, fragments))[0, 0]
        return dict(rgb=rgb.to(origins), mask=hits.hit.to(origins.device), distance=hits.distance.to(origins),
                    normals=normals.to(origins))  # yapf: disable

    def extract_mesh(self, resolution: int = 256, color: bool = True, **options) -> trimesh.Trimesh:
        """The fitted mesh, in the data's own frame and units; its resolution is that of the last level.

        Raises:
            NoSurfaceError: before the first step of training.
        """
        if not len(self.faces):
            raise NoSurfaceError("MeshFit has no mesh before its first stage of training")
        mesh = self._mesh()
        if not color:
            mesh.visual = trimesh.visual.ColorVisuals()
        return mesh.apply_transform(torch.linalg.inv(self.scene_from_world.cpu()).numpy())

    def _mesh(self) -> trimesh.Trimesh:
        """The mesh in the scene's frame."""
        state = self.state()
        colors = (255 * state.colors.clamp(0, 1)).round().byte().numpy()
        return trimesh.Trimesh(state.vertices.double().numpy(), state.faces.numpy(), process=False,
                               vertex_colors=colors if len(colors) else None)  # yapf: disable

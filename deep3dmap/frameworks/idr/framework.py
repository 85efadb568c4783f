"""Implicit Differentiable Renderer: Yariv et al., "Multiview Neural Surface Reconstruction by Disentangling Geometry and
Appearance", NeurIPS 2020.

The surface is the zero set of a signed distance network. A ray is traced to it without gradients; the point found is made
differentiable by eq. 3; a second network gives its colour from point, normal, view direction and features. The loss combines
colours, masks and the eikonal equation (eq. 6 to 9).
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
import trimesh
from jaxtyping import Bool, Float
from torch import Tensor

from deep3dmap.annotations import Count, NotNegative, Share
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.frameworks.base import Framework
from deep3dmap.frameworks.idr.cameras import CameraPoses
from deep3dmap.frameworks.scene_method import SceneMethod
from deep3dmap.frameworks.step_chunks import SplitSteps
from deep3dmap.geometry.meshing import extract_surface, largest_component
from deep3dmap.processes import SharedDraws, shared_draws
from deep3dmap.registry import BACKBONES, FRAMEWORKS
from deep3dmap.renderers import DistanceCache, Trace, differentiable_intersection
from deep3dmap.renderers.implicit.ray_field import padded
from deep3dmap.structures import Cameras, RayBundle

#: Inputs with one entry per ray; ``camera_rotation`` may be one matrix for all rays instead.
PER_RAY = ("origins", "directions", "uv", "view", "near", "far")


@FRAMEWORKS.register_module()
class IDR(SceneMethod, SplitSteps):
    """Surface and appearance of an object from photographs, masks and (noisy) cameras.

    Stages: ``train`` is the paper's; ``fit_sdf`` fits the distance network to given distances (``points``, ``sdf``), to
    initialise it with a visual hull rather than a sphere.

    Args:
        geometry: config of the signed distance network.
        radiance: config of the colour network.
        renderer: config of the tracer.
        losses: terms by name; ``rgb``, ``eikonal``, ``mask`` and for ``fit_sdf`` ``sdf``.
        train_cameras: optimise the cameras as well; the config then needs an optimiser for the part ``cameras``.
        eikonal_samples: uniform points per ray for the eikonal term, in addition to the traced ones.
        background: colour of rays that miss, in [0, 1].
        least_slope: lower bound on the cosine between ray and normal in the gradient of a grazing ray's
            hit; see :func:`deep3dmap.renderers.implicit.differentiable_intersection`. 0 as in the paper.
        chunk: rays rendered at once when predicting.
        input_keys: see :class:`deep3dmap.frameworks.base.Framework`.
        step_chunk: rays (or points in ``fit_sdf``) per forward and backward pass in training; None for the whole batch.
            It bounds the memory, whatever the batch's size.
    """

    stages = ("train", "fit_sdf")
    mixed_precision = True
    item_keys, shared_keys, proportional_keys = ("origins", "uv", "points"), ("uniform_steps", ), ("eikonal_points", )

    def __init__(self,
                 geometry: Mapping,
                 radiance: Mapping,
                 renderer: Mapping,
                 losses: Mapping[str, Mapping],
                 train_cameras: bool = False,
                 eikonal_samples: NotNegative = 0.5,
                 background: Share = 1.0,
                 least_slope: Share = 0.0,
                 chunk: Count = 8192,
                 input_keys: Sequence[str] | Mapping[str, str] | None = None,
                 step_chunk: int | None = None):
        super().__init__(renderer=dict(renderer), losses=losses, input_keys=input_keys, step_chunk=step_chunk)
        self.geometry = BACKBONES.build(dict(type="SDFNetwork") | dict(geometry))
        self.radiance = BACKBONES.build(dict(type="RadianceNetwork") | dict(radiance))
        self.train_cameras, self.cameras = train_cameras, None
        self.eikonal_samples, self.background, self.chunk = eikonal_samples, background, chunk
        self.least_slope = least_slope
        if self.geometry.features != self.radiance.features:
            raise ConfigError(f"geometry gives {self.geometry.features} features but radiance takes {self.radiance.features}")

    # --- the contract -----------------------------------------------------------------------------------------------------

    def setup(self, info: Mapping) -> None:
        """Set the scene's frame, and the cameras if they are trained.

        Raises:
            DataError: if the data have no masks, or no cameras to train.
        """
        super().setup(info)
        if self.train_cameras:
            if "cam_to_world" not in info:
                raise DataError("train_cameras=True needs a dataset with cameras (info() with cam_to_world and K)")
            self.cameras = CameraPoses(info["cam_to_world"], info["K"])

    def forward(self, inputs: dict, mode: str = "tensor") -> dict:
        """See :class:`deep3dmap.frameworks.base.Framework`; inputs are those of ``RayBatches`` and ``Views``.

        Optional inputs ``uniform_steps`` and ``eikonal_points`` replace the random draws of training (see :meth:`draw`).
        """
        if mode == "predict":
            return self.predict(inputs)
        if self.stage.name == "fit_sdf":
            sdf, gradient, _ = self.geometry.sdf_and_gradient(inputs["points"])
            outputs = dict(sdf=sdf, eikonal_gradient=gradient)
        else:
            outputs = self.render(inputs, self.training)
        return self.compute_losses(outputs, inputs) if mode == "loss" else outputs

    def compute_losses(self, outputs: dict, inputs: dict) -> dict[str, Tensor]:
        """The weighted terms; ``sdf`` is used in the stage ``fit_sdf`` only, instead of ``rgb`` and ``mask``."""
        fitting = self.stage.name == "fit_sdf"
        active = [n for n in self.losses if (n in ("sdf", "eikonal") if fitting else n != "sdf")]
        active = [n for n in active if self.stage.losses is None or n in self.stage.losses]
        return {f"loss_{n}": self.losses[n].weight * self.losses[n](outputs, inputs) for n in active}

    def training_state(self) -> dict:
        """The tracer's cache."""
        return {} if self.renderer.cache is None else {"cache": self.renderer.cache.state()}

    def load_training_state(self, state: Mapping) -> None:
        """See :meth:`training_state`."""
        if self.renderer.cache is not None:
            self.renderer.cache.load(state.get("cache", {}))

    def take_appearance(self, other: Framework) -> None:
        """Use another IDR's colour network (Yariv et al. 2020, section 4.3)."""
        features = other.radiance.features if isinstance(other, IDR) else 0
        if features != self.radiance.features:
            raise ConfigError(f"its geometry gives {self.radiance.features} features but the {type(other).__name__} of the "
                              f"appearance takes {features}")
        self.radiance = other.radiance

    # --- rays -------------------------------------------------------------------------------------------------------------

    def rays(self, inputs: dict) -> tuple[RayBundle, Tensor | None]:
        """The inputs' rays and their camera-to-world rotations: of the trained cameras, if the view has one."""
        if self.cameras is not None and "view" in inputs:
            origins, directions, rotation = self.cameras(inputs["view"], inputs["uv"])
            return RayBundle(origins, directions), rotation
        rotation = inputs.get("camera_rotation")
        return RayBundle(inputs["origins"], inputs["directions"], inputs.get("near"), inputs.get("far")), rotation

    def trace(self,
              rays: RayBundle,
              mask: Bool[Tensor, "r"] | None,
              training: bool,
              uniform_steps: Tensor | None = None,
              cache: DistanceCache | None = None) -> Trace:
        """Trace rays without gradients; see :meth:`deep3dmap.renderers.SphereTracer.trace`."""
        rays = RayBundle(rays.origins.detach(), rays.directions.detach(), rays.near, rays.far)
        with torch.no_grad(), self.geometry.frozen():
            return self.renderer.trace(self.geometry.sdf, rays, mask, training, uniform_steps, cache)

    # --- training ---------------------------------------------------------------------------------------------------------

    def draw(self, inputs: dict, common: SharedDraws) -> dict:
        """Prepare a training step: update the tracer's cache, and draw the random numbers.

        Adds ``uniform_steps`` (samples,) in [0, 1], the same for all rays, and ``eikonal_points`` (m, 3), uniform in the cube
        around the bounding sphere, ``eikonal_samples`` per ray.
        """
        if self.stage.name == "fit_sdf":
            return inputs
        with torch.no_grad(), self.geometry.frozen():
            self.renderer.update_cache(self.geometry.sdf)
        steps = torch.rand(self.renderer.samples, generator=common.generator)
        points = torch.rand(int(common.total * self.eikonal_samples), 3, generator=common.generator)[common.share]
        draws = dict(uniform_steps=steps, eikonal_points=(points * 2 - 1) * self.renderer.radius)
        return {name: value.to(self.device) for name, value in draws.items()} | inputs

    def loss_count(self, name: str, inputs: Mapping) -> int:
        """Terms are means over rays (or points in ``fit_sdf``); the eikonal term's, over them and the uniform points."""
        return self.count_items(inputs) + (len(inputs.get("eikonal_points", ())) if name == "loss_eikonal" else 0)

    def render(self, inputs: dict, training: bool) -> dict[str, Tensor]:
        """Differentiable rendering of rays.

        Returns:
            ``rgb`` (r, 3) in [-1, 1], 1 where rays miss; ``hit`` (r,); ``sdf`` (r,) at the ``points`` (r, 3) traced;
            in training ``eikonal_gradient`` (m, 3): at uniform points first, then one per ray.
        """
        if training and not {"uniform_steps", "eikonal_points"} <= set(inputs):
            inputs = self.draw(inputs, shared_draws(self.count_items(inputs)))
        rays, rotation = self.rays(inputs)
        mask = inputs.get("mask")
        trace = self.trace(rays, mask, training, inputs.get("uniform_steps"))
        points = rays.points(trace.distance)
        sdf, gradient, uniform_gradient = self._geometry_at(points, inputs.get("eikonal_points"), training)
        surface = trace.hit & mask if training and mask is not None else trace.hit
        if training and torch.is_autocast_enabled(points.device.type):
            sdf = self._exact_values(sdf, points, ~surface)
        seen = points[surface]
        if training:
            seen = differentiable_intersection(sdf[surface], sdf[surface].detach(), gradient[surface].detach(),
                                               trace.distance[surface], rays.origins[surface], rays.directions[surface],
                                               self.least_slope)
        rgb = torch.ones_like(points)
        if surface.any():
            seen_from = [seen, rays.directions[surface], None if rotation is None else rotation[surface]]
            if torch.is_autocast_enabled(points.device.type):  # the number of points varies
                seen_from = [None if each is None else padded(each) for each in seen_from]
            rgb = rgb.index_put((surface, ), self.color(*seen_from)[:len(seen)].to(rgb))
        outputs = dict(rgb=rgb, hit=trace.hit, sdf=sdf, points=points)
        if training:
            outputs["eikonal_gradient"] = torch.cat([uniform_gradient, gradient])
        return outputs

    def _geometry_at(self, points: Tensor, uniform: Tensor | None, training: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Distances and gradients at the traced points, and gradients at uniform ones, in as few passes as possible.

        The eikonal term has no gradient for cameras, so trained cameras are detached from its points.
        """
        if not training:
            return (*self.geometry.sdf_and_gradient(points)[:2], points[:0])
        sdf, gradient, _ = self.geometry.sdf_and_gradient(torch.cat([uniform, points.detach()]))
        split = len(uniform)
        at_points = self.geometry.sdf(points).to(points.dtype) if points.requires_grad else sdf[split:]
        return at_points, gradient[split:], gradient[:split]

    def _exact_values(self, sdf: Tensor, points: Tensor, where: Bool[Tensor, "r"]) -> Tensor:
        """``sdf`` with float32 values where the mask loss needs them: it needs more than half precision.

        The gradients stay those of the mixed precision.
        """
        ray = where.nonzero()[:, 0]
        with torch.no_grad(), torch.autocast(points.device.type, enabled=False):
            exact = self.geometry.sdf(points[ray].detach())
        return sdf.index_add(0, ray, exact - sdf[ray].detach())

    def color(self, points: Tensor, directions: Tensor, rotation: Tensor | None = None) -> Float[Tensor, "n 3"]:
        """Colours in [-1, 1] of surface points seen along ``directions`` by cameras with camera-to-world ``rotation``."""
        _, gradient, features = self.geometry.sdf_and_gradient(points)
        camera_normals = None
        if self.radiance.camera_light:
            normals = F.normalize(gradient, dim=-1)
            facing = F.normalize(directions, dim=-1)
            camera_normals = (normals[:, None] @ rotation)[:, 0] if rotation is not None else _headlight(normals, facing)
        return self.radiance(points, gradient, -directions, features, camera_normals)

    # --- results ----------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def predict(self, inputs: dict) -> dict[str, Tensor]:
        """Render rays, in chunks.

        Args:
            inputs: ``origins`` and ``directions`` (r, 3); and optionally ``near``, ``far`` (r,), ``camera_rotation`` (3, 3) or
                (r, 3, 3), and for trained cameras ``view`` (r,) and ``uv`` (r, 2). Rays without a view, such as those of
                held-out photographs, are used as given.

        Returns:
            ``rgb`` (r, 3) in [0, 1], ``mask`` (r,) bool, ``distance`` (r,) along the ray in scene units (0 where it misses),
            ``normals`` (r, 3) unit, in the scene's frame (0 where it misses).
        """
        per_ray = {key: inputs[key] for key in PER_RAY if inputs.get(key) is not None}
        rotation = inputs.get("camera_rotation")
        if rotation is not None:
            per_ray["camera_rotation"] = rotation.expand(len(per_ray["origins"]), 3, 3)
        with self.geometry.frozen():
            cache = self.renderer.snapshot(self.geometry.sdf, len(per_ray["origins"]))
        chunks = [self._predict_chunk({key: value[s:s + self.chunk] for key, value in per_ray.items()}, cache)
                  for s in range(0, max(len(per_ray["origins"]), 1), self.chunk)]  # yapf: disable
        return {key: torch.cat([c[key] for c in chunks]) for key in chunks[0]}

    def _predict_chunk(self, inputs: dict, cache: DistanceCache | None) -> dict[str, Tensor]:
        rays, rotation = self.rays(inputs)
        trace = self.trace(rays, None, False, cache=cache)
        hit = trace.hit
        rgb = torch.full_like(rays.origins, self.background)
        normals = torch.zeros_like(rays.origins)
        if hit.any():
            rotation = None if rotation is None else rotation[hit]
            with self.geometry.frozen():
                rgb[hit] = self.color(trace.points[hit], rays.directions[hit], rotation).float() / 2 + 0.5
                normals[hit] = F.normalize(self.geometry.gradient(trace.points[hit]), dim=-1)
        return dict(rgb=rgb.clamp(0, 1), mask=hit, distance=trace.distance * hit, normals=normals)

    @torch.no_grad()
    def trained_cameras(self) -> Cameras | None:
        """The trained cameras of the training views in the world, or None if cameras are fixed."""
        if self.cameras is None:
            return None
        rows = torch.tensor([[[0.0, 0.0, 0.0, 1.0]]], dtype=torch.float64).repeat(len(self.cameras.K), 1, 1)
        scene = torch.cat([self.cameras.cam_to_world().cpu().double(), rows], 1)
        cameras = Cameras(self.cameras.K.cpu().double(), torch.linalg.inv(scene)[:, :3], (0, 0))
        return cameras.transformed(torch.linalg.inv(self.scene_from_world.cpu()))

    @torch.no_grad()
    def extract_mesh(self, resolution: int = 256, color: bool = True, largest: bool = True, **options) -> trimesh.Trimesh:
        """The zero set as a mesh with vertex colours, in the data's own frame and units.

        Args:
            resolution: cells along an edge of the cube around the bounding sphere.
            color: colour the vertices as seen along their normals.
            largest: keep only the largest connected component, as the paper's evaluation does.
            options: of :func:`deep3dmap.geometry.meshing.extract_surface`.

        Raises:
            ConfigError: if the resolution is below 2.
            NoSurfaceError: if there is no surface.
        """
        if resolution < 2:
            raise ConfigError(f"resolution={resolution}: a mesh needs at least 2 cells along an edge")

        def bounded_sdf(points: Tensor) -> Tensor:
            """The sdf restricted to the bounding sphere, beyond which nothing was trained."""
            points = points.to(self.device, torch.float32)
            return torch.maximum(self.geometry.sdf(points), points.norm(dim=-1) - self.renderer.radius)

        reach = self.renderer.radius * (1 + 2 / resolution)  # so that a surface reaching the sphere is closed within the grid
        with self.geometry.frozen():
            box = [-reach] * 3, [reach] * 3
            vertices, faces = extract_surface(bounded_sdf, *box, resolution, **options)
            if largest:
                vertices, faces = largest_component(vertices, faces)
            colors = self._colors_along_normals(vertices.to(self.device, torch.float32)) if color else None
        world = trimesh.transform_points(vertices.cpu().double().numpy(),
                                         torch.linalg.inv(self.scene_from_world.cpu()).numpy())
        colors = None if colors is None else (255 * colors).round().byte().cpu().numpy()
        return trimesh.Trimesh(world, faces.cpu().numpy(), vertex_colors=colors, process=False)

    @torch.no_grad()
    def surface_colors(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """The radiance network's colours as seen along the normals; see the base class."""
        scene = points @ self.scene_from_world[:3, :3].to(points).T + self.scene_from_world[:3, 3].to(points)
        with self.geometry.frozen():
            return self._colors_along_normals(scene.to(self.device, torch.float32))

    def _colors_along_normals(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """Colours in [0, 1] of points in the scene."""
        colors = []
        for part in points.split(self.chunk):
            normals = F.normalize(self.geometry.gradient(part), dim=-1)
            colors.append((self.color(part, -normals).clamp(-1, 1) + 1) / 2)
        return torch.cat(colors)


def _headlight(normals: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Normals in the frame of a camera that looks along ``directions``, of unknown roll."""
    depth = (normals * directions).sum(-1)
    side = (1 - depth**2).clamp(min=0).sqrt()
    return torch.stack([torch.zeros_like(depth), -side, depth], -1)

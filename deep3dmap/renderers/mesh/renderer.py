"""The mesh renderer: a rasteriser and a shader, selected by config."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deep3dmap.registry import RENDERERS, build_part
from deep3dmap.renderers.mesh.fragments import Fragments
from deep3dmap.renderers.mesh.lights import PLAIN, Lights, Material
from deep3dmap.renderers.mesh.shader import Scene
from deep3dmap.renderers.mesh.textures import Texture
from deep3dmap.structures import Cameras, Meshes


@dataclass(frozen=True)
class MeshImages:
    """Images of meshes.

    Attributes:
        color: RGB, in [0, 1] if lights and textures are.
        alpha: opacity; 1 inside outlines, in between at soft ones.
        depth: z of the nearest surface in the camera's frame, world units; 0 in the background. None if a renderer
            does not provide it.
        fragments: of the rasteriser, or None.
    """

    color: Float[Tensor, "n h w c"]
    alpha: Float[Tensor, "n h w"]
    depth: Float[Tensor, "n h w"] | None = None
    fragments: Fragments | None = None


@RENDERERS.register_module()
class MeshRenderer(nn.Module):
    """Renders meshes: rasterises, then shades. Differentiable in vertices, colours, textures, lights and cameras.

    Args:
        rasterizer: config of a rasteriser; the fast one by default.
        shader: config of a :class:`MeshShader`.
    """

    def __init__(self, rasterizer: dict | None = None, shader: dict | None = None):
        super().__init__()
        self.rasterizer = build_part(rasterizer or dict(type="FastRasterizer"), RENDERERS)
        self.shader = build_part(shader or dict(type="MeshShader"), RENDERERS)

    def forward(self,
                meshes: Meshes,
                cameras: Cameras,
                texture: Texture | None = None,
                lights: Lights | None = None,
                material: Material = PLAIN) -> MeshImages:
        """Images of mesh i seen by camera i; one mesh is seen by every camera, one camera sees every mesh.

        Args:
            meshes: in the world.
            cameras: images of one size.
            texture: of the meshes; grey without one.
            lights: None for the unlit colours of the texture.
            material: of the meshes.
        """
        fragments = self.rasterizer(meshes, cameras)
        color, alpha = self.shader(fragments, Scene(meshes, cameras, texture, lights, material))
        depth = torch.where(fragments.hit[:, 0], fragments.depth[:, 0], 0)
        return MeshImages(color, alpha, fragments.to_images(depth), fragments)

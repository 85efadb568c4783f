"""PyTorch3D's rasteriser and shaders (Ravi et al. 2020) as parts of a :class:`MeshRenderer`; PyTorch3D must be installed.

They can be combined with our shader and rasterisers. PyTorch3D has no wheels for all platforms: its installation page
describes how to build it.
"""

from collections.abc import Sequence
from types import SimpleNamespace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deep3dmap.errors import MissingDependencyError
from deep3dmap.registry import RENDERERS
from deep3dmap.renderers.mesh import pytorch3d_conversions as convert
from deep3dmap.renderers.mesh.fragments import Fragments
from deep3dmap.renderers.mesh.projection import check_batch
from deep3dmap.renderers.mesh.shader import GREY, Scene, check_blending
from deep3dmap.renderers.mesh.textures import VertexColors
from deep3dmap.structures import Cameras, Meshes

SHADINGS = ("phong", "gouraud", "flat", "none")
BLENDINGS = ("hard", "sigmoid", "softmax")


def load_pytorch3d() -> SimpleNamespace:
    """The package's ``structures``, ``renderer``, ``shading`` and ``blending``.

    Raises:
        MissingDependencyError: if it is not installed.
    """
    try:
        from pytorch3d import renderer, structures
        from pytorch3d.renderer import blending
        from pytorch3d.renderer.mesh import shading
    except ImportError as error:
        raise MissingDependencyError(
            "PyTorch3DRasterizer and PyTorch3DShader need PyTorch3D, built from source: pip install "
            f"--no-build-isolation 'git+https://github.com/facebookresearch/pytorch3d.git' ({error})") from None
    return SimpleNamespace(structures=structures, renderer=renderer, shading=shading, blending=blending)


@RENDERERS.register_module()
class PyTorch3DRasterizer(nn.Module):
    """PyTorch3D's rasteriser; single precision.

    Args:
        faces_per_pixel: number of nearest faces kept in each pixel.
        blur_radius: as of :class:`TorchRasterizer`; squared.
        perspective_correct: None: where the cameras have a perspective.
        cull_backfaces: drop faces whose corners run clockwise in the image.
        clip_barycentric: None: where there is a blur.
        near: faces are clipped at this depth, world units.

    Raises:
        MissingDependencyError: if PyTorch3D is not installed.
    """

    def __init__(self,
                 faces_per_pixel: int = 1,
                 blur_radius: float = 0.0,
                 perspective_correct: bool | None = None,
                 cull_backfaces: bool = False,
                 clip_barycentric: bool | None = None,
                 near: float = 1e-3):
        super().__init__()
        if faces_per_pixel < 1:
            raise ValueError(f"faces_per_pixel must be at least 1, got {faces_per_pixel}")
        if not blur_radius >= 0:
            raise ValueError(f"blur_radius must not be negative, got {blur_radius}")
        if not near > 0:
            raise ValueError(f"near must be positive, got {near}")
        self.package = load_pytorch3d()
        self.settings = dict(faces_per_pixel=faces_per_pixel, blur_radius=blur_radius, z_clip_value=near,
                             perspective_correct=perspective_correct, cull_backfaces=cull_backfaces,
                             clip_barycentric_coords=clip_barycentric)  # yapf: disable

    def forward(self, meshes: Meshes, cameras: Cameras) -> Fragments:
        """The fragments of mesh i seen by camera i; see :class:`TorchRasterizer`.

        Raises:
            ValueError: see :func:`check_batch`; for cameras with skew.
        """
        check_batch(meshes, cameras)
        views = max(len(meshes), len(cameras))
        settings = self.package.renderer.RasterizationSettings(image_size=tuple(cameras.size), **self.settings)
        rasterizer = self.package.renderer.MeshRasterizer(raster_settings=settings)
        theirs = rasterizer(_meshes(self.package, meshes, views), cameras=_cameras(self.package, meshes, cameras, views))
        images = (theirs.pix_to_face, *(x.to(meshes.vertices) for x in (theirs.zbuf, theirs.bary_coords, theirs.dists)))
        return convert.from_fragment_images(images, meshes)


@RENDERERS.register_module()
class PyTorch3DShader(nn.Module):
    """PyTorch3D's shading and blending; takes the arguments of :class:`MeshShader`, with fewer shadings and blendings.

    Args:
        shading: ``phong`` (light at every pixel), ``gouraud`` (at vertices), ``flat`` (at faces), ``none``.
        blending: ``hard`` (the nearest face), ``softmax`` (soft in colour and outline), ``sigmoid`` (soft outline).
        sigma: squared distance over which a face's edge fades.
        gamma: preference of softmax blending for near faces.
        background: RGB of the background.
        near: depth of largest nearness in softmax blending, world units.
        far: depth of nearness 0 in softmax blending, world units.

    Raises:
        MissingDependencyError: if PyTorch3D is not installed.
    """

    def __init__(self,
                 shading: str = "phong",
                 blending: str = "hard",
                 sigma: float = 1e-4,
                 gamma: float = 1e-4,
                 background: Sequence[float] = (1.0, 1.0, 1.0),
                 near: float = 1.0,
                 far: float = 100.0):
        super().__init__()
        for value, known, name in ((shading, SHADINGS, "shading"), (blending, BLENDINGS, "blending")):
            if value not in known:
                raise ValueError(f"{name}='{value}': expected one of {', '.join(known)}")
        check_blending(sigma, gamma, near, far)
        self.package = load_pytorch3d()
        self.shading, self.blending, self.planes = shading, blending, dict(znear=near, zfar=far)
        self.background = tuple(background)
        self.blend = self.package.renderer.BlendParams(sigma, gamma, self.background)

    def forward(self, fragments: Fragments, scene: Scene) -> tuple[Float[Tensor, "n h w c"], Float[Tensor, "n h w"]]:
        """Images of colours and opacities."""
        face, depth, barycentric, distance = convert.to_fragment_images(fragments, scene.meshes)
        theirs = self.package.renderer.mesh.rasterizer.Fragments(face, depth.float(), barycentric.float(), distance.float())
        colors = self._colors(theirs, scene, fragments.size[0])
        if self.blending == "softmax":
            image = self.package.blending.softmax_rgb_blend(colors, theirs, self.blend, **self.planes)
        else:
            blend = dict(hard="hard_rgb_blend", sigmoid="sigmoid_alpha_blend")[self.blending]
            image = getattr(self.package.blending, blend)(colors, theirs, self.blend)
        color, alpha = image.to(fragments.depth).split([len(self.background), 1], -1)
        seen = face[..., :1] >= 0  # PyTorch3D's sigmoid blending is black elsewhere
        background = torch.tensor(self.background).to(color)
        return torch.where(seen, color, background), alpha[..., 0]

    def _colors(self, theirs, scene: Scene, views: int) -> Float[Tensor, "n h w k c"]:
        """The colour of each face in its pixel."""
        package, texture = self.package, scene.texture or VertexColors(torch.full_like(scene.meshes.vertices, GREY))
        name, arguments = convert.texture_arguments(texture, scene.meshes, views)
        arguments = {k: [x.float() if x.is_floating_point() else x for x in v] if isinstance(v, list) else v
                     for k, v in arguments.items()}  # yapf: disable
        meshes = _meshes(package, scene.meshes, views, getattr(package.renderer, name)(**arguments))
        if self.shading == "none" or scene.lights is None:
            return meshes.sample_textures(theirs)
        device = scene.meshes.vertices.device
        name, arguments = convert.light_arguments(scene.lights)
        values = dict(meshes=meshes, fragments=theirs, cameras=_cameras(package, scene.meshes, scene.cameras, views),
                      lights=getattr(package.renderer, name)(device=device, **arguments),
                      materials=package.renderer.Materials(device=device,
                                                           **convert.material_arguments(scene.material)))  # yapf: disable
        if self.shading == "gouraud":
            return package.shading.gouraud_shading(**values)
        return getattr(package.shading, f"{self.shading}_shading")(texels=meshes.sample_textures(theirs), **values)


def _meshes(package, meshes: Meshes, views: int, textures=None):
    """PyTorch3D's batch of meshes, one for each view."""
    arguments = convert.mesh_arguments(meshes.to(torch.float32), views)
    return package.structures.Meshes(**arguments, textures=textures)


def _cameras(package, meshes: Meshes, cameras: Cameras, views: int):
    """PyTorch3D's cameras, on the meshes' device."""
    device = meshes.vertices.device
    name, arguments = convert.camera_arguments(cameras.to(device, torch.float32), views)
    return getattr(package.renderer, name)(device=device, in_ndc=True, **arguments)

"""The result of a picture: mesh, pictures, and videos of the object turned and relit, rendered and by the GAN.

The angles and lights are those of the authors' program (``save_results`` of GAN2Shape).
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from deep3dmap.annotations import Count, Positive
from deep3dmap.frameworks.gan2shape.canonical import Canonical
from deep3dmap.frameworks.gan2shape.pictures import depth_mesh, textured_depth_mesh, to_picture
from deep3dmap.frameworks.gan2shape.pseudo import lights_of, relit
from deep3dmap.io.textured_files import textured_files
from deep3dmap.renderers import DepthImageRenderer
from deep3dmap.renderers.depth_image import grids
from deep3dmap.renderers.depth_image.renderer import sweep
from deep3dmap.structures import Reconstruction
from deep3dmap.visualization.pictures import as_uint8, resize
from deep3dmap.visualization.video import video_bytes

#: Lights of the video: what is added to the directed light, y and x of its direction.
GAINS, LIGHT_Y, LIGHT_X = (0.3, 0.6), (0.0, 0.6), (-1.5, -0.7, 0.0, 0.7, 1.5)
FPS, LIGHTS_FPS = 12.0, 4.0
SIDE = 256  # of videos, pixels at least

#: Views of the turned pictures.
STILLS = sweep(1, 40.0, 5)


@dataclass
class Shown:
    """What is known of a picture.

    Attributes:
        image: the picture, colours in [-1, 1].
        found: see :meth:`.GAN2Shape.predict`.
        renderer: of depth images.
        ambient: see :class:`.pseudo.PseudoRanges`.
        inverted: the GAN's picture of its latent, if that is known.
        project: makes the GAN's pictures of renderings (b, 3, h, w).
    """

    image: Float[Tensor, "1 3 h w"]
    found: Mapping[str, Tensor]
    renderer: DepthImageRenderer
    ambient: float
    inverted: Float[Tensor, "1 3 h w"] | None
    project: Callable[[Tensor], Tensor]

    @property
    def canonical(self) -> Canonical:
        """The shape from the front."""
        depth = self.found["canonical_depth"]
        return Canonical(depth, self.found["albedo"], self.renderer.normals(depth), self.found["view"], self.found["light"])

    @property
    def images(self) -> dict[str, Tensor]:
        """Pictures: the given one, the GAN's of its latent, what is seen of the shape, maps of it, and what it looks like from
        the front and turned. Normals have the mesh's axes; in the picture of the depth, what is nearer is brighter."""
        found, renderer = {key: value.cpu() for key, value in self.found.items()}, self.renderer
        turned = renderer.turned(self.found["texture"], self.found["canonical_depth"], STILLS.to(self.image))[0]
        seen = found["visible"][0] > 0
        colors = dict(input=self.image) | ({} if self.inverted is None else dict(inverted=self.inverted))
        colors |= dict(rgb=found["image"], albedo=found["albedo"], canonical=found["texture"])
        colors |= {f"turned_{number}": each[None] for number, each in enumerate(turned)}
        far = torch.where(seen, found["depth"][0], 0.0).max()
        maps = dict(depth=(far - found["depth"][0]) * seen, mask=seen,
                    normals=found["normals"][0] * torch.tensor([-1.0, 1.0, 1.0]))  # yapf: disable
        return {name: to_picture(image[0].cpu()) for name, image in colors.items()} | maps


@dataclass(frozen=True)
class Outputs:
    """What is written of a picture.

    Attributes:
        videos: whether there are videos.
        frames: views of the video that turns the object about its vertical axis; half of them of the one about the other.
        yaw, pitch: their largest angles, degrees; 45 for yaw of cars and churches, as published.
        batch: pictures that the GAN makes at a time.
        obj: also ``mesh.obj`` with its material and texture.
    """

    videos: bool = True
    frames: Count = 25
    yaw: Positive = 70.0
    pitch: Positive = 20.0
    batch: Count = 8
    obj: bool = False

    def of(self, name: str, shown: Shown, meshes: bool) -> Reconstruction:
        """The result of a picture.

        Args:
            name: of the picture.
            shown: what is known of it.
            meshes: whether it has meshes and videos.
        """
        arrays = {key: value[0].cpu() for key, value in shown.found.items() if key != "image"}
        if not meshes:
            return Reconstruction(name, images=shown.images, arrays=arrays)
        placed = shown.renderer, arrays["canonical_depth"], arrays["albedo"]
        formats, textured = ("mesh.glb", "mesh.obj")[:1 + self.obj], textured_depth_mesh(*placed)
        files = {part: data for each in formats for part, data in textured_files(textured, each).items()}
        missing = [] if shown.inverted is not None else [f"{name}: no pictures by the GAN, since its latent isn't known"]
        return Reconstruction(name, depth_mesh(*placed), shown.images, arrays, files=files | self.films(shown), notes=missing)

    def films(self, shown: Shown) -> dict[str, bytes]:
        """Videos by name: ``yaw.mp4``, ``pitch.mp4`` and ``lights.mp4``, and those of the GAN, ``yaw_gan.mp4`` and so on."""
        if not self.videos:
            return {}
        turns = dict(yaw=sweep(1, self.yaw, self.frames), pitch=sweep(0, self.pitch, (self.frames + 1) // 2))
        scenes = {name: _turned(shown, views) for name, views in turns.items()} | dict(lights=_relit(shown))
        files = {}
        for name, (drawn, sampled) in scenes.items():
            made = {} if shown.inverted is None else {f"{name}_gan": map(shown.project, sampled.split(self.batch))}
            for key, images in ({name: [drawn]} | made).items():
                lights = name == "lights"
                files[f"{key}.mp4"] = video_bytes(_frames(torch.cat(list(images)), not lights), LIGHTS_FPS if lights else FPS)
        return files


def _turned(shown: Shown, views: Float[Tensor, "t 6"]) -> tuple[Float[Tensor, "t 3 h w"], Float[Tensor, "t 3 h w"]]:
    """The shape in the picture's light from other views: drawn as a mesh, and sampled as pseudo samples are."""
    texture, depth = shown.found["texture"], shown.found["canonical_depth"]
    drawn, sampled = (shown.renderer.turned(texture, depth, views.to(texture), mesh=mesh)[0] for mesh in (True, False))
    return drawn, sampled


def _relit(shown: Shown) -> tuple[Float[Tensor, "t 3 h w"], Float[Tensor, "t 3 h w"]]:
    """The shape as the picture sees it, in other lights; see :func:`_turned`."""
    canonical, renderer = shown.canonical, shown.renderer
    gain, y, x = torch.tensor(list(itertools.product(GAINS, LIGHT_Y, LIGHT_X))).to(canonical.light).T
    textures = relit(canonical, lights_of(canonical, torch.stack([x, y], 1), gain, shown.ambient))
    depth, view = (each.expand(len(textures), *each.shape[1:]) for each in (canonical.depth, canonical.view))
    points = grids.moved(renderer.points(depth), view, renderer.center)
    drawn = torch.cat([renderer.drawn(*each) for each in zip(textures.split(1), points.split(1))])
    return drawn, renderer.sampled(textures, depth, view)


def _frames(images: Float[Tensor, "t 3 h w"], back: bool) -> Iterator[UInt8[np.ndarray, "s s 3"]]:
    """A video's frames, with ``back`` there and back."""
    frames = [as_uint8(to_picture(image).cpu().numpy()) for image in images]
    frames = [resize(frame, (max(len(frame), SIDE), ) * 2) for frame in frames]
    yield from frames + frames[-2:0:-1] * back

"""Synthetic faces that are all placed alike before a plain background: pictures for a GAN, with the shape that they show.

As the synthetic faces of Wu et al., "Unsupervised learning of probably symmetric deformable 3D objects from images in the
wild" (CVPR 2020), on which GAN2Shape is measured: a narrow angle of view, heads that turn about a fixed point, one light.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from deep3dmap.annotations import Count, Whole
from deep3dmap.datasets.faces.synthetic.dataset import COUNTS, SPLITS
from deep3dmap.datasets.faces.synthetic.heads import DIRECTIONS, Head, Wardrobe, dressed, wardrobe
from deep3dmap.datasets.faces.synthetic.lighting import irradiance, lobe
from deep3dmap.datasets.faces.synthetic.people import Sitter, draw_expression, head_rotation
from deep3dmap.datasets.faces.synthetic.rendering import albedo_of, shaded, visible_surface
from deep3dmap.datasets.kinds import ItemDataset
from deep3dmap.datasets.synthetic import head_appearance as look
from deep3dmap.errors import ConfigError
from deep3dmap.geometry.visible_surface import sphere_points
from deep3dmap.io.images import read_image, write_image
from deep3dmap.registry import DATASETS, nearest
from deep3dmap.renderers.mesh.rasterizer import FastRasterizer
from deep3dmap.structures import Cameras, Meshes

FOV = 10.0  # degrees along a side of the picture
PIVOT = np.array([0.0, 0.8, 4.0])  # point of heads that is in the middle of all pictures, cm
SIDE = 23.0  # of what pictures show there, cm
DISTANCE = SIDE / 2 / np.tan(np.radians(FOV / 2))
YAW, PITCH, ROLL = 40.0, 12.0, 4.0  # largest angles, degrees
SAMPLES = 3  # of a pixel along each axis; odd, so that one is in its centre


@DATASETS.register_module()
class AlignedFaces(ItemDataset):
    """Pictures of random people, rendered from the ICT face model, all placed alike before a plain background.

    An item depends only on seed, split and index. It has ``img`` (s, s, 3) uint8 RGB. With ``truth`` it also has, at the
    pixels' centres: ``mask`` (s, s) of the head, ``depth`` (s, s) along the camera's z axis in centimetres, 0 beside the
    head; ``normal`` (s, s, 3), outward in the camera's axes; ``albedo`` (s, s, 3) in [0, 1]; and the camera's ``K`` (3, 3) in
    pixels, its ``world_to_cam`` (3, 4) from the head model's axes, and ``light`` (3,), the unit direction towards the light
    in the camera's axes.

    Args:
        split: ``train``, ``validation`` or ``test``; no person is in two of them.
        count: number of pictures; by default 20,000 for training and 500 for the others.
        size: of the pictures, pixels.
        truth: whether items have the shape; they are rendered again each time.
        seed: of all pictures.
        model: the face model: a name below ``DEEP3DMAP_DATA``, a folder, a file.
        cache: folder in which rendered pictures are kept as PNG, 0.01 MB each; None renders them again in every epoch.
        pipeline: see :class:`ItemDataset`.

    Raises:
        ConfigError: if there is no such split.
    """

    def __init__(self,
                 split: str = "train",
                 count: Count | None = None,
                 size: Count = 64,
                 truth: bool = False,
                 seed: Whole = 0,
                 model: str = "ict_face",
                 cache: str | None = None,
                 pipeline: Sequence[Mapping] = ()):
        super().__init__(pipeline)
        if split not in SPLITS:
            raise ConfigError(f"AlignedFaces: there is no split '{split}': {nearest(split, SPLITS)}")
        self.split, self.count, self.size, self.truth = split, count or COUNTS[split], size, truth
        self.seed, self.model = seed, model
        self.cache = None if cache is None else Path(cache) / f"aligned_{Path(model).stem}_{split}_{size}_{seed}"

    def __len__(self) -> int:
        return self.count

    def load(self, index: int) -> dict:
        """A picture, with its truth if that is asked for."""
        name = dict(name=f"{self.split}_{index:06d}")
        if self.truth or self.cache is None:
            made = self._rendered(index)
            return name | (made if self.truth else dict(img=made["img"]))
        path = self.cache / f"{index // 1000:03d}" / f"{index:06d}.png"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, torch.from_numpy(self._rendered(index)["img"]))
        return name | dict(img=read_image(path).numpy())

    def _rendered(self, index: int) -> dict[str, np.ndarray]:
        return aligned_face(wardrobe(self.model), self.size, [self.seed, SPLITS.index(self.split), index])


def aligned_face(shared: Wardrobe, size: int, seed: list[int]) -> dict[str, np.ndarray]:
    """A random face with its truth; see :class:`AlignedFaces`.

    Args:
        shared: of all faces.
        size: of the picture, pixels.
        seed: of everything random.
    """
    random, skin = np.random.default_rng([*seed, 0]), np.random.default_rng([*seed, 1])
    identity, rotation = shared.draw_identity(random), head_rotation(*random.uniform(-1, 1, 3) * (YAW, PITCH, ROLL))
    sitter = Sitter(identity, draw_expression(shared.model, random), rotation, float(DISTANCE))
    head = dressed(shared, sitter.identity, sitter.expression, [])
    camera = _camera(rotation, SAMPLES * size)
    fragments = FastRasterizer()(Meshes.pack([torch.from_numpy(head.vertices).float()], [torch.from_numpy(head.faces)]),
                                 camera)
    light, toward = _lit(head, rotation, random)
    surface = visible_surface(head, fragments, light)
    albedo = albedo_of(look.Person.drawn(skin), surface, skin).clamp(0, 1)
    color = shaded(albedo, surface, sitter, toward @ rotation, float(random.uniform(0, 1)))
    normal = surface.normal @ torch.from_numpy(rotation.T).float()
    covered = fragments.scatter(torch.cat([color, albedo, normal], 1))[:, 0]
    color, albedo, normal = fragments.to_images(covered)[0].numpy().reshape(*[SAMPLES * size] * 2, 3, 3).transpose(2, 0, 1, 3)
    hit = fragments.to_images(fragments.hit[:, 0])[0].numpy()
    depth = fragments.to_images(fragments.depth[:, 0])[0].numpy()
    ground = _background(random)
    picture = _mean(np.where(hit[..., None], color, ground).clip(0, 1))
    centre = np.s_[SAMPLES // 2::SAMPLES, SAMPLES // 2::SAMPLES]
    pixels = _camera(rotation, size)
    return dict(img=(picture * 255).round().astype(np.uint8), mask=hit[centre], depth=depth[centre], normal=normal[centre],
                albedo=albedo[centre], K=pixels.K[0].numpy(), world_to_cam=pixels.world_to_cam[0].numpy(),
                light=toward.astype(np.float32))  # yapf: disable


def _camera(rotation: Float[np.ndarray, "3 3"], size: int) -> Cameras:
    """A camera that has the pivot in the middle of a square picture."""
    focal = size / 2 / np.tan(np.radians(FOV / 2))
    K = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]], dtype=torch.float32)
    offset = np.array([0, 0, DISTANCE]) - rotation @ PIVOT
    return Cameras(K[None], torch.from_numpy(np.column_stack([rotation, offset])).float()[None], (size, size))


def _lit(head: Head, rotation: Float[np.ndarray, "3 3"],
         random: np.random.Generator) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "3"]]:  # yapf: disable
    """Irradiance of the vertices by one light from the front and a weaker one from everywhere; the direction of the former in
    the camera's axes."""
    directions = sphere_points(DIRECTIONS)
    toward = np.array([random.normal(0, 0.6), random.normal(-0.3, 0.4), -1.0])
    toward /= np.linalg.norm(toward)
    tint = 1 + random.normal(0, 0.04, 3)
    radiance = random.uniform(0.2, 0.7) * tint + lobe(directions @ rotation.T, toward, 8.0, tint)
    return irradiance(head, directions, radiance, random.uniform(0.75, 1.1)), toward


def _background(random: np.random.Generator) -> Float[np.ndarray, "3"]:
    """A colour, mostly pale or dark."""
    color, grey = random.uniform(0, 1, 3), random.uniform(0.05, 0.95)
    return (grey + 0.3 * (color - color.mean())).clip(0, 1)


def _mean(picture: Float[np.ndarray, "n n 3"]) -> Float[np.ndarray, "s s 3"]:
    """The means of the pixels' samples."""
    size = len(picture) // SAMPLES
    return picture.reshape(size, SAMPLES, size, SAMPLES, 3).mean((1, 3))

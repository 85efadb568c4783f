"""Transforms of faces: random boxes and occlusions, the crop that the network gets, and aligned faces as objects.

Items have ``img`` (h, w, 3) uint8 RGB and ``box`` (left, top, right, bottom); ``position_map``, where it is known, follows the
crop. NumPy's global generator is seeded for every item.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.annotations import Count, NotNegative, Positive, Share
from deep3dmap.datasets.faces.detection import face_detector
from deep3dmap.datasets.faces.detection.boxes import overlaps
from deep3dmap.datasets.faces.detection.given import WholePicture
from deep3dmap.datasets.faces.synthetic.aligned import DISTANCE
from deep3dmap.datasets.faces.synthetic.surroundings import occluder
from deep3dmap.geometry.face_crops import CropRule, box_crop, crop_photograph, to_crop, turned_crop, z_from_zero
from deep3dmap.registry import TRANSFORMS

GREY = (0.6, 0.5, 0.45)  # skin of a hand, where no person's is known


@TRANSFORMS.register_module()
class RandomFaceBox:
    """Moves, scales and turns the box, as an imprecise detector would and more.

    The crop turns with it, and so does the target; the item's other labels stay those of the picture.

    Args:
        shift: largest move along each axis, of the box's size.
        scale: smallest and largest factor of the size.
        rotation: largest rotation, degrees.
    """

    def __init__(self, shift: NotNegative = 0.1, scale: tuple[float, float] = (0.85, 1.2), rotation: NotNegative = 30.0):
        self.shift, self.scale, self.rotation = shift, scale, rotation

    def __call__(self, item: dict) -> dict:
        """The item with another ``box``, and the ``angle`` by which the crop is turned."""
        box = np.asarray(item["box"], np.float64)
        size = (box[2:] - box[:2]).mean()
        centre = (box[:2] + box[2:]) / 2 + np.random.uniform(-self.shift, self.shift, 2) * size
        half = (box[2:] - box[:2]) / 2 * np.exp(np.random.uniform(*np.log(self.scale)))
        box = np.concatenate([centre - half, centre + half]).astype(np.float32)
        return item | dict(box=box, angle=float(np.random.uniform(-self.rotation, self.rotation)))


@TRANSFORMS.register_module()
class DetectedBox:
    """Replaces the box, as it is known for an annotated face, by that of a detector.

    Where it finds no face, the crop is made of the whole picture, as by the detector ``none``: the error then made counts.

    Args:
        detector: see :func:`deep3dmap.datasets.faces.detection.face_detector`.
    """

    def __init__(self, detector: str = "auto"):
        self.detect = face_detector(detector)

    def __call__(self, item: dict) -> dict:
        """The item with the detected box that overlaps the face's most."""
        boxes = self.detect(item["img"]) or WholePicture()(item["img"])
        found = np.array([box[:4] for box in boxes], np.float32)
        return item | dict(box=found[overlaps(np.asarray(item["box"], np.float32), found).argmax()])


@TRANSFORMS.register_module()
class RandomOcclusion:
    """Puts a hand-like shape, a patterned blob or a bar in front of some faces.

    Args:
        prob: share of the faces.
    """

    def __init__(self, prob: Share = 0.3):
        self.prob = prob

    def __call__(self, item: dict) -> dict:
        """The item, perhaps with another ``img``."""
        random = np.random.default_rng(np.random.randint(2**31))
        if random.random() >= self.prob:
            return item
        box, image = np.asarray(item["box"]), item["img"]
        size, middle = min(image.shape[:2]), (box[:2] + box[2:]) / 2
        left, top = np.clip(middle - size / 2, 0, np.subtract(image.shape[1::-1], size)).astype(int)
        cover, texture = occluder(size, middle - (left, top), float((box[2:] - box[:2]).mean() / 2), GREY, random)
        square = np.s_[top:top + size, left:left + size]
        mixed = image[square] + cover[..., None] * (255 * texture - image[square])
        image = image.copy()
        image[square] = mixed.clip(0, 255).round().astype(np.uint8)
        return item | dict(img=image)


@TRANSFORMS.register_module()
class PackFace:
    """The crop around the box as tensors: ``img`` (3, s, s) in [0, 1], the similarity ``crop`` (3, 3) from the picture, and,
    if the position map is known, ``target``: the map in the crop's pixels, its z from 0.

    All else stays in pixels of the picture.

    Args:
        size: of the crop, pixels.
        margin: side of the crop, in mean sides of the box.
    """

    def __init__(self, size: Count = 256, margin: Positive = 1.6):
        self.size, self.margin = size, margin

    def __call__(self, item: dict) -> dict:
        """The packed item, without its ``angle``."""
        item = dict(item)
        box = torch.from_numpy(np.asarray(item["box"], np.float64))
        crop = turned_crop(box_crop(box, self.size, CropRule(self.margin)), self.size, item.pop("angle", 0.0))
        packed = item | dict(img=(crop_photograph(item["img"], crop, self.size) / 255).float(), crop=crop.float())
        if "position_map" in item:
            packed["target"] = map_in_crop(torch.from_numpy(item["position_map"]), crop.float())
        return packed


@TRANSFORMS.register_module()
class PackObject:
    """An item of :class:`.AlignedFaces` with its truth as one of :class:`.ObjectPictures`: ``image`` (3, s, s) in [-1, 1],
    ``mask`` (1, s, s), and the true ``depth`` (s, s) in distances of the point that heads turn about, as GAN2Shape has it.

    Args:
        mask: whether the method gets the true mask, too.
        background: depth beside the head, which must be more than that of all of the head.
    """

    def __init__(self, mask: bool = False, background: Positive = 1.5):
        self.mask, self.background = mask, background

    def __call__(self, item: dict) -> dict:
        """The packed item; it has nothing else of the truth."""
        head = torch.from_numpy(item["mask"])
        depth = torch.from_numpy(item["depth"]) / float(DISTANCE)
        packed = dict(name=item["name"], image=torch.from_numpy(item["img"]).permute(2, 0, 1) / 127.5 - 1,
                      depth=torch.where(head, depth, self.background))  # yapf: disable
        return packed | (dict(mask=head[None].float()) if self.mask else {})


def map_in_crop(position_map: Float[Tensor, "3 m m"], crop: Float[Tensor, "3 3"]) -> Float[Tensor, "3 m m"]:
    """A position map in the crop's pixels, z from 0 at the face's farthest point; still 0 outside the face."""
    face, moved = (position_map != 0).any(0), torch.zeros_like(position_map)
    moved[:, face] = z_from_zero(to_crop(position_map[:, face].T, crop)).T
    return moved

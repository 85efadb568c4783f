"""A user's photographs of faces, cropped so that a GAN of aligned faces and its methods take them."""

from collections.abc import Sequence
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from deep3dmap.annotations import Count
from deep3dmap.datasets.faces.detection import FaceBox
from deep3dmap.datasets.faces.detection.given import WholePicture
from deep3dmap.datasets.faces.photos import FacePhotos, Picture
from deep3dmap.datasets.image_folder import squared
from deep3dmap.datasets.salient import SIZE as SALIENT_SIZE
from deep3dmap.datasets.salient import SalientObjects
from deep3dmap.errors import MissingDependencyError
from deep3dmap.geometry.face_crops import CropRule, box_crop, crop_photograph
from deep3dmap.registry import DATASETS

#: The pictures of :class:`.AlignedFaces` around the box of the 68 landmarks: their side in mean sides of the box, and how far
#: their middle is below the box's; means of 400 people with random expressions in views of that data set.
ALIGNED = CropRule(1.58, -0.128)
#: Where heads of that data set are: middle from the top, half height and half width of an ellipse, in sides.
HEAD_DOWN, HEAD_HEIGHT, HEAD_WIDTH = 0.42, 0.66, 0.34


@DATASETS.register_module()
class AlignedPhotos(FacePhotos):
    """The largest face in each picture, placed as those of :class:`.AlignedFaces`: 23 cm a side, the same point in the middle.

    An item has ``image`` (3, s, s) float32 RGB in [-1, 1]; beyond the photograph's edge its outer pixels are repeated. With
    the detector ``none`` the picture's middle square is used as it is. The person's ``mask`` (1, s, s) in [0, 1] is what
    :class:`.SalientObjects` finds in the square, where it is installed, or else :func:`usual_place`.

    The place follows from the box of the face's landmarks. With true landmarks of ``AlignedFaces`` the side is right within
    5 % and the middle within 1.3 % of the side across and 3.1 % up and down (standard deviations). Faces aren't turned
    upright.

    Args:
        source, detector, given, every, pipeline: of :class:`FacePhotos`.
        size: of the results, pixels along a side.

    Raises:
        DataError: as :class:`FacePhotos`; pictures in which the square around the face has fewer pixels than ``size`` are left
            out, too.
    """

    def __init__(self, source: str, size: Count = 64, detector: str = "auto", given: str | None = None, every: Count = 1,
                 pipeline: Sequence[dict] = ()):  # yapf: disable
        self.size = size
        super().__init__(source, detector, given, every, pipeline)

    def _faces_in(self, picture: Picture) -> list[tuple[Picture, FaceBox]]:
        """The largest face of a picture, if there is one that is large enough."""
        found = super()._faces_in(picture)[:1]
        if found and (side := self._side(picture, found[0][1])) < self.size:
            self.notes.append(f"{picture.path}: the square around the face has {side:.0f} pixels a side, fewer than the "
                              f"{self.size} needed; use a larger picture")
            return []
        return found

    def _side(self, picture: Picture, box: FaceBox) -> float:
        """Pixels along a side of what is cut from a picture."""
        if isinstance(self.detect, WholePicture):
            return min(self._image(picture).shape[:2])
        return ALIGNED.growth * (box.right - box.left + box.bottom - box.top) / 2

    def load(self, index: int) -> dict:
        """A face."""
        name, picture, box = self.faces[index]
        image = self._square(picture, box, self.size) / 127.5 - 1
        return dict(name=name, image=image, mask=self._mask(picture, box)[None])

    def _square(self, picture: Picture, box: FaceBox, size: int) -> Float[Tensor, "3 s s"]:
        """The square around a face, values from 0 to 255."""
        image = self._image(picture)
        if isinstance(self.detect, WholePicture):
            return torch.from_numpy(squared(image, size)).permute(2, 0, 1).float()
        return crop_photograph(image, aligned_crop(box, size), size, "border").float()

    @cached_property
    def _network(self) -> SalientObjects | None:
        try:
            return SalientObjects()
        except MissingDependencyError:
            return None

    def _mask(self, picture: Picture, box: FaceBox) -> Float[Tensor, "s s"]:
        if self._network is None:
            return usual_place(self.size)
        square = self._square(picture, box, SALIENT_SIZE).round().byte()
        found = torch.from_numpy(self._network.mask(square.permute(1, 2, 0).numpy()))
        return adaptive_avg_pool2d(found[None, None].float(), self.size)[0, 0]


def usual_place(size: int) -> Float[Tensor, "s s"]:
    """A mask of where heads of :class:`.AlignedFaces` are: an upright ellipse."""
    middle = (torch.arange(size) + 0.5) / size
    return (((middle[:, None] - HEAD_DOWN) / HEAD_HEIGHT).square() + ((middle - 0.5) / HEAD_WIDTH).square() <= 1).float()


def aligned_crop(box: FaceBox, size: int) -> Float[Tensor, "3 3"]:
    """The crop of :data:`ALIGNED` around the box of a face's landmarks; its outer pixels' outer edges are the square's.

    Args:
        box: in pixels whose centres are whole numbers.
        size: of the crop, pixels.
    """
    between_centres = CropRule(ALIGNED.growth * (size - 1) / size, ALIGNED.down)
    return box_crop(torch.tensor(box[:4], dtype=torch.float64), size, between_centres)

"""PRNet: a network that maps a photograph of a face to a position map, an image of 3D points in UV space.

Feng et al., "Joint 3D face reconstruction and dense alignment with position map regression network", ECCV 2018.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from deep3dmap.annotations import Positive
from deep3dmap.datasets.faces.transforms import PackFace
from deep3dmap.errors import CheckpointError, ConfigError
from deep3dmap.frameworks.base import BaseFramework
from deep3dmap.frameworks.prnet.face import FoundFace
from deep3dmap.frameworks.prnet.outputs import Outputs, arrays_of
from deep3dmap.geometry.face_crops import map_from_crop, points_box
from deep3dmap.ranges import Range
from deep3dmap.registry import FRAMEWORKS
from deep3dmap.structures import Reconstruction
from deep3dmap.structures.uv_layout import UVLayout

RANGE = 1.1
"""The position maps' range, in sides of the crop, of outputs in [0, 1]: faces may reach out of it (the authors' code)."""

SMALLEST = 0.05
"""Extent of a face's landmarks that no trained network falls below, in sides of the box that it was found in."""


@FRAMEWORKS.register_module()
class PRNet(BaseFramework):
    """Regresses position maps.

    Inputs: ``image`` (n, 3, r, r) in [0, 1]; for the loss ``position_map`` (n, 3, r, r) in pixels of the crop; for predictions
    ``crop`` (n, 3, 3), the similarity from the photograph to the crop.

    Args:
        layout: the UV layout's name, see :meth:`UVLayout.load`.
        backbone: a network from images to maps in [0, 1] of the same size, such as ``ResFCN``.
        losses: of ``position_map``, in units of ``reach`` crops.
        texture_size: texels along an edge of a face's texture.
        hidden: the texture's colour where the photograph doesn't show the face, because the face hides itself or isn't
            all inside: ``grey``; ``mirrored``, the colour of the face's other side; or ``photograph``.
        obj: also write ``mesh.obj``, with its material and texture.
        mat: also write ``face.mat``, for MATLAB.
        reach: coordinates at a network's output of 1, in sides of the crop.
        input_keys: see the base class.
    """

    items = {"image": "faces", "img": "faces"}
    mixed_precision = True

    def __init__(self,
                 backbone: dict,
                 layout: str = "ict",
                 losses: Mapping[str, dict] | None = None,
                 texture_size: Annotated[int, Range(1, 8192)] = 256,
                 hidden: Literal["grey", "mirrored", "photograph"] = "grey",
                 obj: bool = False,
                 mat: bool = False,
                 reach: Positive = RANGE,
                 input_keys: Sequence[str] | Mapping[str, str] | None = None,
                 data_preprocessor: dict | None = None):
        super().__init__(backbone, None, losses, input_keys, data_preprocessor)
        self.layout, self.reach = UVLayout.load(layout, self.backbone.resolution), reach
        self.outputs = Outputs(texture_size, hidden, obj, mat)
        self.pack = PackFace(self.layout.size)

    def forward(self,
                inputs: Mapping[str, Tensor],
                mode: Literal["tensor", "loss", "predict"] = "tensor") -> dict[str, Tensor]:
        """Loss terms; predictions in the photograph's pixels; or the crops' maps in units of ``reach`` crops.

        Raises:
            ConfigError: if the crops' size isn't the network's.
        """
        size = self.layout.size
        if inputs["image"].shape[-1] != size:
            raise ConfigError(
                f"PRNet: the crops have {inputs['image'].shape[-1]} pixels along an edge, the network's pictures "
                f"{size} (the resolution in model.backbone); give the data's pipeline PackFace(size={size})")
        maps = self.backbone(inputs["image"])
        if mode == "loss":
            target = inputs["position_map"] / (self.reach * size)
            return self.compute_losses(dict(position_map=maps.float()), dict(position_map=target))
        if mode == "predict":
            return self.in_photograph(maps.float(), inputs["crop"])
        return dict(position_map=maps)

    def in_photograph(self, maps: Float[Tensor, "n 3 r r"], crop: Float[Tensor, "n 3 3"]) -> dict[str, Tensor]:
        """The network's maps as ``position_map``, ``landmarks`` (n, 68, 3) and ``vertices`` (n, v, 3) in the photograph's
        pixels; z in the same unit, towards the viewer, from 0 at about the face's farthest point."""
        placed = map_from_crop(self.reach * self.layout.size * maps, crop)
        return dict(position_map=placed, landmarks=self.layout.landmark_points(placed), vertices=self.layout.vertices(placed))

    def reconstruct(self, batch: Mapping, resolution: int = 256) -> Iterator[Reconstruction]:
        """The results of a batch.

        Args:
            batch: crops (see :class:`PackFace`): their results are arrays. Or a single item with a photograph ``img`` (h, w,
                3) uint8 and a face's ``box``: its face is found as by :meth:`find_face`, and has all outputs.
            resolution: 0 for arrays only.
        """
        if "crop" in batch:
            yield from super().reconstruct(batch, resolution)
            return
        face = self.find_face(batch["img"], batch["box"])
        yield self.outputs.of(batch["name"], face) if resolution else Reconstruction(batch["name"], arrays=arrays_of(face))

    @torch.no_grad()
    def find_face(self, image: UInt8[np.ndarray, "h w 3"], box: Float[np.ndarray, "4"]) -> FoundFace:
        """The face in a box (left, top, right, bottom); the crop around the landmarks found first is used for the result.

        Raises:
            CheckpointError: if the landmarks are all in one place.
        """
        _, first = self._from_crop(image, box)
        closer = points_box(first["landmarks"]).numpy()
        if (closer[2:] - closer[:2]).max() < SMALLEST * (box[2:] - box[:2]).max():
            raise CheckpointError("the network puts all landmarks of a face in one place: its weights aren't trained; give "
                                  "others with --weights")
        crop, found = self._from_crop(image, closer)
        return FoundFace(image, self.layout, crop, found["position_map"])

    def _from_crop(self, image: np.ndarray, box: np.ndarray) -> tuple[Float[Tensor, "3 3"], dict[str, Tensor]]:
        """The crop around a box, and the predictions from it."""
        packed = self.pack(dict(img=image, box=box))
        inputs = dict(image=packed["img"][None].to(self.device), crop=packed["crop"][None].to(self.device))
        return packed["crop"], {name: value[0].cpu() for name, value in self(inputs, mode="predict").items()}

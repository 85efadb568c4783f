"""PRNet's network with the pose taken out: for trainings of an hour rather than of days."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from deep3dmap.annotations import Count
from deep3dmap.backbones.resfcn import STRIDE, ResFCN
from deep3dmap.registry import BACKBONES
from deep3dmap.structures.uv_layout import UVLayout

#: Channels, in multiples of the first layer's, and strides. ResFCN's layers of the pictures' full size take half of its time.
ENCODER = ((2, 1), (2, 1), (4, 2), (4, 1), (4, 1), (8, 2), (8, 1), (8, 1), (16, 2), (16, 1), (16, 1), (16, 2), (16, 1))
DECODER = ((8, 2), (8, 1), (8, 1), (4, 2), (4, 1), (4, 1), (2, 2), (2, 1), (2, 1), (1, 2), (1, 1))

FACE = 1 / (1.6 * 1.1)
"""Size of an average face in units of the output: the crop is 1.6 faces wide, and the output's unit 1.1 crops."""
CENTRE = 0.5 / 1.1
DEPTH = 0.28
"""Initial z of the mean face's centre."""
REACH = 0.5
"""Largest change of the mean shape, in faces."""
POSE_GAIN, SHAPE_GAIN = 0.002, 0.1
"""Scales of the pose's features and of the initial changes of shape: Adam moves all weights alike, the pose has thousands."""


@BACKBONES.register_module()
class PosedResFCN(ResFCN):
    """Position maps as an affine map of a face in a canonical frame: ``A (mean + change) + t``.

    The encoder's output gives ``A`` and ``t`` by one linear layer, its decoder the change of the layout's mean face.
    :class:`ResFCN` has to draw every pose with its decoder, and learns much slower. Layers are the compact variant's, but none
    is of the pictures' full size: the first has stride 2, and the changes, which are smooth, are upsampled.

    Args:
        size: channels of the first layer; the innermost have 16 times as many.
        resolution: see :class:`ResFCN`.
        layout: UV layout of the maps.
    """

    first_stride, encoder_layers, decoder_layers = 2, ENCODER, DECODER

    def __init__(self, size: Count = 16, resolution: Count = 256, layout: str = "ict"):
        super().__init__(size, resolution, "compact")
        self.pose = nn.Linear(ENCODER[-1][0] * size * (resolution // STRIDE)**2, 12)
        nn.init.zeros_(self.pose.weight)
        with torch.no_grad():
            self.pose.bias.copy_(torch.tensor([[FACE, 0, 0, CENTRE], [0, FACE, 0, CENTRE], [0, 0, FACE, DEPTH]]).flatten())
        nn.init.constant_(self.decoder[-1].norm.weight, SHAPE_GAIN)
        self.register_buffer("mean_face", mean_face(UVLayout.load(layout, resolution)), persistent=False)

    def forward(self, image: Float[Tensor, "n 3 r r"]) -> Float[Tensor, "n 3 r r"]:
        """The position map of each picture, in the same unit as :class:`ResFCN`'s."""
        encoded, last = self.layers(image)
        with torch.autocast(image.device.type, enabled=False):
            features = encoded.to(image.dtype).flatten(1)
            pose = self.pose(POSE_GAIN * functional.layer_norm(features, features.shape[1:])).unflatten(1, (3, 4))
            change = functional.interpolate(REACH * torch.tanh(last), scale_factor=2.0, mode="bilinear")
            return (pose[:, :, :3] @ (self.mean_face + change.flatten(2)) + pose[:, :, 3:]).view_as(change)


def mean_face(layout: UVLayout) -> Float[Tensor, "3 pixels"]:
    """A layout's mean face around the origin, as large as its 68 landmarks' box has sides on average; 0 outside the face."""
    points = torch.from_numpy(layout.canonical).T
    points = points - points.mean(1, keepdim=True)
    flat = torch.zeros(3, layout.size**2)
    flat[:, torch.from_numpy(layout.indices)] = points
    landmarks = layout.landmark_points(flat.view(3, layout.size, layout.size))
    return flat / (landmarks.amax(0) - landmarks.amin(0))[:2].mean()

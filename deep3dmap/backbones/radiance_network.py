"""The appearance of IDR: a multi-layer perceptron for the light that leaves a surface point towards the viewer.

Yariv et al., NeurIPS 2020, section 3.2, equation 5 and supplementary B.1 (there: the renderer M).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deep3dmap.annotations import Count, Whole
from deep3dmap.backbones.encoding import encoded_size, fourier_encoding
from deep3dmap.backbones.linear import hidden_widths, make_linear
from deep3dmap.errors import ConfigError
from deep3dmap.registry import BACKBONES

MODES = ("idr", "no_view_dir", "no_normal")


@BACKBONES.register_module()
class RadianceNetwork(nn.Module):
    """Colour of surface points.

    Layers are named ``lin0`` ... ``lin{depth}``, so that a published IDR checkpoint loads after removing its prefix
    ``rendering_network.``.

    Args:
        width: of every hidden layer, or a list of widths.
        depth: number of hidden layers.
        features: size of the geometry's feature vector; 0 for none.
        mode: 'idr' uses point, view direction, normal and features; 'no_view_dir' and 'no_normal' omit one.
        view_frequencies: octaves of the view directions' Fourier encoding; 0 for none.
        weight_norm: normalise the layers' weights.
        camera_light: also input the normal in the camera's frame, for captures whose light moves with the camera.
        point_frequencies: octaves of the points' Fourier encoding; 0, as in the paper, for none. More octaves help a
            small network learn texture faster.

    Raises:
        ConfigError: if the mode is unknown, or a list of widths has another length than ``depth``.
    """

    def __init__(self,
                 width: Count | Sequence[Count] = 512,
                 depth: Count = 4,
                 features: Whole = 256,
                 mode: str = "idr",
                 view_frequencies: Whole = 4,
                 weight_norm: bool = True,
                 camera_light: bool = False,
                 point_frequencies: Whole = 0):
        super().__init__()
        if mode not in MODES:
            raise ConfigError(f"RadianceNetwork: mode='{mode}' must be one of {', '.join(MODES)}")
        self.depth, self.mode, self.features = depth, mode, features
        self.view_frequencies, self.camera_light = view_frequencies, camera_light
        self.point_frequencies = point_frequencies
        view = 0 if mode == "no_view_dir" else encoded_size(3, view_frequencies)
        normal = 0 if mode == "no_normal" else 3
        seen = encoded_size(3, point_frequencies) + view + normal + features + (3 if camera_light else 0)
        sizes = [seen, *hidden_widths(width, depth, "RadianceNetwork"), 3]
        for i in range(depth + 1):
            setattr(self, f"lin{i}", make_linear(sizes[i], sizes[i + 1], weight_norm))

    def forward(self,
                points: Float[Tensor, "n 3"],
                normals: Float[Tensor, "n 3"],
                view_dirs: Float[Tensor, "n 3"],
                features: Float[Tensor, "n f"],
                camera_normals: Float[Tensor, "n 3"] | None = None) -> Float[Tensor, "n 3"]:
        """Colours in [-1, 1].

        Args:
            points: on the surface, scene units.
            normals: of the surface there (the gradient of the sdf, not normalised).
            view_dirs: unit directions from the points to the camera.
            features: of the geometry at the points.
            camera_normals: the normals in the axes of the point's camera; only needed with ``camera_light``.

        Raises:
            ValueError: if ``camera_normals`` are needed but missing.
        """
        parts = [fourier_encoding(points, self.point_frequencies)]
        if self.mode != "no_view_dir":
            parts.append(fourier_encoding(view_dirs, self.view_frequencies))
        if self.mode != "no_normal":
            parts.append(normals)
        parts.append(features)
        if self.camera_light:
            if camera_normals is None:
                raise ValueError("RadianceNetwork(camera_light=True) needs camera_normals, the normals in the camera's axes")
            parts.append(camera_normals)
        x = self.lin0(torch.cat(parts, 1))
        for i in range(1, self.depth + 1):
            x = getattr(self, f"lin{i}")(torch.relu(x))
        return torch.tanh(x)

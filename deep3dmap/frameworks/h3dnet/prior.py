"""The prior of head shapes: a decoder, and the Gaussian of its codes.

Ramon et al., "H3D-Net: Few-Shot High-Fidelity 3D Head Reconstruction", ICCV 2021, section 3. A prior is one file of plain
arrays in half precision: ``deep3dmap prepare head-prior`` creates it from a trained DeepSDF.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.backbones import CodedSDFNetwork
from deep3dmap.errors import DataError
from deep3dmap.frameworks.deepsdf.code_space import CodePrior, fit_prior
from deep3dmap.frameworks.deepsdf.framework import DeepSDF
from deep3dmap.io.npz import read_npz

#: Priors that come with the package, by name.
SHIPPED = {"ict_heads": Path(__file__).parent / "assets" / "ict_heads.npz"}

KIND = "a prior of heads (`deep3dmap prepare head-prior` writes them)"

#: The decoder's stored options, all integers or lists of them.
OPTIONS = ("code_length", "width", "depth", "skip", "frequencies")


@dataclass(frozen=True, eq=False)
class HeadPrior:
    """A space of heads in one frame: ``head = (centimetres + offset) * scale``, x to the subject's left, y up, z forward.

    Attributes:
        options: of the :class:`CodedSDFNetwork`, without its features.
        weights: its state dict.
        codes: the Gaussian of the training heads' codes.
        offset: (3,) centimetres.
        scale: of a centimetre.
    """

    options: Mapping
    weights: Mapping[str, Tensor]
    codes: CodePrior
    offset: Float[Tensor, "3"]
    scale: float

    @property
    def head_from_centimetres(self) -> Float[Tensor, "4 4"]:
        """The similarity into the heads' frame, float64."""
        similarity = torch.diag(torch.tensor([self.scale] * 3 + [1.0], dtype=torch.float64))
        similarity[:3, 3] = self.scale * self.offset
        return similarity

    def decoder(self, features: int = 0) -> CodedSDFNetwork:
        """The frozen decoder; ``features``, which the prior doesn't include, are randomly initialised."""
        network = CodedSDFNetwork(features=features, **self.options)
        own = network.state_dict()
        for name, value in self.weights.items():
            own[name][:len(value)] = value  # the distance is the last layer's first output
        network.load_state_dict(own)
        return network


def prior_of(space: DeepSDF) -> HeadPrior:
    """The prior of a trained DeepSDF.

    Raises:
        DataError: if its decoder is of another kind, or its training shapes have no common frame.
    """
    network = space.decoder
    if not isinstance(network, CodedSDFNetwork):
        raise DataError(f"its decoder is a {type(network).__name__}; H3D-Net renders a CodedSDFNetwork: see "
                        "configs/h3dnet/prior_ict.py")
    if len(space.scales) == 0 or not (torch.allclose(space.scales, space.scales[:1])
                                      and torch.allclose(space.offsets, space.offsets[:1])):
        raise DataError("its training shapes have no common frame: H3D-Net needs heads with the same normalisation, as "
                        "`deep3dmap prepare ict-heads` creates")
    weights = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    last = f"lin{network.depth}."
    weights = {name: value[:1] if name.startswith(last) else value for name, value in weights.items()}
    options = dict(code_length=network.code_length, width=network.width, depth=network.depth,
                   skip=list(network.skip), frequencies=network.frequencies)  # yapf: disable
    return HeadPrior(options, weights, fit_prior(space.codes.weight), space.offsets[0].cpu(), float(space.scales[0]))


def prior_arrays(prior: HeadPrior) -> dict[str, np.ndarray]:
    """The content of a prior's file: floating-point numbers in half precision, except the frame."""
    arrays = {f"option.{name}": np.asarray(prior.options[name], np.int64) for name in OPTIONS}
    arrays |= {f"decoder.{name}": value.numpy().astype(np.float16) for name, value in prior.weights.items()}
    codes = dict(code_mean=prior.codes.mean.numpy().astype(np.float16), code_root=prior.codes.root.numpy().astype(np.float16))
    return arrays | codes | dict(offset=prior.offset.numpy(), scale=np.asarray(prior.scale))


def load_prior(prior: str | Path) -> HeadPrior:
    """A prior by its name or from a file.

    Raises:
        DataError: if there is no such prior, or the file is not a prior.
    """
    path = SHIPPED.get(str(prior), Path(prior))
    if not path.is_file():
        raise DataError(f"prior '{prior}': no such file, and none of {', '.join(SHIPPED)}, which come with the package")
    read = read_npz(path, KIND, [f"option.{name}" for name in OPTIONS])
    options = {name: read[f"option.{name}"].tolist() for name in OPTIONS}
    try:
        expected = CodedSDFNetwork(features=0, **options).state_dict()
    except Exception as error:  # any error of invalid options is blamed on the file
        raise DataError(f"{path}: its options define no decoder ({error}): the file is damaged") from None
    others = ("code_mean", "code_root", "offset", "scale")
    arrays = read_npz(path, KIND, [*(f"decoder.{name}" for name in expected), *others])
    length = options["code_length"]
    sizes = dict(code_mean=(length, ), code_root=(length, length), offset=(3, ), scale=())
    sizes |= {f"decoder.{name}": tuple(value.shape) for name, value in expected.items()}
    for name, size in sizes.items():
        if arrays[name].shape != size:
            raise DataError(
                f"{path}: {name} is of size {arrays[name].shape}, but its options require {size}: the file is damaged")
        if arrays[name].dtype.kind != "f" or not np.isfinite(arrays[name]).all():
            raise DataError(f"{path}: {name} contains values that are not finite floating-point numbers: the file is damaged")
    if not arrays["scale"] > 0:
        raise DataError(f"{path}: scale is {float(arrays['scale']):g}, but must be positive: the file is damaged")
    weights = {name: torch.from_numpy(arrays[f"decoder.{name}"].astype(np.float32)) for name in expected}
    mean, root, offset = (torch.from_numpy(arrays[name].astype(np.float64)) for name in others[:3])
    return HeadPrior(options, weights, CodePrior(mean, root), offset, float(arrays["scale"]))

"""Conversion of experiments of the authors' code: their ``specs.json``, decoder and codes."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from deep3dmap.errors import CheckpointError
from deep3dmap.frameworks.published_files import layer_shapes, read_model_parameters

PREFIX = "module."
WRONG_SHAPES = "these weights don't have the shapes of a DeepSDF decoder"
#: Allowed keys of ``NetworkSpecs``; all are options of our decoder under the same names.
SPECS = ("dims", "dropout", "dropout_prob", "norm_layers", "latent_in", "weight_norm", "xyz_in_all", "use_tanh",
         "latent_dropout")  # yapf: disable


def model_config(specs: Mapping) -> dict:
    """The ``model`` config of an experiment's ``specs.json``."""
    network = specs.get("NetworkSpecs")
    if not isinstance(network, Mapping) or "CodeLength" not in specs:
        raise CheckpointError("specs.json holds no NetworkSpecs or no CodeLength, so it is not that of a DeepSDF experiment")
    unknown = sorted(set(network) - set(SPECS))
    if unknown:
        raise CheckpointError(f"specs.json: NetworkSpecs holds {', '.join(unknown)}, which are unknown to DeepSDF's decoder")
    scale = specs.get("CodeRegularizationLambda", 1e-4) if specs.get("CodeRegularization", True) else 0.0
    regularization = dict(start=0.0, end=scale, length=100, first=1)
    options = dict(code_length=specs["CodeLength"], dropout=None, norm_layers=[], latent_in=[], weight_norm=False) | network
    return dict(type="DeepSDF",
                decoder=dict(type="DeepSDFDecoder", **options),
                losses=dict(sdf=dict(type="ClampedSDFLoss", clamp=specs.get("ClampingDistance", 0.1)),
                            code=dict(type="CodeLoss", weight=regularization)),
                code_bound=specs.get("CodeBound"))  # yapf: disable


def infer_decoder(weights: Mapping[str, Tensor]) -> dict:
    """The decoder's config from its weights' shapes alone, without options that don't affect them (dropout, a second tanh)."""
    shapes = layer_shapes(weights, "", WRONG_SHAPES)
    if len(shapes) < 2:
        raise CheckpointError(WRONG_SHAPES)
    seen = shapes[0][1]
    extra = [size - below for (_, size), (below, _) in zip(shapes[1:], shapes)]
    latent_in = [i + 1 for i, size in enumerate(extra) if size == seen]
    others = {size for i, size in enumerate(extra) if i + 1 not in latent_in}
    if shapes[-1][0] != 1 or not others <= {0} and not others <= {3} or seen < 4:
        raise CheckpointError(WRONG_SHAPES)
    normed = [int(m[1]) for name in weights if (m := re.fullmatch(r"lin(\d+)\.weight_g|bn(\d+)\.weight", name)) and m[1]]
    layer_norm = [int(m[1]) for name in weights if (m := re.fullmatch(r"bn(\d+)\.weight", name))]
    return dict(type="DeepSDFDecoder", code_length=seen - 3, dims=[size for _, size in shapes[1:]], dropout=None,
                norm_layers=sorted(normed or layer_norm), latent_in=latent_in, weight_norm=not layer_norm,
                xyz_in_all=others == {3})  # yapf: disable


def _read_codes(path: Path, read: Callable[[Path], object], length: int) -> Tensor:
    """The codes (n, l) of ``LatentCodes/EPOCH.pth``, in the present or the older layout."""
    content = read(path)
    codes = content.get("latent_codes") if isinstance(content, dict) else content
    codes = codes.get("weight") if isinstance(codes, Mapping) else codes
    if isinstance(codes, Tensor) and codes.ndim == 3 and codes.shape[1] == 1:
        codes = codes[:, 0]
    if not isinstance(codes, Tensor) or codes.ndim != 2 or not torch.isfinite(codes).all():
        raise CheckpointError(f"{path}: expected 'latent_codes' with finite codes (shapes, length) of a DeepSDF experiment")
    if codes.shape[1] != length:
        raise CheckpointError(f"{path}: its codes have {codes.shape[1]} entries, but the decoder takes codes of {length}")
    return codes.detach()


def _json(path: Path) -> dict | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: is not readable JSON ({error})") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a dictionary, found a {type(content).__name__}")
    return content


def convert(source: Path, read: Callable[[Path], object], capture: object = None) -> tuple[dict, dict, dict[str, Tensor]]:
    """An experiment in our terms; see :data:`deep3dmap.frameworks.cards.Converter`.

    Args:
        source: ``ModelParameters/EPOCH.pth``; codes are in the sibling folder ``LatentCodes/``, ``specs.json`` and the split
            in the parent.
        read: reader of torch files that runs no code.
        capture: not used.

    Raises:
        CheckpointError: if something is missing there or has another layout.
    """
    path = Path(source)
    experiment = path.absolute().parents[1]
    weights, specs = read_model_parameters(path, read, "DeepSDF"), _json(experiment / "specs.json")
    weights = {name.removeprefix(PREFIX): value for name, value in weights.items()}
    if specs is None:
        losses = dict(sdf=dict(type="ClampedSDFLoss"), code=dict(type="CodeLoss", weight=1e-4))
        model = dict(type="DeepSDF", decoder=infer_decoder(weights), losses=losses)
    else:
        model = model_config(specs)
    latent = experiment / "LatentCodes" / path.name
    if not latent.is_file():
        raise CheckpointError(f"{latent}: the codes of the training shapes, which belong to {path}, are missing")
    codes = _read_codes(latent, read, model["decoder"]["code_length"])
    split = None if specs is None else _json(experiment / Path(str(specs.get("TrainSplit", ""))).name)
    names = [f"{d}/{c}/{n}" for d, classes in (split or {}).items() for c, ids in classes.items() for n in ids]
    info = dict(shapes=names if len(names) == len(codes) else [str(k) for k in range(len(codes))],
                offsets=torch.zeros(len(codes), 3, dtype=torch.float64), scales=torch.ones(len(codes), dtype=torch.float64),
                source=str(source))  # yapf: disable
    return model, info, {f"decoder.{name}": value for name, value in weights.items()} | {"codes.weight": codes}

"""Conversion of experiments of the authors' code: their ``specs.json``, decoder and codes."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from deep3dmap.errors import CheckpointError

PREFIX = "module."
#: Allowed keys of ``NetworkSpecs``; all are options of our decoder under the same names.
SPECS = ("dims", "dropout", "dropout_prob", "norm_layers", "latent_in", "weight_norm", "xyz_in_all", "use_tanh",
         "latent_dropout")  # yapf: disable


def model_config(specs: Mapping) -> dict:
    """The ``model`` config of an experiment's ``specs.json``.

    Raises:
        CheckpointError: naming the missing or unknown key.
    """
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
    """The decoder's config from its weights' shapes alone; options that don't affect them (dropout, a second tanh) are
    omitted.

    Raises:
        CheckpointError: if the shapes are not those of a DeepSDF decoder.
    """
    try:
        shapes = _layers(weights)
        seen = shapes[0][1]
        extra = [size - below for (_, size), (below, _) in zip(shapes[1:], shapes)]
    except LookupError:
        raise CheckpointError("these weights don't have the shapes of a DeepSDF decoder") from None
    latent_in = [i + 1 for i, size in enumerate(extra) if size == seen]
    others = {size for i, size in enumerate(extra) if i + 1 not in latent_in}
    if shapes[-1][0] != 1 or not others <= {0} and not others <= {3} or seen < 4:
        raise CheckpointError("these weights don't have the shapes of a DeepSDF decoder")
    normed = [int(m[1]) for name in weights if (m := re.fullmatch(r"lin(\d+)\.weight_g|bn(\d+)\.weight", name)) and m[1]]
    layer_norm = [int(m[1]) for name in weights if (m := re.fullmatch(r"bn(\d+)\.weight", name))]
    return dict(type="DeepSDFDecoder", code_length=seen - 3, dims=[size for _, size in shapes[1:]], dropout=None,
                norm_layers=sorted(normed or layer_norm), latent_in=latent_in, weight_norm=not layer_norm,
                xyz_in_all=others == {3})  # yapf: disable


def _layers(weights: Mapping[str, Tensor]) -> list[tuple[int, int]]:
    pattern = re.compile(r"lin(\d+)\.weight(_v)?")
    found = {int(m[1]): tuple(v.shape) for k, v in weights.items() if v.ndim == 2 and (m := pattern.fullmatch(k))}
    if len(found) < 2:
        raise LookupError("no layers")
    return [found[i] for i in range(len(found))]


def read_decoder(path: Path, read: Callable[[Path], object]) -> dict[str, Tensor]:
    """The decoder's weights of ``ModelParameters/EPOCH.pth`` under our names.

    Args:
        path: of the file.
        read: reader of torch files that runs no code.

    Raises:
        CheckpointError: if the file has another layout, or numbers that are not finite.
    """
    content = read(path)
    if not isinstance(content, dict) or not isinstance(content.get("model_state_dict"), dict):
        raise CheckpointError(f"{path}: no 'model_state_dict' in it, so it is not a published DeepSDF checkpoint "
                              "(ModelParameters/EPOCH.pth)")
    weights = content["model_state_dict"]
    for name, value in weights.items():
        if not isinstance(value, Tensor) or not torch.isfinite(value).all():
            raise CheckpointError(f"{path}: '{name}' is not a tensor of finite numbers")
    return {name.removeprefix(PREFIX): value for name, value in weights.items()}


def read_codes(path: Path, read: Callable[[Path], object], length: int) -> Tensor:
    """The codes (n, l) of ``LatentCodes/EPOCH.pth``, in the present or the older layout.

    Raises:
        CheckpointError: if the file has another layout, or codes of another length.
    """
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


def read_experiment(path: Path, read: Callable[[Path], object]) -> tuple[dict, dict[str, Tensor], Tensor, list[str]]:
    """``model`` config, decoder, codes and names of the training shapes of an experiment.

    Args:
        path: ``ModelParameters/EPOCH.pth``; codes are in the sibling folder ``LatentCodes/``, ``specs.json`` and the split in
            the parent.
        read: reader of torch files that runs no code.

    Raises:
        CheckpointError: if something is missing there or has another layout.
    """
    path = Path(path)
    experiment = path.absolute().parents[1]
    weights, specs = read_decoder(path, read), _json(experiment / "specs.json")
    if specs is None:
        losses = dict(sdf=dict(type="ClampedSDFLoss"), code=dict(type="CodeLoss", weight=1e-4))
        model = dict(type="DeepSDF", decoder=infer_decoder(weights), losses=losses)
    else:
        model = model_config(specs)
    latent = experiment / "LatentCodes" / path.name
    if not latent.is_file():
        raise CheckpointError(f"{latent}: the codes of the training shapes, which belong to {path}, are missing")
    codes = read_codes(latent, read, model["decoder"]["code_length"])
    split = None if specs is None else _json(experiment / Path(str(specs.get("TrainSplit", ""))).name)
    return model, weights, codes, _names(split, len(codes))


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


def _names(split: Mapping | None, count: int) -> Sequence[str]:
    """Names of the shapes, if the split is available and has as many; else indices."""
    names = [f"{d}/{c}/{n}" for d, classes in (split or {}).items() for c, ids in classes.items() for n in ids]
    return names if len(names) == count else [str(k) for k in range(count)]


def convert(source: Path, read: Callable[[Path], object], capture: object = None) -> tuple[dict, dict, dict[str, Tensor]]:
    """An experiment in our terms; see :data:`deep3dmap.frameworks.cards.Converter`.

    Raises:
        CheckpointError: if the file is not one of a published experiment.
    """
    model, weights, codes, names = read_experiment(source, read)
    info = dict(shapes=names, offsets=torch.zeros(len(codes), 3, dtype=torch.float64),
                scales=torch.ones(len(codes), dtype=torch.float64), source=str(source))  # yapf: disable
    return model, info, {f"decoder.{name}": value for name, value in weights.items()} | {"codes.weight": codes}

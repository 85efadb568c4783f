"""Loading frameworks from checkpoints, which hold their config and the ``info`` about the data."""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path

from deep3dmap.engine.checkpoint import find_checkpoint, load_checkpoint, load_weights, set_up
from deep3dmap.engine.config import imported_modules
from deep3dmap.engine.launching import choose_device
from deep3dmap.engine.validation import BEST
from deep3dmap.errors import CheckpointError, PluginError
from deep3dmap.frameworks.base import Framework
from deep3dmap.registry import FRAMEWORKS, check_imports, load_plugins


def load_framework(checkpoint: str | Path, device: str = "auto") -> Framework:
    """Load a trained framework, ready for prediction and mesh extraction.

    Args:
        checkpoint: file, or work folder (its newest checkpoint).
        device: see :func:`deep3dmap.engine.launching.choose_device`.

    Raises:
        CheckpointError: if there is no usable checkpoint.
        PluginError: if it needs modules that are neither installed as plug-ins nor imported yet.
    """
    path = find_checkpoint(Path(checkpoint))
    content, model = _checked(path)
    framework = FRAMEWORKS.build(model)
    set_up(framework, content["info"], str(path))
    load_weights(framework, content["state_dict"], str(path))
    return framework.to(choose_device(device)).eval()


def model_of(checkpoint: str | Path, framework: str) -> tuple[Path, dict]:
    """The checkpoint file of ``--weights`` and its ``model`` config; of a work folder the best checkpoint of validation or
    the newest.

    Raises:
        CheckpointError: if there is no usable checkpoint, or it is one of another framework.
        PluginError: if it needs modules that are neither installed as plug-ins nor imported yet.
    """
    best = [path for path in (Path(checkpoint) / "checkpoints" / BEST, Path(checkpoint) / BEST) if path.is_file()]
    path = best[0] if best else find_checkpoint(Path(checkpoint))
    model = _checked(path)[1]
    found = model.get("type") if isinstance(model, Mapping) else None
    if found != framework:
        raise CheckpointError(f"{path}: holds a {found}, not a {framework}")
    return path, model


def config_of(checkpoint: str | Path) -> tuple[Path, dict]:
    """A checkpoint's file and the config of its run.

    Raises:
        CheckpointError: if there is no usable checkpoint.
    """
    path = find_checkpoint(Path(checkpoint))
    return path, _parsed(load_checkpoint(path), path)


def trust_imports(checkpoint: str | Path) -> None:
    """Import the modules in a checkpoint's config, which runs their code; :func:`load_framework` alone imports none.

    Raises:
        CheckpointError: if there is no usable checkpoint.
        PluginError: if one can't be imported.
    """
    path = find_checkpoint(Path(checkpoint))
    for module in _config(load_checkpoint(path), path)[1]:
        try:
            importlib.import_module(module)
        except Exception as error:  # third-party code can raise anything
            raise PluginError(f"{path}: needs the plug-in '{module}', which can't be imported here "
                              f"({type(error).__name__}: {error}); put its folder on PYTHONPATH, or install it") from error


def _checked(path: Path) -> tuple[dict, object]:
    """A checkpoint whose imports are available, and the ``model`` of its config."""
    content = load_checkpoint(path)
    model, modules = _config(content, path)
    load_plugins()
    check_imports(modules, str(path))
    return content, model


def _config(content: Mapping, path: Path) -> tuple[object, list[str]]:
    """The ``model`` of a checkpoint's config, and the modules of its ``custom_imports``."""
    config = _parsed(content, path)
    return config["model"], imported_modules(config.get("custom_imports"), str(path))


def _parsed(content: Mapping, path: Path) -> dict:
    """A checkpoint's config, which has a ``model``."""
    try:
        config = json.loads(content["meta"]["config"])
        return config | dict(model=config["model"])
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        raise CheckpointError(f"{path}: holds no readable config, so its framework can't be built") from None

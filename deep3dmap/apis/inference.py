"""Frameworks from checkpoints alone: a checkpoint holds its config and what it was told about its data."""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path

from deep3dmap.engine.checkpoint import find_checkpoint, load_checkpoint, load_weights
from deep3dmap.engine.launching import choose_device
from deep3dmap.errors import CheckpointError, PluginError
from deep3dmap.frameworks.base import Framework
from deep3dmap.registry import FRAMEWORKS, load_plugins


def load_framework(checkpoint: str | Path, device: str = "auto") -> Framework:
    """A trained framework, ready to predict and to give its mesh.

    Args:
        checkpoint: file, or work folder (its newest checkpoint).
        device: see :func:`deep3dmap.engine.launching.choose_device`.

    Raises:
        CheckpointError: if there is no usable checkpoint.
        PluginError: if it needs a plug-in that can't be imported.
    """
    path = find_checkpoint(Path(checkpoint))
    content = load_checkpoint(path)
    load_plugins()
    framework = FRAMEWORKS.build(_model_config(content, path))
    framework.setup(content["info"])
    load_weights(framework, content["state_dict"], str(path))
    return framework.to(choose_device(device)).eval()


def _model_config(content: Mapping, path: Path) -> dict:
    """The ``model`` of a checkpoint's config, whose plug-ins are imported."""
    try:
        config = json.loads(content["meta"]["config"])
        model, plugins = config["model"], (config.get("custom_imports") or {}).get("imports", ())
    except (LookupError, TypeError, ValueError, AttributeError):
        raise CheckpointError(f"{path}: holds no readable config, so its framework can't be built") from None
    for module in [plugins] if isinstance(plugins, str) else plugins:
        try:
            importlib.import_module(module)
        except Exception as error:  # whatever goes wrong in foreign code
            raise PluginError(f"{path}: was made with the plug-in '{module}', which can't be imported here "
                              f"({type(error).__name__}: {error}); put its folder on PYTHONPATH, or install it") from error
    return model

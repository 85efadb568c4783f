"""Frameworks from checkpoints alone: a checkpoint holds its config and what it was told about its data."""

import json
from pathlib import Path

from deep3dmap.engine.checkpoint import find_checkpoint, load_checkpoint, load_weights
from deep3dmap.engine.launching import choose_device
from deep3dmap.frameworks.base import Framework
from deep3dmap.registry import FRAMEWORKS, load_plugins


def load_framework(checkpoint: str | Path, device: str = "auto") -> Framework:
    """A trained framework, ready to predict and to give its mesh.

    Args:
        checkpoint: file, or work folder (its newest checkpoint).
        device: see :func:`deep3dmap.engine.launching.choose_device`.

    Raises:
        CheckpointError: if there is no usable checkpoint.
    """
    path = find_checkpoint(Path(checkpoint))
    content = load_checkpoint(path)
    load_plugins()
    config = json.loads(content["meta"]["config"])
    for module in (config.get("custom_imports") or {}).get("imports", ()):
        __import__(module)
    framework = FRAMEWORKS.build(config["model"])
    framework.setup(content["info"])
    load_weights(framework, content["state_dict"], str(path))
    return framework.to(choose_device(device)).eval()

"""Conversion of published checkpoints."""

import json
from pathlib import Path

from deep3dmap.engine.checkpoint import FORMAT, load_weights, read_pickle, save_checkpoint
from deep3dmap.frameworks.cards import find_card
from deep3dmap.registry import FRAMEWORKS
from deep3dmap.structures import Capture
from deep3dmap.version import __version__


def convert_checkpoint(source: str | Path, target: str | Path, method: str = "idr", capture: Capture | None = None) -> Path:
    """Convert a published checkpoint.

    Args:
        source: published checkpoint: ``ModelParameters/EPOCH.pth``. IDR: trained poses beside it in ``CamParameters/`` are
            included, and the configuration is inferred from the weights. DeepSDF: the codes beside it in ``LatentCodes/`` are
            required; ``specs.json`` above it, and a copy of the training split beside that, are used if present.
        target: checkpoint to write.
        method: method of the checkpoint; must have a converter, such as ``idr`` and ``deepsdf``.
        capture: IDR: its training data, with the ``scene_from_world`` of the camera file, for meshes in world units and the
            cameras of videos; without it, meshes are in the unit sphere.

    Returns:
        The target.

    Raises:
        CheckpointError: if the file is not a published checkpoint of that method.
        ConfigError: for an unknown method.
        DataError: if the capture has another number of views than the checkpoint has poses.
    """
    model, info, state = find_card(method, "convert").convert(Path(source), read_pickle, capture)
    framework = FRAMEWORKS.build(model)
    framework.setup(info)
    load_weights(framework, state, str(source))
    meta = dict(version=__version__, framework=model["type"], config=json.dumps(dict(model=model)), seed=0,
                converted_from=str(source))  # yapf: disable
    save_checkpoint(dict(format=FORMAT, meta=meta, info=info, state_dict=framework.state_dict()), Path(target))
    return Path(target)

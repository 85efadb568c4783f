"""Frameworks built from the parity fixtures' own configurations."""

import json

import torch

from deep3dmap.frameworks import IDR
from deep3dmap.frameworks.idr.published import geometry_config, radiance_config, rename_weights

LOSSES = dict(rgb=dict(type="ColorLoss"), eikonal=dict(type="EikonalLoss"), mask=dict(type="MaskLoss", alpha=50.0))


def tensor(array) -> torch.Tensor:
    return torch.from_numpy(array.copy())


def build_idr(fixture, **options) -> IDR:
    """IDR with a fixture's configuration and weights."""
    config = json.loads(str(fixture["config"]))
    framework = IDR(geometry=geometry_config(config),
                    radiance=radiance_config(config),
                    renderer=dict(type="SphereTracer"),
                    losses=LOSSES,
                    **options)
    state = {k.removeprefix("state/"): tensor(fixture[k]) for k in fixture.files if k.startswith("state/")}
    framework.load_state_dict(rename_weights(state), strict=False)
    return framework

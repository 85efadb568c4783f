"""Frameworks built from the parity fixtures' own configurations."""

import torch

from deep3dmap.frameworks import IDR
from deep3dmap.frameworks.idr.published import geometry_config, radiance_config, rename_weights
from tests.goldens import tensors, text, tracer_options

LOSSES = dict(rgb=dict(type="ColorLoss"), eikonal=dict(type="EikonalLoss"), mask=dict(type="MaskLoss", alpha=50.0))


def build_idr(fixture, **options) -> IDR:
    """IDR with a fixture's configuration and weights."""
    config, loss = text(fixture), text(fixture, "loss_config")
    framework = IDR(geometry=geometry_config(config),
                    radiance=radiance_config(config),
                    renderer=dict(type="SphereTracer", **tracer_options(config["ray_tracer"])),
                    losses=dict(rgb=dict(type="ColorLoss"),
                                eikonal=dict(type="EikonalLoss", weight=loss["eikonal_weight"]),
                                mask=dict(type="MaskLoss", weight=loss["mask_weight"], alpha=loss["alpha"])),
                    **options)  # yapf: disable
    framework.load_state_dict(rename_weights(tensors(fixture, "state/")), strict=False)
    return framework


def small_idr(radius: float = 0.6, width: int = 64, **options) -> IDR:
    """IDR right after its geometric initialisation: nearly a sphere."""
    torch.manual_seed(0)
    model = dict(geometry=dict(width=width, depth=3, skip=[], frequencies=0, features=8, bias=radius),
                 radiance=dict(width=16, depth=1, features=8, view_frequencies=1),
                 renderer=dict(type="SphereTracer", samples=24),
                 losses=LOSSES)
    model["radiance"] |= options.pop("radiance", {})
    return IDR(**model | options)


def rays_from(center, count: int = 200, spread: float = 0.3) -> dict:
    """Rays from a point towards the surroundings of the origin."""
    generator = torch.Generator().manual_seed(0)
    origins = torch.tensor(center, dtype=torch.float32).expand(count, 3)
    targets = spread * torch.randn(count, 3, generator=generator)
    return dict(origins=origins.clone(), directions=torch.nn.functional.normalize(targets - origins, dim=-1))

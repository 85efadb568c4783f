"""Networks of the parity fixtures."""

import json

import pytest
import torch


def tensors(fixture, prefix):
    return {k[len(prefix):]: torch.from_numpy(fixture[k]) for k in fixture.files if k.startswith(prefix)}


@pytest.fixture
def sdf_network():
    """Builder of the SDFNetwork that an implicit_network section of a fixture's config describes."""
    from deep3dmap.backbones import SDFNetwork

    def build(config, state=None):
        network = SDFNetwork(width=config["dims"][0],
                             depth=len(config["dims"]),
                             skip=config["skip_in"],
                             frequencies=config["multires"],
                             features=config["feature_vector_size"],
                             bias=config["bias"],
                             weight_norm=config["weight_norm"],
                             geometric_init=config["geometric_init"])
        if state is not None:
            network.load_state_dict(state)
        return network

    return build


@pytest.fixture
def golden_network(goldens, sdf_network):
    """The fixture ``implicit_network`` and its network."""
    golden = goldens("idr/implicit_network")
    return golden, sdf_network(json.loads(str(golden["config"])), tensors(golden, "state/"))

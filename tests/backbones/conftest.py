"""Networks of the parity fixtures."""

import pytest

from tests.goldens import tensors, text


@pytest.fixture
def sdf_network():
    """Builder of the SDFNetwork that an implicit_network section of a fixture's config describes."""
    from deep3dmap.backbones import SDFNetwork
    from deep3dmap.frameworks.idr.published import geometry_config

    def build(config, state=None):
        network = SDFNetwork(**geometry_config(config | dict(implicit_network=config)))
        if state is not None:
            network.load_state_dict(state)
        return network

    return build


@pytest.fixture
def golden_network(goldens, sdf_network):
    """The fixture ``implicit_network`` and its network."""
    golden = goldens("idr/implicit_network")
    return golden, sdf_network(text(golden), tensors(golden, "state/"))

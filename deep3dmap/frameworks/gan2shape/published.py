"""Networks of the authors' checkpoints, and of other runs."""

from collections.abc import Mapping

from torch import Tensor

#: The authors' names of the networks that are trained, and those here.
PUBLISHED = dict(netD="depth", netA="albedo", netV="view", netL="light", netEnc="latent_encoder")


def is_network(name: str) -> bool:
    """Whether a weight of the framework belongs to one of the five networks."""
    return name.split(".")[0] in PUBLISHED.values()


def networks_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The five networks' weights under their names here; other entries of the file are left out."""
    parts = [(*name.partition("."), value) for name, value in state.items()]
    renamed = {f"{PUBLISHED.get(part, part)}.{rest}": value for part, _, rest, value in parts}
    return {name: value for name, value in renamed.items() if is_network(name)}

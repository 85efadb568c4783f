"""List of all registered parts, with the first line of their docstrings."""

import inspect

from deep3dmap.errors import ConfigError, nearest
from deep3dmap.frameworks.cards import cards
from deep3dmap.registry import ALL, load_plugins


def list_parts(registry: str | None = None) -> str:
    """All methods and registered parts with their one-line help. Including plug-ins.

    Args:
        registry: only this registry (framework, backbone, renderer, loss, dataset ...), or methods.

    Raises:
        ConfigError: if there is no such registry.
    """
    load_plugins()
    registries = {r.name: r for r in ALL}
    if registry is not None and _singular(registry) == "method":
        return _methods()
    if registry is not None and _singular(registry) not in registries:
        raise ConfigError(f"no registry '{registry}': {nearest(registry, registries)}")
    blocks = [] if registry is not None else [_methods()]
    for name, each in registries.items():
        if registry is not None and name != _singular(registry):
            continue
        each.import_from_location()
        parts = dict(sorted(each.module_dict.items()))
        width = max(map(len, parts), default=0)
        lines = [f"  {part:<{width}}  {_first_line(cls)}" for part, cls in parts.items()]
        title = name + ("es" if name.endswith("s") else "s")
        blocks.append("\n".join([title, *(lines or ["  (none)"])]))
    return "\n\n".join(blocks)


def _methods() -> str:
    known = cards()
    width = max(map(len, known), default=0)
    return "\n".join(["methods", *(f"  {name:<{width}}  {card.title}: {card.gives}, from {card.takes}"
                                   for name, card in sorted(known.items()))])  # yapf: disable


def _first_line(part) -> str:
    return (inspect.getdoc(part) or "").split("\n")[0]


def _singular(name: str) -> str:
    return name if name == "loss" else name.removesuffix("es") if name == "losses" else name.removesuffix("s")

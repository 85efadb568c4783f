"""List of all registered parts, with the first line of their docstrings."""

import inspect
from functools import partial

from mmengine.registry import Registry

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
    tables = {"method": _methods} | {each.name: partial(_parts, each) for each in ALL}
    if registry is None:
        return "\n\n".join(table() for table in tables.values())
    name = next((name for name in tables if registry in (name, f"{name}s", f"{name}es")), None)
    if name is None:
        raise ConfigError(f"no registry '{registry}': {nearest(registry, tables)}")
    return tables[name]()


def _methods() -> str:
    known = cards()
    width = max(map(len, known), default=0)
    return "\n".join(["methods", *(f"  {name:<{width}}  {card.title}: {card.gives}, from {card.takes}"
                                   for name, card in sorted(known.items()))])  # yapf: disable


def _parts(registry: Registry) -> str:
    registry.import_from_location()
    parts = dict(sorted(registry.module_dict.items()))
    width = max(map(len, parts), default=0)
    lines = [f"  {name:<{width}}  {(inspect.getdoc(part) or '').partition(chr(10))[0]}" for name, part in parts.items()]
    title = registry.name + ("es" if registry.name.endswith("s") else "s")
    return "\n".join([title, *(lines or ["  (none)"])])

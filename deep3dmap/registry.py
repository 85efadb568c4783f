"""Every registry of the toolbox. A config names a part by ``type='Name'``; ``deep3dmap list`` prints them all.

Parts from outside the package reach the registries through ``custom_imports`` in a config, or through the entry-point group
``deep3dmap.plugins`` of an installed distribution (see :func:`load_plugins`).
"""

import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points

import mmengine.registry as root
from mmengine.registry import Registry
from torch import nn

from deep3dmap.annotations import annotations_of, type_error_message
from deep3dmap.errors import ConfigError, PluginError, nearest

PLUGIN_GROUP = "deep3dmap.plugins"

#: Exceptions that constructors raise for unusable values; types of a config's values that are shown then.
UNUSABLE = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, AssertionError, RuntimeError)
PLAIN = (bool, int, float, str, list, tuple, type(None))


def _registered(registry: Registry, name: str):
    """The part registered under a name in a registry or its parents; ``scope.name`` searches that scope only.

    Replaces :meth:`Registry.get` of mmengine, which imports any dotted path that is not registered, so that an untrusted
    config or checkpoint could call any function.
    """
    scope, _, plain = name.rpartition(".")
    while registry is not None:
        registry.import_from_location()
        for key in (name, plain) if scope == registry.scope else (name, ):
            if key in registry.module_dict:
                return registry.module_dict[key]
        registry = registry.parent
    return None


@contextmanager
def _unswitched(registry: Registry, scope: str | None) -> Iterator[Registry]:
    """The registry itself; mmengine would import the module ``SCOPE.registry`` given by a config's ``_scope_``."""
    yield registry


Registry.get, Registry.switch_scope_and_registry = _registered, _unswitched


def known_parts(registry: Registry) -> dict:
    """All parts that a registry can build, by name, those of its parent registry included."""
    registry.import_from_location()
    inherited = dict(registry.parent.module_dict) if registry.parent is not None else {}
    return inherited | dict(registry.module_dict)


def resolve(registry: Registry, name):
    """The class or function that ``type=name`` means in a registry.

    Raises:
        ConfigError: if the registry has no such part; names the registry and the closest known names.
    """
    if not isinstance(name, str):
        if callable(name):
            return name
        raise ConfigError(f"type={name!r}: expected the name of a part of the registry '{registry.name}'")
    part = registry.get(name)
    if part is None:
        raise ConfigError(f"type='{name}' is not in the registry '{registry.name}': {nearest(name, known_parts(registry))}")
    return part


def _constructors(part) -> Iterator[Callable]:
    """The functions that take a part's arguments: its constructor and, through ``**kwargs``, its base classes'."""
    owners = [c for c in part.__mro__ if "__init__" in vars(c)] if inspect.isclass(part) else [part]
    for owner in owners:
        if owner not in (object, nn.Module):
            yield owner.__init__ if inspect.isclass(owner) else owner


def _signatures(part) -> Iterator[tuple[Callable, list[inspect.Parameter], bool]]:
    """The functions that take a part's arguments, their parameters, and whether they take arbitrary keywords."""
    for function in _constructors(part):
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # some C functions have no signature
            yield function, [], True
            return
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != "self"]
        yield function, named, open_ended
        if not open_ended:
            return


def accepted_keys(part) -> set[str] | None:
    """The keyword arguments that a part's constructor takes, or None where it takes any.

    A constructor with ``**kwargs`` passes them to its base class, so that class's arguments count as well.
    """
    signatures = list(_signatures(part))
    if signatures and signatures[-1][2]:
        return None
    return {p.name for _, parameters, _ in signatures for p in parameters}


def takes_weights(part) -> bool:
    """Whether a config may give ``weights`` for a part, to load before training: a module without such an argument."""
    return inspect.isclass(part) and issubclass(part, nn.Module) and "weights" not in (accepted_keys(part) or ())


def check_keys(part, keys, where: str) -> None:
    """Check a config's keys against the arguments of a part's constructor.

    Raises:
        ConfigError: naming the first unknown key, the part and the closest known key.
    """
    accepted = accepted_keys(part)
    for key in keys:
        if accepted is not None and key not in accepted:
            raise ConfigError(f"{where}: unknown key '{key}' for {part.__name__}: {nearest(key, accepted)}")


def check_arguments(part, values: Mapping, where: str) -> None:
    """Check a config's keys and values against a part's signature: no unknown, missing or wrong ones."""
    check_keys(part, values, where)
    check_required(part, values, where)
    check_values(part, values, f"{where}.")


def check_required(part, keys, where: str) -> None:
    """Check that a config has the required arguments of a part's constructor.

    Raises:
        ConfigError: naming the missing keys and the part.
    """
    try:
        parameters = inspect.signature(part).parameters.values()
    except (TypeError, ValueError):  # some C functions have no signature
        return
    named = (p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
    missing = [p.name for p in named if p.default is p.empty and p.name not in keys]
    if missing:
        raise ConfigError(f"{where}: {part.__name__} needs the key{'s' * (len(missing) > 1)} "
                          f"{', '.join(repr(m) for m in missing)}")


def check_values(part, values: Mapping, where: str) -> None:
    """Check a config's values against the annotations of a part's constructor, where these are plain types.

    Args:
        part: class or function.
        values: by key.
        where: location in the config, for the message; the key is appended.

    Raises:
        ConfigError: naming the first wrong value's location, the value and the expected type.
    """
    annotations: dict = {}
    for function, parameters, _ in _signatures(part):
        hints = annotations_of(function)
        annotations = {p.name: hints[p.name] for p in parameters if p.name in hints} | annotations
    for key in annotations:
        wrong = type_error_message(values[key], annotations[key], f"{where}{key}") if key in values else None
        if wrong:
            raise ConfigError(wrong)


@contextmanager
def explained(what: str, cfg: Mapping) -> Iterator[None]:
    """Convert exceptions of a constructor in the block to a ConfigError that shows its arguments.

    Args:
        what: name of the part, for the message.
        cfg: its config.
    """
    try:
        yield
    except UNUSABLE as error:
        shown = ", ".join(f"{key}={value!r}" for key, value in cfg.items() if isinstance(value, PLAIN) and key != "type")
        raise ConfigError(f"{what} can't be built from {shown or 'this config'}: {type(error).__name__}: {error} "
                          "(--traceback shows where)") from error


def build_part(cfg: object, registry: Registry, default_args: Mapping | None = None):
    """Build a part from its config; omitted arguments are taken from ``default_args``.

    Raises:
        ConfigError: if there is no ``type``, the registry has no such part, the part takes no such argument or can't use a
            value, or a required argument is missing.
    """
    if not isinstance(cfg, Mapping) or "type" not in cfg:
        raise ConfigError(f"a part of the registry '{registry.name}' is a dictionary with a 'type', got {cfg!r}")
    part = resolve(registry, cfg["type"])
    own = ("type", "weights") if takes_weights(part) else ("type", )
    arguments = dict(default_args or {}) | {key: value for key, value in cfg.items() if key not in own}
    check_keys(part, arguments, f"type='{part.__name__}'")
    check_required(part, arguments, f"type='{part.__name__}'")
    check_values(part, arguments, f"{part.__name__}: ")
    with explained(part.__name__, cfg):
        return part(**arguments)


def _registry(name: str, parent: Registry | None, *locations: str) -> Registry:
    return Registry(name, build_func=build_part, parent=parent, scope="deep3dmap", locations=list(locations))


FRAMEWORKS = _registry("framework", None, "deep3dmap.frameworks")
BACKBONES = _registry("backbone", None, "deep3dmap.backbones")
RENDERERS = _registry("renderer", None, "deep3dmap.renderers")
LOSSES = _registry("loss", None, "deep3dmap.losses")
DATASETS = _registry("dataset", None, "deep3dmap.datasets")
TRANSFORMS = _registry("transform", root.TRANSFORMS, "deep3dmap.datasets.transforms")
METRICS = _registry("metric", None, "deep3dmap.evaluation")
RUNNERS = _registry("runner", None, "deep3dmap.engine")
LOOPS = _registry("loop", None, "deep3dmap.engine")
HOOKS = _registry("hook", root.HOOKS, "deep3dmap.engine")

ALL = (FRAMEWORKS, BACKBONES, RENDERERS, LOSSES, DATASETS, TRANSFORMS, METRICS, RUNNERS, LOOPS, HOOKS)


def load_plugins() -> list[str]:
    """Import every installed plug-in of the entry-point group ``deep3dmap.plugins``, so that its parts are registered.

    Returns:
        The plug-ins' names.

    Raises:
        PluginError: if one can't be imported; names it and its distribution, with the whole traceback.
    """
    names = []
    for entry in entry_points(group=PLUGIN_GROUP):
        try:
            entry.load()
        except Exception:
            owner = entry.dist.name if entry.dist is not None else "an unknown distribution"
            raise PluginError(f"the plug-in '{entry.name}' ({entry.value}, from {owner}) can't be imported; "
                              f"fix or uninstall it.\n{traceback.format_exc()}") from None
        names.append(entry.name)
    return names


def check_imports(names: Iterable[str], source: str) -> None:
    """Check that an untrusted file imports only installed plug-ins and modules that are already imported.

    Args:
        names: modules that the file imports.
        source: the file, for the message.

    Raises:
        PluginError: naming the other modules.
    """
    known = {entry.module for entry in entry_points(group=PLUGIN_GROUP)} | set(sys.modules)
    if others := [name for name in names if name not in known]:
        raise PluginError(f"{source}: needs the module{'s' * (len(others) > 1)} {', '.join(others)}, not among the installed "
                          "plug-ins, and importing one runs its code. If you trust the file and the modules, use "
                          "--trust-imports (from Python: import them first)")

"""Reading configs, and building the runner from one."""

import copy
import importlib
import json
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import yaml
from mmengine.config import Config, ConfigDict

import deep3dmap.registry as registry
from deep3dmap.engine.config_check import EXTRA_KEYS, check_config
from deep3dmap.engine.runner import ReconstructionRunner
from deep3dmap.errors import ConfigError
from deep3dmap.io.files import FULL, reason
from deep3dmap.registry import check_imports, known_parts, load_plugins, nearest


class PlainLoader(yaml.SafeLoader):
    """YAML without aliases, since a few lines of them can expand to gigabytes."""

    def compose_node(self, parent, index):
        """A node of the document."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"aliases are not supported (*{self.peek_event().anchor}): repeat the value")
        return super().compose_node(parent, index)


#: Parsers of data-only configs.
PARSERS = {".json": json.loads} | dict.fromkeys((".yaml", ".yml"), partial(yaml.load, Loader=PlainLoader))


def find_config(path: str | Path) -> Path:
    """Path of a config file: as given, or below the package's ``configs``."""
    relative = Path(path)
    if relative.is_file() or relative.is_absolute():
        return relative
    parts = relative.parts[1:] if relative.parts[:1] == ("configs", ) else relative.parts
    return next((p for p in (folder.joinpath(*parts) for folder in _package_configs()) if p.is_file()), relative)


def _package_configs() -> tuple[Path, Path]:
    """Folders of the package's configs: inside it if installed, beside it in a checkout."""
    package = Path(__file__).parents[1]
    return package / "configs", package.parent / "configs"


def _similar_configs(path: Path) -> str:
    """A hint that lists the configs with the closest names, beside a path or in the package."""
    own = {f"configs/{p.relative_to(folder).as_posix()}" for folder in _package_configs() for p in folder.glob("[!_]*/*.py")}
    return nearest(str(path), own | {str(p) for p in path.parent.glob("*.py")})


def load_config(path: str | Path, options: Mapping | None = None) -> Config:
    """Read a config file with its bases, apply ``key=value`` options, import plug-ins and check everything.

    Names that begin with an underscore are private variables of the config.

    Raises:
        ConfigError: if the file is missing or broken, or has unknown keys or parts.
        PluginError: if an installed plug-in can't be imported.
    """
    path = find_config(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such config; {_similar_configs(path)}")
    load_plugins()
    cfg = _read(path)
    merge_options(cfg, options or {}, f"{path}: --cfg-options")
    for key in [k for k in cfg if k.startswith("_")]:
        cfg.pop(key)
    import_plugins(cfg.get("custom_imports"), path)
    check_config(cfg, str(path))
    return cfg


def _read(path: Path) -> Config:
    """Read a config file: ``.py`` is executed, with its bases; ``.json``, ``.yaml`` and ``.yml`` are data only."""
    if path.suffix not in (".py", *PARSERS):
        raise ConfigError(f"{path}: a config ends in .py, {', '.join(PARSERS)}")
    try:
        return _parse(path) if path.suffix in PARSERS else Config.fromfile(str(path), import_custom_modules=False)
    except Exception as error:  # a .py config can raise anything
        if isinstance(error, OSError) and error.errno in FULL:
            raise ConfigError(f"{path}: can't be copied to the temporary folder {tempfile.gettempdir()} ({reason(error)}, or "
                              "name another folder in TMPDIR)") from None
        raise ConfigError(f"{path}: can't be read: {type(error).__name__}: {error}") from error


def _parse(path: Path) -> Config:
    values = PARSERS[path.suffix](path.read_text(encoding="utf-8"))
    if not isinstance(values, dict) or "_base_" in values:
        raise ValueError("expected a mapping of keys, complete in itself; only a .py config can build on others by _base_")
    _check_names(values)
    return Config(values, filename=str(path))


def _check_names(node) -> None:
    """Check that keys are safe to write to a work folder's ``config.py``, which is a program."""
    if isinstance(node, dict):
        for key, value in node.items():
            if not isinstance(key, str) or not key.isprintable() or set(key) & set("'\"\\"):
                raise ValueError(f"the key {key!r} must be a string without quotes, backslashes and control characters")
            _check_names(value)
    elif isinstance(node, list):
        for value in node:
            _check_names(value)


def imported_modules(wanted: object, source: str) -> list[str]:
    """The names of the modules in a config's ``custom_imports``.

    Raises:
        ConfigError: if it has another form.
    """
    if wanted is None:
        return []
    imports = wanted.get("imports") if isinstance(wanted, Mapping) else None
    imports = [imports] if isinstance(imports, str) else imports
    if not isinstance(imports, list) or not all(isinstance(name, str) for name in imports):
        raise ConfigError(f"{source}: custom_imports={wanted!r}: expected dict(imports=['MODULE', ...])")
    return imports


def import_plugins(wanted: object, path: Path) -> None:
    """Import what a config's ``custom_imports`` names: modules beside a ``.py`` config, or on Python's path.

    Raises:
        ConfigError: if it names no modules, one can't be imported, or one beside the config is shadowed by another.
        PluginError: if a data-only config names modules that are not installed plug-ins.
    """
    imports, where = imported_modules(wanted, str(path)), f"{path}: custom_imports"
    if path.suffix != ".py":
        check_imports(imports, str(path))
    folder = path.resolve().parent
    if any(_beside(folder, name) for name in imports) and str(folder) not in sys.path:
        sys.path.append(str(folder))  # last, so that it shadows nothing; kept for late imports
    for name in imports:
        try:
            module = importlib.import_module(name)
        except Exception as error:  # third-party code can raise anything
            raise ConfigError(f"{path}: can't be read: custom_imports: '{name}' can't be imported (looked on Python's path "
                              f"and in {folder}): {type(error).__name__}: {error}") from error
        own, file = _beside(folder, name), getattr(module, "__file__", None)
        if own and (file is None or not Path(file).resolve().is_relative_to(folder)):
            raise ConfigError(f"{where}: '{name}' is {own}, but Python has another module of that name "
                              f"({file or 'built in'}); rename yours")


def _beside(folder: Path, name: str) -> Path | None:
    """The file or package in a folder that an import of a name would find."""
    top = folder / name.split(".")[0]
    return next((p for p in (top.with_suffix(".py"), top / "__init__.py") if p.is_file()), None)


def merge_options(cfg: Config, options: Mapping, where: str) -> None:
    """Override a config's values by dotted keys, in order.

    Raises:
        ConfigError: if a key doesn't fit the config; the message begins with ``where``.
    """
    for key, value in options.items():
        try:
            _check_lists(cfg, key, value)
            cfg.merge_from_dict({key: value})
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise ConfigError(f"{where} {key}={value} doesn't fit it: {error}") from None


def _check_lists(cfg: Config, key: str, value: object) -> None:
    """Check that a dictionary doesn't replace a list; its entries are numbered keys."""
    node = cfg
    for part in key.split("."):
        numbered = isinstance(node, (list, tuple)) and part.isdigit() and int(part) < len(node)
        node = node[int(part)] if numbered else node.get(part) if isinstance(node, (Config, dict)) else None
    if isinstance(node, (list, tuple)) and isinstance(value, dict) and not (value and all(str(k).isdigit() for k in value)):
        raise ValueError(f"'{key}' is a list: give a list, or change an entry by {key}.0")


def build_runner(cfg: Config, **arguments) -> ReconstructionRunner:
    """Build the runner of a config; ``arguments`` other than None override the config's."""
    arguments = {key: value for key, value in arguments.items() if value is not None}
    cfg = copy.deepcopy(cfg) if isinstance(cfg, Config) else Config(ConfigDict(cfg))
    cfg.merge_from_dict({key: arguments[key]
                         for key in ("seed", "amp") if key in arguments})  # the written config is the one that ran
    arguments = {k: v for k, v in cfg.items() if k not in EXTRA_KEYS} | arguments
    runner = registry.RUNNERS.get(cfg.get("runner_type", "ReconstructionRunner"))
    if runner is None:
        raise ConfigError(f"runner_type='{cfg.runner_type}': {nearest(cfg.runner_type, known_parts(registry.RUNNERS))}")
    return runner(**arguments, cfg=cfg)

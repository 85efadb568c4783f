"""Reading a config and checking all of it before anything heavy starts."""

import copy
import importlib
import inspect
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import mmengine.registry as root
import yaml
from mmengine.config import Config, ConfigDict
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.utils.data import DataLoader

import deep3dmap.registry as registry
from deep3dmap.datasets.captures.scene import load_scene
from deep3dmap.engine.optim import is_single
from deep3dmap.engine.runner import ReconstructionRunner, complete_hooks
from deep3dmap.engine.stages import StageConfig
from deep3dmap.errors import ConfigError
from deep3dmap.io.files import FULL, reason
from deep3dmap.registry import check_imports, check_keys, check_required, check_values, known_parts, load_plugins, nearest

#: Keys of a config's top level besides the runner's own arguments.
EXTRA_KEYS = {"custom_imports", "runner_type", "experiment"}

#: Which registries may hold a part that is found under a key; other typed dictionaries are searched for in all of them.
BY_KEY = {
    "model": (registry.FRAMEWORKS, ),
    "geometry": (registry.BACKBONES, ),
    "radiance": (registry.BACKBONES, ),
    "capture": (registry.DATASETS, ),
    "optim_wrapper": (root.OPTIM_WRAPPERS, ),
    "optimizer": (root.OPTIMIZERS, ),
    "param_scheduler": (root.PARAM_SCHEDULERS, ),
    "train_cfg": (registry.LOOPS, ),
    "test_cfg": (registry.LOOPS, ),
    "train_dataset": (registry.DATASETS, ),
    "test_dataset": (registry.DATASETS, ),
    "dataset": (registry.DATASETS, ),
    "renderer": (registry.RENDERERS, ),
    "backbone": (registry.BACKBONES, ),
    "losses": (registry.LOSSES, ),
    "test_evaluator": (registry.METRICS, ),
    "default_hooks": (registry.HOOKS, root.HOOKS),
    "custom_hooks": (registry.HOOKS, root.HOOKS),
}
OTHERS = (root.DATA_SAMPLERS, root.FUNCTIONS, root.OPTIM_WRAPPERS, root.OPTIMIZERS, root.PARAM_SCHEDULERS, root.VISBACKENDS)


class PlainLoader(yaml.SafeLoader):
    """YAML without aliases, which let a few lines stand for gigabytes."""

    def compose_node(self, parent, index):
        """A node of the document."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"aliases are not read (*{self.peek_event().anchor}): write the value out")
        return super().compose_node(parent, index)


#: How configs that are only data are read.
PARSERS = {".json": json.loads} | dict.fromkeys((".yaml", ".yml"), partial(yaml.load, Loader=PlainLoader))

#: Types that a config may leave out.
DEFAULT_TYPES = {"train_cfg": "StagedTrainLoop", "test_cfg": "ReconstructionTestLoop"}

#: Keys that are the builder's and not the part's.
BUILDERS = {"type", "constructor", "paramwise_cfg", "convert_to_iter_based"}


def top_level_keys() -> set[str]:
    """All keys that a config may have at its top."""
    arguments = inspect.signature(ReconstructionRunner.__init__).parameters
    return set(arguments) - {"self", "cfg", "progress", "deadline"} | EXTRA_KEYS


def find_config(path: str | Path) -> Path:
    """A config's file: as given, or else below the ``configs`` that came with the package."""
    relative = Path(path)
    if relative.is_file() or relative.is_absolute():
        return relative
    parts = relative.parts[1:] if relative.parts[:1] == ("configs", ) else relative.parts
    return next((p for p in (folder.joinpath(*parts) for folder in _package_configs()) if p.is_file()), relative)


def _package_configs() -> tuple[Path, Path]:
    """Where the configs that came with the package are: inside it where it is installed, beside it in a checkout."""
    package = Path(__file__).parents[1]
    return package / "configs", package.parent / "configs"


def _similar_configs(path: Path) -> str:
    """A sentence that names the configs with the nearest names: beside a path, or among the package's."""
    own = {f"configs/{p.relative_to(folder).as_posix()}" for folder in _package_configs() for p in folder.glob("[!_]*/*.py")}
    return nearest(str(path), own | {str(p) for p in path.parent.glob("*.py")})


def load_config(path: str | Path, options: Mapping | None = None) -> Config:
    """Read a config file with its bases, apply ``key=value`` options, import plug-ins and check everything.

    Names that begin with an underscore are the config's private variables.

    Raises:
        ConfigError: if the file is missing or broken, or something in it is unknown.
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
    """A config as it stands in its file: ``.py`` is run, with its bases; ``.json``, ``.yaml`` and ``.yml`` are only data.

    Raises:
        ConfigError: if it can't be read, or has another ending.
    """
    if path.suffix not in (".py", *PARSERS):
        raise ConfigError(f"{path}: a config ends in .py, {', '.join(PARSERS)}")
    try:
        return _parse(path) if path.suffix in PARSERS else Config.fromfile(str(path), import_custom_modules=False)
    except Exception as error:  # a config may be a program: anything can go wrong in it
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
    """Make sure that keys are words: a work folder's ``config.py``, which is a program, has them as they are."""
    if isinstance(node, dict):
        for key, value in node.items():
            if not isinstance(key, str) or not key.isprintable() or set(key) & set("'\"\\"):
                raise ValueError(f"the key {key!r} must be a text without quotes, backslashes and control characters")
            _check_names(value)
    elif isinstance(node, list):
        for value in node:
            _check_names(value)


def imported_modules(wanted: object, source: str) -> list[str]:
    """The names of the modules in a config's ``custom_imports``.

    Raises:
        ConfigError: if it is of another form.
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
        ConfigError: if it names no modules, one can't be imported, or one beside the config is hidden by another of its name.
        PluginError: if a config that is only data names modules that are no installed plug-ins.
    """
    imports, where = imported_modules(wanted, str(path)), f"{path}: custom_imports"
    if path.suffix != ".py":
        check_imports(imports, str(path))
    folder = path.resolve().parent
    if any(_beside(folder, name) for name in imports) and str(folder) not in sys.path:
        sys.path.append(str(folder))  # last, so that no part of Python or of the package is hidden; it stays for late imports
    for name in imports:
        try:
            module = importlib.import_module(name)
        except Exception as error:  # whatever goes wrong in foreign code
            raise ConfigError(f"{path}: can't be read: custom_imports: '{name}' can't be imported (looked on Python's path "
                              f"and in {folder}): {type(error).__name__}: {error}") from error
        own, file = _beside(folder, name), getattr(module, "__file__", None)
        if own and (file is None or not Path(file).resolve().is_relative_to(folder)):
            raise ConfigError(f"{where}: '{name}' is {own}, but Python has another module of that name "
                              f"({file or 'built in'}); rename yours")


def _beside(folder: Path, name: str) -> Path | None:
    """The file or package in a folder that an import of a name would find there."""
    top = folder / name.split(".")[0]
    return next((p for p in (top.with_suffix(".py"), top / "__init__.py") if p.is_file()), None)


def check_config(cfg: Mapping | Config, source: str = "config") -> None:
    """Look at every key and every named part of a config.

    Raises:
        ConfigError: for the first unknown key or part; names where it stands and the nearest known names.
    """
    if "model" not in cfg:
        raise ConfigError(f"{source}: has no 'model'; {nearest('model', cfg)}")
    for key in cfg:
        if key not in top_level_keys():
            raise ConfigError(f"{source}: unknown key '{key}' at the top: {nearest(key, top_level_keys())}. "
                              "Private variables of a config begin with an underscore.")
    check_values(ReconstructionRunner, dict(cfg.items()), f"{source}: ")
    check_structure(cfg, f"{source}: ")
    stages = (cfg.get("train_cfg") or {}).get("stages") or ()
    stages = stages if isinstance(stages, (list, tuple)) else ()  # otherwise the loop's own check says so, below
    for k, stage in enumerate(stages):
        if isinstance(stage, Mapping):
            check_values(StageConfig, stage, f"{source}: train_cfg.stages[{k}].")
        StageConfig.read(stage)
        check_structure(stage, f"{source}: train_cfg.stages[{k}].")
    for where, each in [("", cfg), *((f"train_cfg.stages[{k}].", stage) for k, stage in enumerate(stages))]:
        _check_training(each, f"{source}: {where}")
    for where, scene in _named("scene", {key: value for key, value in cfg.items() if key != "model"}):
        check_keys(load_scene, scene, f"{source}: {where}")
        check_required(load_scene, scene, f"{source}: {where}")
        check_values(load_scene, scene, f"{source}: {where}.")
    cfg = dict(cfg.items(), default_hooks=complete_hooks(cfg.get("default_hooks")))
    for where, key, part in _parts(cfg):
        _check_part(where, key, part, source)


def check_structure(cfg: Mapping | Config, where: str) -> None:
    """Make sure that parts stand where parts have to be, in a config or in a stage of it.

    Raises:
        ConfigError: naming the first place with anything but a dictionary with a ``type``.
    """
    hooks = cfg.get("default_hooks") or {}
    places = [(key, cfg[key]) for key in ("train_dataset", "test_dataset") if cfg.get(key) is not None]
    places += [("model", cfg["model"])] if "model" in cfg else []
    places += [(f"default_hooks.{k}", v) for k, v in complete_hooks(hooks).items() if v is not None] if hooks else []
    for key in ("custom_hooks", "test_evaluator"):
        places += [(f"{key}[{k}]", each) for k, each in enumerate(cfg.get(key) or ())]
    places += _schedules("param_scheduler", cfg.get("param_scheduler"))
    wrapper = cfg.get("optim_wrapper")
    if isinstance(wrapper, Mapping):
        places += [("optim_wrapper.optimizer", wrapper["optimizer"])] if "optimizer" in wrapper else []
    for place, part in places:
        if not isinstance(part, Mapping) or "type" not in part:
            raise ConfigError(f"{where}{place}={part!r}: expected a dictionary with a 'type', such as dict(type='NAME', ...)")


def _schedules(place: str, node) -> list[tuple[str, object]]:
    """All learning-rate schedules: a single one, those of a list, or those that are named by optimisers."""
    if isinstance(node, (list, tuple)):
        return [(f"{place}[{k}]", each) for k, each in enumerate(node)]
    if isinstance(node, Mapping) and "type" not in node:
        return [found for name, each in node.items() for found in _schedules(f"{place}.{name}", each)]
    return [] if node is None else [(place, node)]


def _check_training(cfg: Mapping | Config, where: str) -> None:
    """Data and optimisers of a stage, or of the whole run."""
    loader, wrapper = cfg.get("train_dataloader"), cfg.get("optim_wrapper")
    if loader is not None and cfg.get("train_dataset") is not None:
        raise ConfigError(f"{where}train_dataset and train_dataloader can't both be given")
    if loader is not None:
        check_keys(DataLoader, loader, f"{where}train_dataloader")
        if "dataset" not in loader:
            raise ConfigError(f"{where}train_dataloader has no 'dataset'; {nearest('dataset', loader)}")
    if wrapper is None or "type" in wrapper:
        return
    if is_single(wrapper):
        check_keys(root.OPTIM_WRAPPERS.get("OptimWrapper"), set(wrapper) - BUILDERS, f"{where}optim_wrapper")
        _check_clipping(wrapper.get("clip_grad"), f"{where}optim_wrapper.clip_grad")
        return
    for name, part in wrapper.items():
        if not isinstance(part, Mapping) or not is_single(part):
            raise ConfigError(f"{where}optim_wrapper.{name}: unknown key, or a part of the framework without an 'optimizer'; "
                              "expected dict(optimizer=dict(type=...)), or one such dictionary for each part")


def _check_clipping(clip: object, where: str) -> None:
    """The arguments of torch's gradient clipping, which would else be looked at in the first step."""
    if clip is None:
        return
    if not isinstance(clip, Mapping):
        raise ConfigError(f"{where}={clip!r}: expected a dictionary, such as dict(max_norm=1.0)")
    by_value, given = clip.get("type") == "value", {key: value for key, value in clip.items() if key != "type"}
    function = clip_grad_value_ if by_value else clip_grad_norm_
    check_keys(function, given, where)
    check_required(function, {"parameters", *given}, where)
    check_values(function, given, f"{where}.")


def _named(name: str, node, where: str = "") -> Iterator[tuple[str, Mapping]]:
    """Every dictionary that stands under a name, anywhere, and where."""
    if isinstance(node, (Mapping, Config)):
        for key, value in node.items():
            here = f"{where}.{key}".lstrip(".")
            if key == name and isinstance(value, Mapping):
                yield here, value
            yield from _named(name, value, here)
    elif isinstance(node, (list, tuple)):
        for k, value in enumerate(node):
            yield from _named(name, value, f"{where}[{k}]")


def _parts(node, where: str = "", key: str = "") -> Iterator[tuple[str, str, Mapping]]:
    """Every dictionary with a ``type``, where it stands, and the nearest key above that says what it is."""
    if isinstance(node, (Mapping, Config)):
        if "type" in node:
            yield where, key, node
        for name, value in node.items():
            if name in DEFAULT_TYPES and isinstance(value, Mapping):
                value = {"type": DEFAULT_TYPES[name], **value}
            if name != "custom_imports":
                yield from _parts(value, f"{where}.{name}".lstrip("."), name if "type" in node else _meaning(name, key))
    elif isinstance(node, (list, tuple)):
        for k, value in enumerate(node):
            yield from _parts(value, f"{where}[{k}]", key)


def _meaning(name: str, key: str) -> str:
    """Which key says what stands under a name: that name, or the ``key`` above, below which names are free."""
    free = key in ("default_hooks", "losses", "param_scheduler") or (key == "optim_wrapper" and name != "optimizer")
    return key if free or name not in BY_KEY else name


def _check_part(where: str, key: str, part: Mapping, source: str) -> None:
    if not isinstance(part["type"], str):
        cls = part["type"]
    else:
        cls = _find(part["type"], BY_KEY.get(key, (*registry.ALL, *OTHERS)), f"{source}: {where}", key in BY_KEY)
    own = BUILDERS | {"priority"} if key in ("default_hooks", "custom_hooks") else BUILDERS
    values = {key: value for key, value in part.items() if key not in own}
    check_keys(cls, values, f"{source}: {where}")
    check_values(cls, values, f"{source}: {where}.")


def _find(name: str, registries, where: str, specific: bool):
    for each in registries:
        cls = each.get(name)
        if cls is not None:
            return cls
    known = {k for each in registries for k in known_parts(each)}
    label = f"the registry '{registries[0].name}'" if specific else "any registry"
    raise ConfigError(f"{where}: type='{name}' is not in {label}: {nearest(name, known)}")


def runner_arguments(cfg: Config) -> dict:
    """The part of a checked config that goes to the runner."""
    return {k: v for k, v in cfg.items() if k not in EXTRA_KEYS}


def merge_options(cfg: Config, options: Mapping, where: str) -> None:
    """Replace a config's values by dotted keys, one after the other.

    Raises:
        ConfigError: if a key doesn't fit the config; it begins with ``where``.
    """
    for key, value in options.items():
        try:
            cfg.merge_from_dict({key: value})
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise ConfigError(f"{where} {key}={value} doesn't fit it: {error}") from None


def build_runner(cfg: Config, **arguments) -> ReconstructionRunner:
    """The runner that a config describes; ``arguments`` win over the config's."""
    cfg = copy.deepcopy(cfg) if isinstance(cfg, Config) else Config(ConfigDict(cfg))
    cfg.merge_from_dict({key: arguments[key] for key in ("seed", "amp") if key in arguments})  # what is written is what ran
    arguments = runner_arguments(cfg) | arguments
    runner = registry.RUNNERS.get(cfg.get("runner_type", "ReconstructionRunner"))
    if runner is None:
        raise ConfigError(f"runner_type='{cfg.runner_type}': {nearest(cfg.runner_type, known_parts(registry.RUNNERS))}")
    return runner(**arguments, cfg=cfg)

"""Reading a config and checking all of it before anything heavy starts."""

import copy
import inspect
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import mmengine.registry as root
from mmengine.config import Config, ConfigDict
from torch.utils.data import DataLoader

import deep3dmap
import deep3dmap.registry as registry
from deep3dmap.datasets.scene import load_scene
from deep3dmap.engine.optim import is_single
from deep3dmap.engine.runner import ReconstructionRunner, complete_hooks
from deep3dmap.engine.stages import StageConfig
from deep3dmap.errors import ConfigError
from deep3dmap.files import FULL, reason
from deep3dmap.registry import check_keys, known_parts, load_plugins, nearest

#: Keys of a config's top level besides the runner's own arguments.
EXTRA_KEYS = {"custom_imports", "runner_type", "compile", "experiment"}

#: Which registries may hold a part that is found under a key; other typed dictionaries are searched for in all of them.
BY_KEY = {
    "model": (registry.FRAMEWORKS, root.MODELS),
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

#: Types that a config may leave out.
DEFAULT_TYPES = {"train_cfg": "StagedTrainLoop", "test_cfg": "ReconstructionTestLoop"}

#: Keys that are the builder's and not the part's.
BUILDERS = {"type", "_scope_", "constructor", "paramwise_cfg", "convert_to_iter_based"}


def top_level_keys() -> set[str]:
    """All keys that a config may have at its top."""
    arguments = inspect.signature(ReconstructionRunner.__init__).parameters
    return set(arguments) - {"self", "cfg", "progress", "deadline"} | EXTRA_KEYS


def find_config(path: str | Path) -> Path:
    """A config's file: as given, or else below the ``configs`` that came with the package."""
    package, relative = Path(deep3dmap.__file__).parent, Path(path)
    if relative.is_file() or relative.is_absolute():
        return relative
    parts = relative.parts[1:] if relative.parts[:1] == ("configs", ) else relative.parts
    places = [folder.joinpath(*parts) for folder in (package / "configs", package.parent / "configs")]
    return next((p for p in places if p.is_file()), relative)


def load_config(path: str | Path, options: Mapping | None = None) -> Config:
    """Read a config file with its bases, apply ``key=value`` options, import plug-ins and check everything.

    Names that begin with an underscore are the config's private variables.

    Raises:
        ConfigError: if the file is missing or broken, or something in it is unknown.
        PluginError: if an installed plug-in can't be imported.
    """
    path = find_config(path)
    if not path.is_file():
        near = sorted(str(p) for p in path.parent.glob("*.py")) if path.parent.is_dir() else []
        raise ConfigError(f"{path}: no such config; {nearest(str(path), near) if near else 'see configs/'}")
    load_plugins()
    try:
        cfg = Config.fromfile(str(path))
    except Exception as error:  # a config is Python: anything can go wrong in it
        if isinstance(error, OSError) and error.errno in FULL:
            raise ConfigError(f"{path}: can't be copied to the temporary folder {tempfile.gettempdir()} ({reason(error)}, or "
                              "name another folder in TMPDIR)") from None
        raise ConfigError(f"{path}: can't be read: {type(error).__name__}: {error}") from error
    try:
        cfg.merge_from_dict(dict(options or {}))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ConfigError(f"{path}: --cfg-options {dict(options)} don't fit it: {error}") from None
    for key in [k for k in cfg if k.startswith("_")]:
        cfg.pop(key)
    check_config(cfg, str(path))
    return cfg


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
    stages = (cfg.get("train_cfg") or {}).get("stages") or ()
    for stage in stages:
        StageConfig.read(stage)
    for where, each in [("", cfg), *((f"train_cfg.stages[{k}].", stage) for k, stage in enumerate(stages))]:
        _check_training(each, f"{source}: {where}")
    for where, scene in _named("scene", {key: value for key, value in cfg.items() if key != "model"}):
        check_keys(load_scene, scene, f"{source}: {where}")
    cfg = dict(cfg.items(), default_hooks=complete_hooks(cfg.get("default_hooks")))
    for where, key, part in _parts(cfg):
        _check_part(where, key, part, source)


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
        return
    for name, part in wrapper.items():
        if not isinstance(part, Mapping) or not is_single(part):
            raise ConfigError(f"{where}optim_wrapper.{name}: unknown key, or a part of the framework without an 'optimizer'; "
                              "expected dict(optimizer=dict(type=...)), or one such dictionary for each part")


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
            if name not in ("_scope_", "custom_imports"):
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
    check_keys(cls, [k for k in part if k not in own], f"{source}: {where}")


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


def build_runner(cfg: Config, **arguments) -> ReconstructionRunner:
    """The runner that a config describes; ``arguments`` win over the config's."""
    cfg = copy.deepcopy(cfg) if isinstance(cfg, Config) else Config(ConfigDict(cfg))
    cfg.merge_from_dict({key: arguments[key] for key in ("seed", "amp") if key in arguments})  # what is written is what ran
    arguments = runner_arguments(cfg) | arguments
    runner = registry.RUNNERS.get(cfg.get("runner_type", "ReconstructionRunner"))
    if runner is None:
        raise ConfigError(f"runner_type='{cfg.runner_type}': {nearest(cfg.runner_type, known_parts(registry.RUNNERS))}")
    return runner(**arguments, cfg=cfg)

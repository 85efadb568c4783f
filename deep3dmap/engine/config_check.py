"""Validation of a config: every key and every part, before anything is built."""

import inspect
from collections.abc import Iterator, Mapping

import mmengine.registry as root
from mmengine.config import Config
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.utils.data import DataLoader

import deep3dmap.registry as registry
from deep3dmap.annotations import Count, Share
from deep3dmap.datasets.captures.scene import load_scene
from deep3dmap.datasets.kinds import BatchDataset, ItemDataset, check_kind
from deep3dmap.engine.optim import OWN_KEYS, is_single, part_schedule
from deep3dmap.engine.runner import ReconstructionRunner, complete_hooks
from deep3dmap.engine.stages import StageConfig
from deep3dmap.errors import ConfigError
from deep3dmap.registry import check_arguments, check_keys, check_required, check_values, known_parts, nearest, takes_weights
from deep3dmap.schedules import Schedule

#: Top-level keys of a config in addition to the runner's arguments.
EXTRA_KEYS = {"custom_imports", "runner_type", "experiment", "instances"}

#: Registries of the parts under a key; parts under other keys are looked up in all registries.
BY_KEY = {
    **dict.fromkeys(("geometry", "radiance", "backbone"), (registry.BACKBONES, )),
    **dict.fromkeys(("capture", "dataset", "train_dataset", "val_dataset", "test_dataset"), (registry.DATASETS, )),
    **dict.fromkeys(("train_cfg", "test_cfg"), (registry.LOOPS, )),
    **dict.fromkeys(("val_evaluator", "test_evaluator"), (registry.METRICS, )),
    **dict.fromkeys(("default_hooks", "custom_hooks"), (registry.HOOKS, root.HOOKS)),
    "model": (registry.FRAMEWORKS, ), "renderer": (registry.RENDERERS, ), "losses": (registry.LOSSES, ),
    "pipeline": (registry.TRANSFORMS, ), "val_cfg": (registry.HOOKS, ), "optim_wrapper": (root.OPTIM_WRAPPERS, ),
    "optimizer": (root.OPTIMIZERS, ), "param_scheduler": (root.PARAM_SCHEDULERS, ),
}  # yapf: disable
OTHERS = (root.DATA_SAMPLERS, root.FUNCTIONS, root.OPTIM_WRAPPERS, root.OPTIMIZERS, root.PARAM_SCHEDULERS, root.VISBACKENDS)

#: Types that a config may omit.
DEFAULT_TYPES = {"train_cfg": "StagedTrainLoop", "val_cfg": "ValidationHook", "test_cfg": "ReconstructionTestLoop"}

#: The kind of data set for each key; ``test_dataset`` and ``val_dataset`` take views or items.
KINDS = {"train_dataset": BatchDataset, "train_dataloader": ItemDataset, "val_dataloader": ItemDataset,
         "test_dataloader": ItemDataset}  # yapf: disable

#: Keys used by the builder, not by the part.
BUILDERS = {"type", "constructor", "paramwise_cfg", "convert_to_iter_based"}


def top_level_keys() -> set[str]:
    """All allowed top-level keys of a config."""
    arguments = inspect.signature(ReconstructionRunner.__init__).parameters
    return set(arguments) - {"self", "cfg", "progress", "deadline"} | EXTRA_KEYS


def check_config(cfg: Mapping | Config, source: str = "config") -> None:
    """Check every key and every part of a config.

    Raises:
        ConfigError: for the first unknown key or part; names its location and the closest known names.
    """
    if "model" not in cfg:
        raise ConfigError(f"{source}: has no 'model'; {nearest('model', cfg)}")
    for key in cfg:
        if key not in top_level_keys():
            raise ConfigError(f"{source}: unknown top-level key '{key}': {nearest(key, top_level_keys())}. "
                              "Private variables of a config begin with an underscore.")
    check_values(ReconstructionRunner, dict(cfg.items()), f"{source}: ")
    check_structure(cfg, f"{source}: ")
    stages = (cfg.get("train_cfg") or {}).get("stages") or ()
    stages = stages if isinstance(stages, (list, tuple)) else ()  # otherwise the loop's check below reports it
    for k, stage in enumerate(stages):
        if isinstance(stage, Mapping):
            check_values(StageConfig, stage, f"{source}: train_cfg.stages[{k}].")
        StageConfig.read(stage)
        check_structure(stage, f"{source}: train_cfg.stages[{k}].")
    for where, each in [("", cfg), *((f"train_cfg.stages[{k}].", stage) for k, stage in enumerate(stages))]:
        _check_training(each, f"{source}: {where}")
    if "instances" in cfg:
        check_arguments(_instances, cfg["instances"], f"{source}: instances")
    for where, scene in _named("scene", {key: value for key, value in cfg.items() if key != "model"}):
        check_arguments(load_scene, scene, f"{source}: {where}")
    cfg = dict(cfg.items(), default_hooks=complete_hooks(cfg.get("default_hooks")))
    for where, key, part in _parts(cfg):
        _check_part(where, key, part, source)


def check_structure(cfg: Mapping | Config, where: str) -> None:
    """Refuse parts of a config, or of one of its stages, that are no dictionaries with a ``type``."""
    hooks = cfg.get("default_hooks") or {}
    places = [(key, cfg[key]) for key in ("train_dataset", "val_dataset", "test_dataset") if cfg.get(key) is not None]
    places += [("model", cfg["model"])] if "model" in cfg else []
    places += [(f"default_hooks.{k}", v) for k, v in complete_hooks(hooks).items() if v is not None] if hooks else []
    for key in ("custom_hooks", "val_evaluator", "test_evaluator"):
        places += [(f"{key}[{k}]", each) for k, each in enumerate(cfg.get(key) or ())]
    places += _schedules("param_scheduler", cfg.get("param_scheduler"))
    wrapper = cfg.get("optim_wrapper")
    if isinstance(wrapper, Mapping):
        places += [("optim_wrapper.optimizer", wrapper["optimizer"])] if "optimizer" in wrapper else []
    for place, part in places:
        if not isinstance(part, Mapping) or "type" not in part:
            raise ConfigError(f"{where}{place}={part!r}: expected a dictionary with a 'type', such as dict(type='NAME', ...)")


def _schedules(place: str, node) -> list[tuple[str, object]]:
    """All learning-rate schedules: a single one, a list, or a dictionary by optimiser."""
    if isinstance(node, (list, tuple)):
        return [(f"{place}[{k}]", each) for k, each in enumerate(node)]
    if isinstance(node, Mapping) and "type" not in node:
        return [found for name, each in node.items() for found in _schedules(f"{place}.{name}", each)]
    return [] if node is None else [(place, node)]


def _check_training(cfg: Mapping | Config, where: str) -> None:
    """Check data and optimisers of a stage, or of the whole run."""
    for use in ("train", "val", "test"):
        _check_loader(cfg, use, where)
    wrapper = cfg.get("optim_wrapper")
    if wrapper is None or "type" in wrapper:
        return
    if is_single(wrapper):
        _check_optimizer(wrapper, f"{where}optim_wrapper")
        return
    for name, part in wrapper.items():
        if not isinstance(part, Mapping) or not is_single(part):
            raise ConfigError(f"{where}optim_wrapper.{name}: unknown key, or a part of the framework without an 'optimizer'; "
                              "expected dict(optimizer=dict(type=...)), or one such dictionary for each part")
        _check_optimizer(part, f"{where}optim_wrapper.{name}")


def _check_loader(cfg: Mapping | Config, use: str, where: str) -> None:
    """Check the dataloader and the kind of data set for one use of the data."""
    loader, dataset = cfg.get(f"{use}_dataloader"), cfg.get(f"{use}_dataset")
    if loader is not None and dataset is not None:
        raise ConfigError(f"{where}{use}_dataset and {use}_dataloader can't both be given")
    if loader is not None:
        check_keys(DataLoader, loader, f"{where}{use}_dataloader")
        if "dataset" not in loader:
            raise ConfigError(f"{where}{use}_dataloader has no 'dataset'; {nearest('dataset', loader)}")
        dataset = loader["dataset"]
    kind = KINDS.get(f"{use}_dataset" if loader is None else f"{use}_dataloader")
    if kind and isinstance(dataset, Mapping) and (part := registry.DATASETS.get(str(dataset.get("type")))):
        check_kind(part, kind, f"{where}{use}_dataset" if loader is None else f"{where}{use}_dataloader.dataset")


def _check_optimizer(cfg: Mapping, where: str) -> None:
    """Check one optimiser: its keys, clipping, and the schedule and average of its part."""
    if "type" not in cfg:
        check_keys(root.OPTIM_WRAPPERS.get("OptimWrapper"), set(cfg) - BUILDERS - set(OWN_KEYS), where)
    _check_clipping(cfg.get("clip_grad"), f"{where}.clip_grad")
    check_values(_own_settings, {key: cfg[key] for key in OWN_KEYS if key in cfg}, f"{where}.")
    if "schedule" in cfg:
        Schedule(part_schedule(cfg["schedule"])["schedule"], f"{where}.schedule")


def _instances(dataset: Mapping, workers: Count | None = None) -> None:
    """Signature of ``instances``: a data set with an item for each run, and the number of parallel runs."""


def _own_settings(average: Share = 0.0, schedule: object = None, fresh_each_stage: bool = False) -> None:
    """Signature of the keys beside a part's optimiser."""


def _check_clipping(clip: object, where: str) -> None:
    """Check the arguments of torch's gradient clipping, which would otherwise fail in the first step."""
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
    """Every dictionary under a key, at any depth, with its location."""
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
    """Every dictionary with a ``type``: its location, and the closest enclosing key of ``BY_KEY``."""
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
    """The key of ``BY_KEY`` that applies under a name: the name itself, or the enclosing ``key`` where names are arbitrary."""
    free = key in ("default_hooks", "losses", "param_scheduler") or (key == "optim_wrapper" and name != "optimizer")
    return key if free or name not in BY_KEY else name


def _check_part(where: str, key: str, part: Mapping, source: str) -> None:
    if not isinstance(part["type"], str):
        cls = part["type"]
    else:
        cls = _find(part["type"], BY_KEY.get(key, (*registry.ALL, *OTHERS)), f"{source}: {where}", key in BY_KEY)
    own = BUILDERS | {"priority"} if key in ("default_hooks", "custom_hooks") else BUILDERS
    own = own | set(OWN_KEYS) if key == "optim_wrapper" else own | {"weights"} if takes_weights(cls) else own
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

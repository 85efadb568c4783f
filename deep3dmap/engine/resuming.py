"""Config changes allowed when a run is resumed.

A change is honoured if it takes effect from the first resumed step; every other is refused, so that the recorded config is
the one that ran.
"""

import inspect
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from mmengine.optim import OptimWrapper
from torch import Tensor

from deep3dmap.datasets.captures.scene import load_scene
from deep3dmap.engine.stages import StageConfig
from deep3dmap.errors import ConfigError

#: Old and new value by key; None where a config has none.
Changes = dict[str, tuple[object, object]]

#: Keys of the config whose changes are always honoured.
HONOURED = ("work_dir", "resume", "load_from", "device", "launcher", "amp", "experiment", "custom_imports*",
            "test_*", "default_hooks*", "custom_hooks*", "train_cfg.max_*", "train_cfg.average",
            "model.losses*")  # yapf: disable

#: Likewise, at the top level and in the checkpoint's stage, unless a ``type`` changes.
OF_A_STAGE = ("max_*", "losses*", "optim_wrapper*.clip_grad*", "optim_wrapper*.accumulative_counts",
              "optim_wrapper*optimizer.*", "optim_wrapper*paramwise_cfg.*_mult", "train_dataset.rays",
              "train_dataloader.batch_size", "train_dataloader.num_workers", "train_dataloader.p*")  # yapf: disable
RENDERER, CACHE = "model.renderer.*", "model.renderer.cache*"
SCHEDULE, CAPTURE = "param_scheduler*", ("scene.capture", "scene.capture.path")

#: Settings that the factors of ``paramwise_cfg`` multiply.
FACTORS = {"lr_mult": "lr", "bias_lr_mult": "lr", "decay_mult": "weight_decay"}
SHOWN = 12


def resume_changes(old: Mapping, new: Mapping, stage: int = 0, same_views: bool = False) -> tuple[Changes, Changes]:
    """The differences of two configs, and which of them a resumed run honours.

    Args:
        old: the checkpoint's config.
        new: the config of the resumed run.
        stage: index of the stage in which the checkpoint was written.
        same_views: whether both runs have the same views and cameras; then the folder of a capture may differ.

    Returns:
        Honoured and refused changes, by dotted key.
    """
    before, after = (_flat(_complete(json.loads(json.dumps(cfg, default=str)))) for cfg in (old, new))
    changes = _differences(before, after)
    types = {each[key] for each in (before, after) for key in each if re.search(r"param_scheduler.*\btype$", key)}
    honoured = {key: change for key, change in changes.items()
                if _is_honoured(key, stage, types <= {"ProgressLR"}, same_views)}  # yapf: disable
    return honoured, {key: change for key, change in changes.items() if key not in honoured}


def _differences(before: Mapping, after: Mapping) -> Changes:
    """The values that differ, by key."""
    return {key: (before.get(key), after.get(key)) for key in sorted({*before, *after})
            if before.get(key) != after.get(key)}  # yapf: disable


def check_same_config(old: Mapping, new: Mapping, source: str) -> None:
    """Check that a resumed inference has the config of what is kept.

    Args:
        old, new: configs as plain values.
        source: the file of what is kept, for the message.

    Raises:
        ConfigError: if a value differs; lists them.
    """
    changes = _differences(_flat(old), _flat(new))
    if changes:
        raise ConfigError(f"{source}: a resumed inference can't change\n{described(changes)}\nUndo these changes to resume, "
                          "or start again with --overwrite.")


def _is_honoured(key: str, stage: int, schedules_follow: bool, same_views: bool) -> bool:
    """Whether a change under a key is honoured; ``schedules_follow`` if no schedule saves its settings."""
    if any(fnmatchcase(key, pattern) for pattern in HONOURED) or (key in CAPTURE and same_views):
        return True
    if match := re.match(r"train_cfg\.stages\[(\d+)\]\.?(.*)", key):
        if int(match[1]) != stage:
            return int(match[1]) > stage
        key = match[2]
    if key.endswith("type"):
        return False
    if fnmatchcase(key, SCHEDULE):
        return schedules_follow
    if fnmatchcase(key, RENDERER):
        return not fnmatchcase(key, CACHE)
    return any(fnmatchcase(key, pattern) for pattern in OF_A_STAGE)


def _complete(cfg: Mapping) -> dict:
    """A config with fixed defaults for omitted keys."""
    train = cfg.get("train_cfg") or {}
    stages = [_defaults(StageConfig) | dict(stage) for stage in train.get("stages") or ()]
    complete = dict(seed=0, amp=False, device="auto", launcher="none", resume=False) | dict(cfg)
    complete["train_cfg"] = dict(type="StagedTrainLoop", average=0.0) | dict(train, stages=stages)
    if complete.get("scene"):
        complete["scene"] = _defaults(load_scene) | dict(complete["scene"])
    return complete


def _defaults(function) -> dict:
    parameters = inspect.signature(function).parameters.values()
    return json.loads(json.dumps({p.name: p.default for p in parameters if p.default is not p.empty}))


def _flat(node, where: str = "") -> dict[str, object]:
    """All values by dotted key, without those that are None; lists are values unless they hold dictionaries."""
    return dict(_leaves(node, where))


def _leaves(node, where: str) -> Iterator[tuple[str, object]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _leaves(value, f"{where}.{key}" if where else str(key))
    elif isinstance(node, list) and node and all(isinstance(value, Mapping) for value in node):
        for k, value in enumerate(node):
            yield from _leaves(value, f"{where}[{k}]")
    elif node is not None and node != []:
        yield where, node


def described(changes: Changes) -> str:
    """Changes as text, one a line; the first few of many."""
    lines = [f"  {key}: {_shown(old)} -> {_shown(new)}" for key, (old, new) in list(changes.items())[:SHOWN]]
    return "\n".join(lines + [f"  and {len(changes) - SHOWN} more"] * (len(changes) > SHOWN))


def _shown(value) -> str:
    return "not set" if value is None else repr(value)


def check_resume(old: Mapping, new: Mapping, stage: int, same_views: bool, source: str) -> Changes:
    """The honoured changes of a resumed run.

    Args:
        source: the checkpoint, for the message.

    Raises:
        ConfigError: for changes that can't be honoured; lists them.
    """
    honoured, refused = resume_changes(old, new, stage, same_views)
    if refused:
        raise ConfigError(f"{source}: a resumed run can't change\n{described(refused)}\nUndo these changes to resume, or "
                          "start a new run in another folder (load_from loads the weights).")
    return honoured


def same_views(a: Mapping, b: Mapping) -> bool:
    """Whether two datasets' ``info()`` are equal except for source and checksums."""
    others = {"source": None, "checksums": None}
    return _same({**a, **others}, {**b, **others})


def check_same_files(old: Mapping, new: Mapping, source: str) -> None:
    """Check that a resumed run uses the same photographs, masks and cameras as before.

    Args:
        old, new: old and new ``info()`` of the dataset; not compared if one has no ``checksums``.
        source: the checkpoint, for the message.

    Raises:
        ConfigError: naming the capture and the views whose files have changed.
    """
    if "checksums" not in old or "checksums" not in new:
        return
    before, now = (dict(zip(info["names"], info["checksums"])) for info in (old, new))
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if changed:
        shown = ", ".join(changed[:SHOWN]) + f" and {len(changed) - SHOWN} more" * (len(changed) > SHOWN)
        raise ConfigError(f"{new['source']}: photographs, masks or cameras have changed since {source} was written "
                          f"(of the views {shown}); restore those files to resume, or start a new run in another folder "
                          "(load_from loads the weights).")


def _same(a, b) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and bool((a.cpu() == b.cpu()).logical_or(a.isnan().cpu() & b.isnan().cpu()).all())
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    return type(a) is type(b) and a == b


# --- settings of optimisers, which are part of their saved states ---------------------------------------------------------


def optimizer_settings(changes: Changes) -> set[str]:
    """Names of the optimiser settings (``lr``, ``weight_decay`` ...) affected by changes."""
    names = {match[1] for key in changes if (match := re.search(r"\boptimizer\.(\w+)", key))}
    return names | {FACTORS[name] for key in changes if (name := key.rsplit(".", 1)[-1]) in FACTORS}


def settings_of(wrappers: Iterable[OptimWrapper]) -> list[dict]:
    """The settings of every parameter group as configured, before a saved state is loaded."""
    return [{**{k: v for k, v in group.items() if k != "params"}, "lr": _rate(group)}
            for each in wrappers for group in each.param_groups]  # yapf: disable


def put_settings(wrappers: Iterable[OptimWrapper], schedulers, settings: list[dict], names: Collection[str]) -> None:
    """Replace settings in a loaded state; learning rates are scaled, so that their schedules continue.

    Args:
        wrappers: the optimisers.
        schedulers: their learning-rate schedules.
        settings: the result of :func:`settings_of`.
        names: settings to replace.
    """
    for group, new in zip([group for each in wrappers for group in each.param_groups], settings):
        if "lr" in names and new["lr"] != _rate(group):
            factor = new["lr"] / _rate(group) if _rate(group) else 1.0
            group["lr"] *= factor
            if "initial_lr" in group:
                group["initial_lr"] = new["lr"]
        group.update({name: new[name] for name in names if name in new and name != "lr"})
    for scheduler in schedulers if "lr" in names else ():
        if scheduler.param_name == "lr":
            scheduler.base_values = [group["initial_lr"] for group in scheduler.optimizer.param_groups]


def _rate(group: Mapping) -> float:
    return group.get("initial_lr", group["lr"])

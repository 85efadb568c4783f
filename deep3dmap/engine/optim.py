"""Optimisers and learning-rate schedules of a stage."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict, build_optim_wrapper
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from mmengine.registry import OPTIM_WRAPPERS, PARAM_SCHEDULERS
from torch import nn

from deep3dmap.annotations import Positive, Whole
from deep3dmap.errors import CheckpointError, ConfigError
from deep3dmap.registry import explained, nearest
from deep3dmap.schedules import Progress, Schedule


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Mixed precision in bfloat16, on CPUs as on GPUs.

    bfloat16 has float32's range, so no loss scaling is needed. Frameworks keep what needs float32 (distances, gradients of
    the geometry) out of it themselves.
    """

    @contextmanager
    def optim_context(self, model: nn.Module):
        """The forward pass's context."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16):
            yield


@PARAM_SCHEDULERS.register_module()
class ProgressLR(_ParamScheduler):
    """Learning rate as a function of the spent part of the stage's budget, in steps or in minutes.

    Args:
        schedule: factor of the initial learning rate: a list (shares the stage in equal parts) or a schedule dictionary
            (see :class:`deep3dmap.schedules.Schedule`).
        decay: instead of ``schedule``: the factor reached at the end by exponential decay.
        warmup: steps over which the factor rises linearly from 0.
        progress: holder of the present progress (given by the loop).
    """

    def __init__(self, optimizer, schedule=1.0, decay: Positive = 1.0, warmup: Whole = 0, progress=None):
        self.schedule = Schedule(schedule, "ProgressLR.schedule")
        self.decay, self.warmup, self.source = decay, warmup, progress
        super().__init__(optimizer, "lr", by_epoch=False)

    def _get_value(self):
        progress = self.source.progress if self.source is not None else Progress()
        factor = self.schedule(progress) * self.decay**progress.fraction
        factor *= min(1.0, (progress.step + 1) / self.warmup) if self.warmup else 1.0
        return [base * factor for base in self.base_values]

    def state_dict(self) -> dict:
        """Plain values only."""
        return {"last_step": self.last_step, "base_values": list(self.base_values), "_global_step": self._global_step}


def is_single(cfg: Mapping) -> bool:
    """Whether a config is that of one optimiser for everything, and not one for each part."""
    return "optimizer" in cfg or "constructor" in cfg


def _parts(framework: nn.Module, cfg: Mapping) -> dict[str, nn.Module]:
    """The parts of the framework that have an optimiser of their own, by name."""
    parts = {name: child for name, child in framework.named_children() if child is not None}
    if "rest" in cfg:
        parts["rest"] = nn.ModuleDict({name: child for name, child in parts.items() if name not in cfg})
    for name in cfg:
        if name not in parts:
            raise ConfigError(f"optim_wrapper: '{name}' is no part of {type(framework).__name__}: {nearest(name, parts)}")
    return {name: parts[name] for name in cfg}


def check_optimizers(framework: nn.Module, cfg: Mapping, moving: Mapping[str, nn.Parameter], stage: str) -> None:
    """Make sure that a stage's optimisers and its ``moving`` parameters (by name) belong together.

    Raises:
        ConfigError: if a part's name is not one of the framework, an optimiser has nothing to move, or parameters that are to
            move have none.
    """
    parts = {type(framework).__name__: framework} if is_single(cfg) else _parts(framework, cfg)
    moved, wanted = set(), {id(p) for p in moving.values()}
    for name, part in parts.items():
        own = {id(p) for p in part.parameters()} & wanted
        if not own:
            raise ConfigError(f"stage '{stage}': the optimiser of {name} has no parameter to move")
        moved |= own
    left = [name for name, p in moving.items() if id(p) not in moved]
    if left:
        raise ConfigError(f"stage '{stage}': no optimiser moves {', '.join(left[:3])}{' ...' * (len(left) > 3)}: give their "
                          "part one (or 'rest'), or leave them out of the stage's params")


def build_optimizers(framework: nn.Module, cfg: Mapping, amp: bool) -> OptimWrapper | OptimWrapperDict:
    """The optimiser of a stage; or several, where ``cfg`` names parts of the framework: ``dict(part=dict(optimizer=...))``.

    The name ``rest`` stands for all parts that are not named.

    Parameters that rest in this stage are left out.

    Raises:
        ConfigError: if a part's name is not one of the framework.
    """
    if is_single(cfg):
        return _build(framework, cfg, amp)
    parts = _parts(framework, cfg)
    return OptimWrapperDict(**{name: _build(parts[name], part, amp) for name, part in cfg.items()})


class _Trainable(nn.Module):
    """A view of a module that lists only the parameters that move, under their names."""

    def __init__(self, module: nn.Module):
        super().__init__()
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                *path, last = name.split(".")
                holder = self
                for part in path:
                    holder.add_module(part, holder._modules.get(part) or nn.Module())
                    holder = holder._modules[part]
                holder.register_parameter(last, parameter)


def _build(module: nn.Module, cfg: Mapping, amp: bool) -> OptimWrapper:
    cfg = dict(cfg)
    if amp:
        cfg["type"] = "AutocastOptimWrapper"
    if not set(cfg.get("paramwise_cfg") or {}) - {"custom_keys"} and "constructor" not in cfg:
        module = _Trainable(module)  # other rules ask for the kinds of layers
    with explained("optim_wrapper", cfg.get("optimizer") or cfg):
        return build_optim_wrapper(module, cfg)


def optimizers_state(wrapper: OptimWrapper | OptimWrapperDict) -> dict:
    """The optimisers' state by part (``''`` for a single one), plain values and tensors."""
    if isinstance(wrapper, OptimWrapperDict):
        return {name: w.state_dict() for name, w in wrapper.items()}
    return {"": wrapper.state_dict()}


def load_optimizers_state(wrapper: OptimWrapper | OptimWrapperDict, state: dict) -> None:
    """Put saved states back.

    Raises:
        CheckpointError: if they are of other optimisers, or of other parameters.
    """
    wrappers = dict(wrapper.items()) if isinstance(wrapper, OptimWrapperDict) else {"": wrapper}
    if set(wrappers) != set(state):
        raise CheckpointError(f"the checkpoint has optimisers for {sorted(state)}, the config for {sorted(wrappers)}; to "
                              "start afresh from its weights use load_from")
    for name, each in wrappers.items():
        try:
            each.load_state_dict(dict(state[name]))
        except (ValueError, KeyError) as error:
            raise CheckpointError(f"the checkpoint's optimiser state does not fit the config ({error}); to start afresh from "
                                  "its weights use load_from") from None


def _by_optimizer(schedulers: Iterable, wrapper: OptimWrapper | OptimWrapperDict) -> dict[str, list]:
    """Schedules by the name of their optimiser (``''`` for a single one)."""
    names = {id(each): name for name, each in wrapper.items()} if isinstance(wrapper, OptimWrapperDict) else {}
    found: dict[str, list] = {}
    for scheduler in schedulers or ():
        found.setdefault(names.get(id(scheduler.optimizer), ""), []).append(scheduler)
    return found


def schedulers_state(schedulers: Iterable, wrapper: OptimWrapper | OptimWrapperDict) -> dict[str, list[dict]]:
    """The learning-rate schedules' states by the name of their optimiser: a config may list these in any order."""
    return {name: [s.state_dict() for s in each] for name, each in _by_optimizer(schedulers, wrapper).items()}


def load_schedulers_state(schedulers: Iterable, wrapper: OptimWrapper | OptimWrapperDict, state: Mapping | Sequence) -> None:
    """Put saved states back; a plain list, of an older checkpoint, in its order.

    Raises:
        CheckpointError: if there is another number of them.
    """
    own = _by_optimizer(schedulers, wrapper)
    if not isinstance(state, Mapping):
        own, state = {"": [s for each in own.values() for s in each]}, {"": state}
    counts, saved = ({name: len(each) for name, each in every.items() if each} for every in (own, state))
    if counts != saved:
        raise CheckpointError(f"the checkpoint has {sum(saved.values())} learning-rate schedules, the config "
                              f"{sum(counts.values())}, or others; to start afresh from its weights use load_from")
    for name, each in own.items():
        for scheduler, values in zip(each, state[name]):
            scheduler.load_state_dict(values)

"""Optimisers of a framework's parts, and their learning-rate schedules, as a config describes them."""

from collections.abc import Collection, Mapping
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict, build_optim_wrapper
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from mmengine.registry import OPTIM_WRAPPERS, PARAM_SCHEDULERS
from torch import nn

from deep3dmap.annotations import Count, Positive, Whole
from deep3dmap.errors import CheckpointError, ConfigError
from deep3dmap.registry import accepted_keys, explained, nearest, resolve
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
        own_steps: count the steps in which this optimiser's part was trained, over the whole run, instead of the stage's.
        progress: holder of the present progress (given by the loop).
        epoch_length: steps in an epoch (given by the loop).
    """

    def __init__(self,
                 optimizer,
                 schedule=1.0,
                 decay: Positive = 1.0,
                 warmup: Whole = 0,
                 own_steps: bool = False,
                 progress=None,
                 epoch_length: Count = 1):
        self.schedule = Schedule(schedule, "ProgressLR.schedule")
        self.decay, self.warmup, self.source = decay, warmup, progress
        self.own_steps, self.epoch_length = own_steps, epoch_length
        super().__init__(optimizer, "lr", by_epoch=False)

    def _get_value(self):
        progress = self.source.progress if self.source is not None else Progress()
        if self.own_steps:
            progress = Progress(self.last_step, self.last_step // self.epoch_length, progress.fraction)
        factor = self.schedule(progress) * self.decay**progress.fraction
        factor *= min(1.0, (progress.step + 1) / self.warmup) if self.warmup else 1.0
        return [base * factor for base in self.base_values]

    def refresh(self) -> None:
        """Set the rate for the present progress: a stage has begun."""
        for group, value in zip(self.optimizer.param_groups, self._get_value()):
            group["lr"] = value

    def state_dict(self) -> dict:
        """Plain values only."""
        return {"last_step": self.last_step, "base_values": list(self.base_values), "_global_step": self._global_step}


#: Keys of a part's optimiser that are not mmengine's.
OWN_KEYS = ("average", "schedule", "fresh_each_stage")


def is_single(cfg: Mapping) -> bool:
    """Whether a config is that of one optimiser for everything, and not one for each part."""
    return "optimizer" in cfg or "constructor" in cfg


def by_part(cfg: Mapping) -> dict[str, Mapping]:
    """Configs of optimisers by the name of their part; ``''`` for a single one, of the whole framework."""
    return {"": cfg} if is_single(cfg) else dict(cfg)


def find_parts(framework: nn.Module, cfg: Mapping) -> dict[str, nn.Module]:
    """The parts of the framework that have an optimiser of their own, by name; ``rest`` stands for all that are not named.

    Raises:
        ConfigError: if a part's name is not one of the framework.
    """
    if is_single(cfg):
        return {"": framework}
    parts = {name: child for name, child in framework.named_children() if child is not None}
    if "rest" in cfg:
        parts["rest"] = nn.ModuleDict({name: child for name, child in parts.items() if name not in cfg})
    for name in cfg:
        if name not in parts:
            raise ConfigError(f"optim_wrapper: '{name}' is no part of {type(framework).__name__}: {nearest(name, parts)}")
    return {name: parts[name] for name in cfg}


def check_optimizers(framework: nn.Module, cfg: Mapping, moving: Mapping[str, nn.Parameter], stage: str) -> None:
    """Make sure that the optimisers of a stage train all of its ``moving`` parameters (by name).

    Raises:
        ConfigError: if a part's name is not one of the framework, or parameters that are to move have no optimiser.
    """
    parts = find_parts(framework, cfg)
    owned = {id(p) for part in parts.values() for p in part.parameters()}
    left = [name for name, p in moving.items() if id(p) not in owned]
    if left:
        raise ConfigError(f"stage '{stage}': no optimiser moves {', '.join(left[:3])}{' ...' * (len(left) > 3)}: give their "
                          "part one (or 'rest'), or leave them out of the stage's params")


class TensorView(nn.Module):
    """A view of a module: some of its parameters, and its buffers where asked for, under their names.

    Args:
        module: to look at.
        chosen: ``id`` of the parameters to show.
        buffers: show all buffers that checkpoints hold, too.
    """

    def __init__(self, module: nn.Module, chosen: Collection[int], buffers: bool = False):
        super().__init__()
        for name, parameter in module.named_parameters():
            if id(parameter) in chosen:
                holder, last = self._holder(name)
                holder.register_parameter(last, parameter)
        kept = set(module.state_dict(keep_vars=True)) if buffers else ()
        for name, buffer in module.named_buffers():
            if name in kept:
                holder, last = self._holder(name)
                holder.register_buffer(last, buffer)

    def _holder(self, name: str) -> tuple[nn.Module, str]:
        *path, last = name.split(".")
        holder = self
        for part in path:
            holder.add_module(part, holder._modules.get(part) or nn.Module())
            holder = holder._modules[part]
        return holder, last


def build_optimizer(module: nn.Module, cfg: Mapping, amp: bool, chosen: Collection[int]) -> OptimWrapper:
    """The optimiser of a module's ``chosen`` parameters (by ``id``), from its config."""
    cfg = {key: value for key, value in cfg.items() if key not in OWN_KEYS}
    if amp:
        cfg["type"] = "AutocastOptimWrapper"
    if not set(cfg.get("paramwise_cfg") or {}) - {"custom_keys"} and "constructor" not in cfg:
        module = TensorView(module, chosen)  # other rules ask for the kinds of layers
    with explained("optim_wrapper", cfg.get("optimizer") or cfg):
        return build_optim_wrapper(module, cfg)


def build_optimizers(framework: nn.Module, cfg: Mapping, amp: bool) -> OptimWrapper | OptimWrapperDict:
    """The optimiser of all parameters that require gradients, or one for each part that ``cfg`` names; outside a run.

    Raises:
        ConfigError: if a part's name is not one of the framework.
    """
    chosen = {id(p) for p in framework.parameters() if p.requires_grad}
    parts = find_parts(framework, cfg)
    return together({name: build_optimizer(parts[name], part, amp, chosen) for name, part in by_part(cfg).items()})


def together(wrappers: Mapping[str, OptimWrapper]) -> OptimWrapper | OptimWrapperDict:
    """Optimisers as a framework's ``train_step`` gets them: a single one as it is, several by the names of their parts."""
    return wrappers[""] if "" in wrappers else OptimWrapperDict(**wrappers)


def each_wrapper(wrapper: OptimWrapper | OptimWrapperDict) -> dict[str, OptimWrapper]:
    """The contrary of :func:`together`."""
    return dict(wrapper.items()) if isinstance(wrapper, OptimWrapperDict) else {"": wrapper}


def build_schedules(cfg: Mapping | list | None, name: str, wrapper: OptimWrapper, loop) -> list[_ParamScheduler]:
    """The learning-rate schedules of one optimiser.

    Args:
        cfg: a schedule, or a list of them, for all optimisers; or a dictionary ``{name of a part: schedules}``.
        name: of the optimiser's part.
        wrapper: the optimiser.
        loop: of the run, for the stage's length.
    """
    if isinstance(cfg, Mapping) and "type" not in cfg:
        cfg = cfg.get(name)
    schedules = []
    for one in [cfg] if isinstance(cfg, Mapping) else cfg or []:
        accepted = accepted_keys(resolve(PARAM_SCHEDULERS, one["type"]))
        given = dict(progress=loop, end=loop.max_epochs if one.get("by_epoch", True) else loop.max_iters)
        given = {k: v for k, v in given.items() if accepted is None or k in accepted} | dict(epoch_length=len(loop.source))
        with explained("param_scheduler", one):
            schedules.append(PARAM_SCHEDULERS.build(dict(one), default_args=dict(given, optimizer=wrapper)))
    return schedules


def part_schedule(value: object) -> dict:
    """The config of a schedule that is written beside a part's optimiser: a factor by the part's own steps."""
    return dict(type="ProgressLR", own_steps=True, schedule=dict(start=1.0, by="step") | value if isinstance(value, Mapping)
                else value)  # yapf: disable


def check_schedule_names(cfg: object, names: Collection[str]) -> None:
    """Make sure that schedules which are named by optimisers have theirs.

    Raises:
        ConfigError: naming the first that has none.
    """
    for name in cfg if isinstance(cfg, Mapping) and "type" not in cfg else ():
        if name not in names:
            raise ConfigError(f"param_scheduler: '{name}' is no optimiser of this stage: {nearest(name, names)}")


def optimizers_state(wrapper: OptimWrapper | OptimWrapperDict) -> dict:
    """The optimisers' state by part (``''`` for a single one), plain values and tensors."""
    return {name: w.state_dict() for name, w in each_wrapper(wrapper).items()}


def load_optimizers_state(wrapper: OptimWrapper | OptimWrapperDict, state: Mapping) -> None:
    """Put saved states back.

    Raises:
        CheckpointError: if they are of other optimisers, or of other parameters.
    """
    wrappers = each_wrapper(wrapper)
    if set(wrappers) != set(state):
        raise CheckpointError(f"the checkpoint has optimisers for {sorted(state)}, the config for {sorted(wrappers)}; to "
                              "start afresh from its weights use load_from")
    for name, each in wrappers.items():
        try:
            each.load_state_dict(dict(state[name]))
        except (ValueError, KeyError) as error:
            raise CheckpointError(f"the checkpoint's optimiser state does not fit the config ({error}); to start afresh from "
                                  "its weights use load_from") from None

"""Building the optimisers of a framework's parts, and their learning-rate schedules, from a config."""

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

    bfloat16 has float32's range, so no loss scaling is needed. Frameworks exclude what needs float32 (distances, gradients of
    the geometry) themselves.
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
        schedule: factor of the initial learning rate: a list (dividing the stage equally) or a schedule dictionary
            (see :class:`deep3dmap.schedules.Schedule`).
        decay: instead of ``schedule``: the factor reached at the end by exponential decay.
        warmup: steps over which the factor rises linearly from 0.
        own_steps: count the steps in which this optimiser's part was trained, over the whole run, instead of the stage's.
        progress: object with the current ``progress`` (set by the loop).
        epoch_length: steps in an epoch (set by the loop).
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
        """Set the rate for the current progress, at the start of a stage."""
        for group, value in zip(self.optimizer.param_groups, self._get_value()):
            group["lr"] = value

    def state_dict(self) -> dict:
        """Plain values only."""
        return {"last_step": self.last_step, "base_values": list(self.base_values), "_global_step": self._global_step}


#: Keys of a part's optimiser in addition to mmengine's.
OWN_KEYS = ("average", "schedule", "fresh_each_stage")


def is_single(cfg: Mapping) -> bool:
    """Whether a config is of a single optimiser, not one per part."""
    return "optimizer" in cfg or "constructor" in cfg


def by_part(cfg: Mapping) -> dict[str, Mapping]:
    """Optimiser configs by part; ``''`` for a single one of the whole framework."""
    return {"": cfg} if is_single(cfg) else dict(cfg)


def find_parts(framework: nn.Module, cfg: Mapping) -> dict[str, nn.Module]:
    """The parts of the framework that have their own optimiser, by name; ``rest`` means all parts that are not named.

    Raises:
        ConfigError: if the framework has no part of a name.
    """
    if is_single(cfg):
        return {"": framework}
    parts = {name: child for name, child in framework.named_children() if child is not None}
    if "rest" in cfg:
        parts["rest"] = nn.ModuleDict({name: child for name, child in parts.items() if name not in cfg})
    for name in cfg:
        if name not in parts:
            raise ConfigError(f"optim_wrapper: '{name}' is not a part of {type(framework).__name__}: {nearest(name, parts)}")
    return {name: parts[name] for name in cfg}


def check_optimizers(framework: nn.Module, cfg: Mapping, trainable: Mapping[str, nn.Parameter], stage: str) -> None:
    """Check that the optimisers of a stage cover all of its ``trainable`` parameters (by name).

    Raises:
        ConfigError: if the framework has no part of a name, or trainable parameters have no optimiser.
    """
    parts = find_parts(framework, cfg)
    owned = {id(p) for part in parts.values() for p in part.parameters()}
    left = [name for name, p in trainable.items() if id(p) not in owned]
    if left:
        raise ConfigError(
            f"stage '{stage}': no optimiser for {', '.join(left[:3])}{' ...' * (len(left) > 3)}: add one for their "
            "part (or 'rest'), or exclude them from the stage's params")


class TensorView(nn.Module):
    """A view of some of a module's parameters, and optionally its buffers, under their names.

    Args:
        module: the module.
        chosen: ``id`` of the parameters to include.
        buffers: include all persistent buffers, too.
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
    """Build the optimiser of a module's ``chosen`` parameters (by ``id``) from its config."""
    cfg = {key: value for key, value in cfg.items() if key not in OWN_KEYS}
    if amp:
        cfg["type"] = "AutocastOptimWrapper"
    if not set(cfg.get("paramwise_cfg") or {}) - {"custom_keys"} and "constructor" not in cfg:
        module = TensorView(module, chosen)  # other rules need the layers' types
    with explained("optim_wrapper", cfg.get("optimizer") or cfg):
        return build_optim_wrapper(module, cfg)


def build_optimizers(framework: nn.Module, cfg: Mapping, amp: bool) -> OptimWrapper | OptimWrapperDict:
    """Build the optimiser of all trainable parameters, or one for each part in ``cfg``, outside a run.

    Raises:
        ConfigError: if the framework has no part of a name.
    """
    chosen = {id(p) for p in framework.parameters() if p.requires_grad}
    parts = find_parts(framework, cfg)
    return join_wrappers({name: build_optimizer(parts[name], part, amp, chosen) for name, part in by_part(cfg).items()})


def join_wrappers(wrappers: Mapping[str, OptimWrapper]) -> OptimWrapper | OptimWrapperDict:
    """The ``optim_wrapper`` argument of ``train_step``: a single optimiser, or a dictionary of several by part."""
    return wrappers[""] if "" in wrappers else OptimWrapperDict(**wrappers)


def each_wrapper(wrapper: OptimWrapper | OptimWrapperDict) -> dict[str, OptimWrapper]:
    """The inverse of :func:`join_wrappers`."""
    return dict(wrapper.items()) if isinstance(wrapper, OptimWrapperDict) else {"": wrapper}


def build_schedules(cfg: Mapping | list | None, name: str, wrapper: OptimWrapper, loop) -> list[_ParamScheduler]:
    """The learning-rate schedules of one optimiser.

    Args:
        cfg: a schedule, or a list of them, for all optimisers; or a dictionary ``{name of a part: schedules}``.
        name: the optimiser's part.
        wrapper: the optimiser.
        loop: the run's loop, for the stage's length.
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
    """Full config of a ``schedule`` given beside a part's optimiser: a factor by the part's own steps."""
    return dict(type="ProgressLR", own_steps=True, schedule=dict(start=1.0, by="step") | value if isinstance(value, Mapping)
                else value)  # yapf: disable


def check_schedule_names(cfg: object, names: Collection[str]) -> None:
    """Check that schedules given by optimiser have an optimiser.

    Raises:
        ConfigError: naming the first that has none.
    """
    for name in cfg if isinstance(cfg, Mapping) and "type" not in cfg else ():
        if name not in names:
            raise ConfigError(f"param_scheduler: '{name}' is not an optimiser of this stage: {nearest(name, names)}")


def optimizers_state(wrapper: OptimWrapper | OptimWrapperDict) -> dict:
    """The optimisers' state by part (``''`` for a single one), plain values and tensors."""
    return {name: w.state_dict() for name, w in each_wrapper(wrapper).items()}


def load_optimizers_state(wrapper: OptimWrapper | OptimWrapperDict, state: Mapping) -> None:
    """Restore saved states.

    Raises:
        CheckpointError: if they are of other optimisers or parameters.
    """
    wrappers = each_wrapper(wrapper)
    if set(wrappers) != set(state):
        raise CheckpointError(f"the checkpoint has optimisers for {sorted(state)}, the config for {sorted(wrappers)}; to "
                              "start a new run from its weights use load_from")
    for name, each in wrappers.items():
        try:
            each.load_state_dict(dict(state[name]))
        except (ValueError, KeyError) as error:
            raise CheckpointError(f"the checkpoint's optimiser state does not fit the config ({error}); to start a new run "
                                  "from its weights use load_from") from None

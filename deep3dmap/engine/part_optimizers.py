"""Optimisers, learning-rate schedules and weight averages of a framework's parts, which persist across stages."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from deep3dmap.engine import optim
from deep3dmap.engine.averaging import PartAverage, WeightAverages
from deep3dmap.engine.stages import StageConfig
from deep3dmap.errors import CheckpointError, ConfigError
from deep3dmap.frameworks.base import Framework

#: Key of the optimisers defined at the config's top level; those of a stage have its index as key.
COMMON = -1


@dataclass
class PartOptimizer:
    """The optimiser of a part, its schedules and its average.

    Attributes:
        module: the part.
        wrapper: the optimiser.
        schedules: of its learning rate.
        prefix: prefix of the part's names in the framework.
        decay: decay of its averages; 0 for none.
        averages: averages of the part's weights, one for each set whose training began together; empty without ``decay``.
    """

    module: nn.Module
    wrapper: OptimWrapper
    schedules: list
    prefix: str
    decay: float
    averages: dict[str, PartAverage] = field(default_factory=dict)

    def average(self, names: Collection[str]) -> None:
        """Start averaging those parameters (by name in the framework) that are not averaged yet."""
        known = {name for each in self.averages.values() for name in each.values}
        own = {f"{self.prefix}{name}": id(p) for name, p in self.module.named_parameters()}
        new = sorted(set(names) & set(own) - known)
        if self.decay and new:
            self.averages[new[0]] = PartAverage(self.module, self.prefix, self.decay, {own[name] for name in new},
                                                buffers=not self.averages)  # yapf: disable

    def state_dict(self) -> dict:
        """Plain values and tensors; the averages themselves are in the checkpoint's ``state_dict``."""
        averages = {name: dict(names=sorted(each.values), steps=int(each.steps)) for name, each in self.averages.items()}
        return dict(optimizer=self.wrapper.state_dict(), schedules=[s.state_dict() for s in self.schedules], averages=averages)

    def load_state_dict(self, state: Mapping) -> None:
        """Restore the result of :meth:`state_dict`, except for the optimiser's state."""
        _load_schedules(self.schedules, state["schedules"])
        self.averages.clear()
        for name, each in state["averages"].items():
            self.average(each["names"])
            self.averages[name].steps.fill_(each["steps"])


class PartOptimizers:
    """All optimisers of a run, built when a stage first needs them.

    Those of the config's top level keep their state over all stages, also while their part is frozen, unless their config sets
    ``fresh_each_stage``. Optimisers defined by a stage are used in that stage only.

    Args:
        framework: the framework to train.
        stages: the run's stages.
        optim_wrapper, param_scheduler: of the config's top level.
        average: default decay of the parts' averages; 0 for none.
        prepare: called once with each new optimiser.

    Attributes:
        amp: train in mixed precision; set before the first stage.
    """

    def __init__(self, framework: Framework, stages: Sequence[StageConfig], optim_wrapper: Mapping | None, param_scheduler,
                 average: float, prepare: Callable[[OptimWrapper], object]):  # yapf: disable
        self.framework, self.stages, self.default_average, self.prepare = framework, stages, average, prepare
        self.amp = False
        self.common, self.common_schedules = optim_wrapper, param_scheduler
        self.averages = WeightAverages()
        self._alive: dict[int, dict[str, PartOptimizer]] = {}
        self._present = COMMON
        self._of_stage: dict[str, list] = {}
        self._rates: dict[str, list[float]] = {}

    def _key(self, index: int) -> int:
        return COMMON if self.stages[index].optim_wrapper is None else index

    def _config(self, key: int) -> Mapping:
        return self.common if key == COMMON else self.stages[key].optim_wrapper

    def _schedule_config(self, key: int):
        own = None if key == COMMON else self.stages[key].param_scheduler
        return self.common_schedules if own is None else own

    def _trainable(self, index: int) -> dict[str, nn.Parameter]:
        return self.framework.trainable_parameters(self.stages[index].stage())

    def _chosen(self, key: int, index: int | None) -> set[int]:
        """``id`` of the parameters trained in a stage, or in any stage that uses the optimisers of a key."""
        indices = [k for k in range(len(self.stages)) if self._key(k) == key] if index is None else [index]
        return {id(p) for k in indices for p in self._trainable(k).values()}

    def check(self, index: int) -> None:
        """Validate a stage's optimisers before the first step of a run.

        Raises:
            ConfigError: for unknown parts, parameters without an optimiser or an optimiser without parameters, invalid
                settings of an optimiser, schedules without an optimiser.
        """
        key, stage = self._key(index), self.stages[index]
        config = self._config(key)
        optim.check_optimizers(self.framework, config, self._trainable(index), stage.name)
        for schedules in (self._schedule_config(key), stage.param_scheduler):
            optim.check_schedule_names(schedules, optim.by_part(config))
        chosen = self._chosen(key, None)
        for name, module in optim.find_parts(self.framework, config).items():
            if not chosen & {id(p) for p in module.parameters()}:
                what = name or type(self.framework).__name__
                raise ConfigError(f"stage '{stage.name}': the optimiser of {what} has no trainable parameter in any stage")
            optim.build_optimizer(module, optim.by_part(config)[name], self.amp, chosen)

    def enter(self, index: int, loop) -> tuple[OptimWrapper | OptimWrapperDict, list]:
        """Begin a stage.

        Args:
            index: the stage's index.
            loop: the run's loop.

        Returns:
            The optimisers of the parts trained in it, and their schedules.
        """
        key, trainable = self._key(index), self._trainable(index)
        if key != self._present:
            for part in self._alive.get(self._present, {}).values():
                part.averages.clear()
        self._drop_fresh()
        self._present, self._of_stage = key, {}
        active = self._active(key, index, loop)
        for part in active.values():
            part.average(trainable)
        self.averages.enter(average for part in active.values() for average in part.averages.values())
        own = self.stages[index].param_scheduler if key == COMMON else None
        schedules = [s for name, part in active.items() for s in self._schedules(name, part, own, loop)]
        return optim.join_wrappers({name: part.wrapper for name, part in active.items()}), schedules

    def _drop_fresh(self) -> None:
        config = optim.by_part(self.common or {})
        alive = self._alive.get(COMMON, {})
        for name in [name for name in alive if config[name].get("fresh_each_stage")]:
            del alive[name]

    def _active(self, key: int, index: int, loop) -> dict[str, PartOptimizer]:
        alive, config, active = self._alive.setdefault(key, {}), optim.by_part(self._config(key)), {}
        ids = self._chosen(key, index)
        for name, module in optim.find_parts(self.framework, self._config(key)).items():
            if ids & {id(p) for p in module.parameters()}:
                if name not in alive:
                    fresh = config[name].get("fresh_each_stage")
                    alive[name] = self._build(key, name, module, self._chosen(key, index if fresh else None), loop)
                active[name] = alive[name]
        return active

    def _build(self, key: int, name: str, module: nn.Module, chosen: set[int], loop) -> PartOptimizer:
        config = optim.by_part(self._config(key))[name]
        wrapper = optim.build_optimizer(module, config, self.amp, chosen)
        self.prepare(wrapper)
        schedules = optim.build_schedules(self._schedule_config(key), name, wrapper, loop)
        if "schedule" in config:
            schedules += optim.build_schedules(optim.part_schedule(config["schedule"]), name, wrapper, loop)
        prefix = "" if name in ("", "rest") else f"{name}."
        return PartOptimizer(module, wrapper, schedules, prefix, config.get("average", self.default_average))

    def _schedules(self, name: str, part: PartOptimizer, own, loop) -> list:
        """A part's schedules in the new stage: the stage's ``own`` schedules if it has any, else the part's."""
        groups = part.wrapper.param_groups
        if own is not None:
            self._rates.setdefault(name, [group["lr"] for group in groups])
            for group in groups:
                group["lr"] = group.get("initial_lr", group["lr"])
            self._of_stage[name] = optim.build_schedules(own, name, part.wrapper, loop)
            return self._of_stage[name]
        for group, rate in zip(groups, self._rates.pop(name, ())):
            group["lr"] = rate
        for schedule in part.schedules:
            if isinstance(schedule, optim.ProgressLR):
                schedule.refresh()
        return part.schedules

    # --- state ----------------------------------------------------------------------------------------------------------

    def wrappers(self) -> list[OptimWrapper]:
        """All existing optimisers, in an order that depends on the config alone."""
        return [part.wrapper for _, parts in sorted(self._alive.items()) for _, part in sorted(parts.items())]

    def schedules(self) -> list:
        """All existing schedules."""
        own = [s for parts in self._alive.values() for part in parts.values() for s in part.schedules]
        return own + [s for each in self._of_stage.values() for s in each]

    def state_dict(self) -> dict:
        """Plain values and tensors; see :meth:`PartOptimizer.state_dict`."""
        parts = {key: {name: part.state_dict() for name, part in self._alive[key].items()}
                 for key in {COMMON, self._present} & set(self._alive)}  # yapf: disable
        return dict(parts=parts, rates=dict(self._rates), averaged=sorted(self.averages.values),
                    of_stage={name: [s.state_dict() for s in each] for name, each in self._of_stage.items()})  # yapf: disable

    def load_state_dict(self, state: Mapping, averages: Mapping, loop) -> None:
        """Restore a checkpoint's state, after its stage was entered.

        Args:
            state: the result of :meth:`state_dict`.
            averages: the checkpoint's ``state_dict``.
            loop: the run's loop.

        Raises:
            CheckpointError: if it is of other optimisers or schedules.
        """
        for key, parts in state["parts"].items():
            alive, modules = self._alive.setdefault(key, {}), optim.find_parts(self.framework, self._config(key))
            for name in parts:
                if name not in alive and name in modules:
                    alive[name] = self._build(key, name, modules[name], self._chosen(key, None), loop)
            wrappers = optim.join_wrappers({name: part.wrapper for name, part in alive.items()})
            optim.load_optimizers_state(wrappers, {name: each["optimizer"] for name, each in parts.items()})
            for name, part in alive.items():
                part.load_state_dict(parts[name])
        for name, each in state["of_stage"].items():
            _load_schedules(self._of_stage.get(name, []), each)
        self._rates = dict(state["rates"])
        own = [each for alive in self._alive.values() for part in alive.values() for each in part.averages.values()]
        self.averages.enter(own)
        self.averages.load(state["averaged"], averages, own)


def _load_schedules(schedules: list, states: Sequence[Mapping]) -> None:
    if len(schedules) != len(states):
        raise CheckpointError(f"the checkpoint has {len(states)} learning-rate schedules, the config {len(schedules)}; to "
                              "start a new run from its weights use load_from")
    for schedule, state in zip(schedules, states):
        schedule.load_state_dict(state)

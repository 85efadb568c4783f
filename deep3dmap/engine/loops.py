"""The training loop of all methods: stages one after another, each with its own budget, optimisers and data."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner import BaseLoop

from deep3dmap.annotations import NotNegative, Share, Whole
from deep3dmap.engine.averaging import WeightAverages
from deep3dmap.engine.batches import BatchSource, build_source, seed_everything, step_seed
from deep3dmap.engine.finite import FiniteWatch
from deep3dmap.engine.launching import synchronise_gradients
from deep3dmap.engine.part_optimizers import PartOptimizers
from deep3dmap.engine.resuming import put_settings, settings_of
from deep3dmap.engine.stages import Budget, StageConfig
from deep3dmap.errors import CheckpointError, ConfigError, TrainingError, returned
from deep3dmap.interrupts import Interrupts
from deep3dmap.processes import all_reduce, broadcast_module, gather_objects
from deep3dmap.registry import LOOPS
from deep3dmap.schedules import Progress

UNLIMITED = 10**9


class OutOfTimeError(ConfigError):
    """The deadline is over before the first step."""


@LOOPS.register_module()
class StagedTrainLoop(BaseLoop):
    """Trains through a list of stages.

    Args:
        runner: the runner.
        dataloader: the config's ``train_dataloader``, or None.
        stages: see :class:`deep3dmap.engine.stages.StageConfig`; a single stage by default.
        max_steps, max_epochs: budget of the single stage, if ``stages`` is omitted.
        max_minutes: training time of the whole run; the last stage gets what remains after the others.
        average: decay of the exponential averages of all parts' weights, which checkpoints and results then hold; 0 for none.
            A part's ``average`` in ``optim_wrapper`` overrides it.
    """

    def __init__(self,
                 runner,
                 dataloader=None,
                 stages: Sequence[Mapping] | None = None,
                 max_steps: Whole | None = None,
                 max_epochs: Whole | None = None,
                 max_minutes: NotNegative | None = None,
                 average: Share = 0.0):
        self._runner = runner
        self.stages = [StageConfig.read(s) for s in stages or [dict(max_steps=max_steps, max_epochs=max_epochs)]]
        if stages and (max_steps is not None or max_epochs is not None):
            raise ConfigError("train_cfg: with stages, set max_steps and max_epochs in the stages")
        self.max_seconds = None if max_minutes is None else 60.0 * max_minutes
        self.default_loader = dataloader
        self.step, self.seconds, self.index = 0, 0.0, 0
        self.budget = Budget()
        self.deadline: float | None = runner.deadline
        self.interrupted = self.finished = False
        self.log: dict = {}
        self.interrupts, self._finite = Interrupts(), FiniteWatch()
        self.optimizers = PartOptimizers(runner.framework, self.stages, runner.optim_wrapper_cfg, runner.param_scheduler_cfg,
                                         average, self._prepare)
        self._sources: dict[int, BatchSource] = {}
        self._pending: Mapping | None = None
        self._changed: Collection[str] = ()
        self._check_budgets()

    def _check_budgets(self) -> None:
        for k, stage in enumerate(self.stages):
            limited = [stage.max_steps, stage.max_epochs, stage.max_minutes]
            last = k == len(self.stages) - 1
            timed = self.max_seconds is not None or self.deadline is not None
            if all(x is None for x in limited) and not (timed and (last or stage.max_share < 1)):
                raise ConfigError(
                    f"train_cfg: stage '{stage.name}' has no budget; set its max_steps, max_epochs or max_minutes" +
                    (", or the run max_minutes" if last else ", or a max_share of a run with max_minutes"))

    # --- interface of mmengine's runner and hooks ----------------------------------------------------------------------

    @property
    def iter(self) -> int:
        """Steps done in the whole run."""
        return self.step

    @property
    def epoch(self) -> int:
        """Epochs done in the current stage."""
        return self.budget.step // len(self.source)

    @property
    def max_iters(self) -> int:
        """Budget of the current stage in steps (a very large number if only minutes limit it)."""
        return self.budget.max_steps or UNLIMITED

    @property
    def max_epochs(self) -> int:
        """Budget of the current stage in epochs."""
        return max(-(-self.max_iters // len(self.source)), 1)

    @property
    def dataloader(self) -> BatchSource:
        """The current stage's batches; its length is that of an epoch."""
        return self.source

    # --- data ---------------------------------------------------------------------------------------------------------

    @property
    def stage(self) -> StageConfig:
        """The current stage."""
        return self.stages[self.index]

    @property
    def source(self) -> BatchSource:
        """The current stage's batches."""
        return self.source_of(self.index)

    def source_of(self, index: int) -> BatchSource:
        """Batches of a stage; stages without their own data share the config's."""
        stage = self.stages[index]
        own = stage.train_dataset is not None or stage.train_dataloader is not None
        key = index if own else -1
        if key not in self._sources:
            runner = self.runner
            dataset, loader = (stage.train_dataset, stage.train_dataloader) if own else (runner.train_dataset,
                                                                                         self.default_loader)
            self._sources[key] = build_source(dataset, loader, runner.scene, runner.seed, runner.rank, runner.world_size)
        return self._sources[key]

    @property
    def progress(self) -> Progress:
        """Progress of the current stage."""
        return self.budget.progress(len(self.source))

    @property
    def averages(self) -> WeightAverages:
        """The averages of the weights."""
        return self.optimizers.averages

    # --- state ----------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict:
        """The run's position, with the optimisers' and schedulers' states; plain values and tensors.

        A collective call: the first process's result also has the ``training`` states of the others.
        """
        state = dict(index=self.index, stage=self.stage.name, step=self.step, seconds=self.seconds)
        state |= dict(stage_step=self.budget.step, stage_seconds=self.budget.seconds)
        own = self.runner.framework.training_state()
        state["training"], others = own, gather_objects(own)[1:]
        if any(others):
            state["training_of_others"] = others
        if self.averages.values:
            state["weights"] = self.runner.framework.state_dict()
        state["optimizers"] = self.optimizers.state_dict()
        if self.runner.validation is not None:
            state["validation"] = self.runner.validation.state_dict()
        return state

    def load_state_dict(self, state: Mapping, changed: Collection[str] = ()) -> None:
        """Restore the state of a checkpoint at the start of :meth:`run`.

        Args:
            state: the result of :meth:`state_dict`, with the checkpoint's ``state_dict`` as ``averages``.
            changed: optimiser settings to take from the config instead of the state.

        Raises:
            CheckpointError: if the config has other stages.
        """
        names = [stage.name for stage in self.stages]
        if state["stage"] not in names[state["index"]:state["index"] + 1]:
            raise CheckpointError(f"the checkpoint was written in stage {state['index'] + 1}, '{state['stage']}', but the "
                                  f"config's stages are {names}; to start a new run from its weights use load_from")
        self.index, self.step, self.seconds = state["index"], state["step"], state["seconds"]
        self._pending, self._changed = state, changed

    # --- running --------------------------------------------------------------------------------------------------------

    def run(self) -> torch.nn.Module:
        """Train through the remaining stages; returns the framework."""
        runner = self.runner
        self.optimizers.amp = bool(runner.amp)
        try:
            for index in range(self.index, len(self.stages)):
                self._check_stage(index)
            batches = self._enter_stage()  # config and checkpoint are valid from here on
            if self.finished and not self.step:
                raise OutOfTimeError("the deadline is over before the first step")
            runner.move_later_checkpoints()
            runner.call_hook("before_train")
            with self.interrupts.listen():
                while not self.finished and not self.interrupted:
                    self._run_stage(batches or self._enter_stage())
                    batches = None
                runner.call_hook("after_train")
                self.averages.apply(runner.framework)
        finally:
            for source in self._sources.values():
                source.close()
        return runner.framework

    def _check_stage(self, index: int) -> None:
        """Validate a stage's parameters, losses, optimisers and data before the first step of the run."""
        framework, config, source = self.runner.framework, self.stages[index], self.source_of(index)
        stage = config.stage()
        framework.check_stage(stage)
        self.optimizers.check(index)
        seed_everything(step_seed(self.runner.seed, 7, index))
        framework.check_inputs(next(source(0)), f"the data of stage '{stage.name}' ({type(source.dataset).__name__})")

    def _enter_stage(self) -> Iterator[dict]:
        """Set up the current stage; returns its batches."""
        runner, stage, epoch_length = self.runner, self.stage, len(self.source)
        framework = runner.framework
        seed_everything(step_seed(runner.seed, 3, self.index))
        framework.enter_stage(stage.stage(self.index))
        if self._pending is None and not (self.step == 0 and runner.starts_from_weights):
            for problem in framework.begin_stage(framework.stage, self.source.dataset):
                runner.logger.warning(problem)
        self.budget = Budget(stage.steps(epoch_length), self._seconds_left())
        runner.optim_wrapper, runner.param_schedulers = self.optimizers.enter(self.index, self)
        if self._pending is not None:
            self._restore(self._pending)
            self._pending = None
        broadcast_module(framework)
        framework.train()
        self._update_clock()
        return self.source(self.budget.step, self.index)

    def _prepare(self, wrapper: OptimWrapper) -> None:
        """Synchronise a new optimiser's gradients over processes, and check them."""
        synchronise_gradients(wrapper)
        self._finite.watch(self.runner.framework, wrapper)

    def _next_batch(self, batches: Iterator[dict]) -> dict:
        seed_everything(step_seed(self.runner.seed, 6, self.index, self.budget.step))  # for datasets without a generator
        return next(batches)

    def _seconds_left(self, spent: float = 0.0) -> float | None:
        """Training time of the current stage, ``spent`` of which has passed."""
        limits = [] if self.stage.max_minutes is None else [60 * self.stage.max_minutes]
        if self.max_seconds is not None:
            limits.append(min(spent + self.max_seconds - self.seconds, self.stage.max_share * self.max_seconds))
        if self.deadline is not None:
            limits.append(spent + (self.deadline - time.monotonic()) * self.stage.max_share)
        return all_reduce(max(min(limits), 0.0))[0] if limits else None

    def _restore(self, state: Mapping) -> None:
        framework = self.runner.framework
        framework.load_state_dict(state.get("weights", state["averages"]))  # entering the stage may change some
        training = [state.get("training", {}), *state.get("training_of_others", ())]
        framework.load_training_state(training[self.runner.rank if self.runner.rank < len(training) else 0])
        self.budget.step, self.budget.seconds = state["stage_step"], state["stage_seconds"]
        self.budget.max_seconds = self._seconds_left(self.budget.seconds)
        settings = settings_of(self.optimizers.wrappers())
        self.optimizers.load_state_dict(state["optimizers"], state["averages"], self)
        put_settings(self.optimizers.wrappers(), self.optimizers.schedules(), settings, self._changed)
        if self.runner.validation is not None:
            self.runner.validation.load_state_dict(state.get("validation", {}))

    def _run_stage(self, batches: Iterator[dict]) -> None:
        runner = self.runner
        while not self.ending:
            if self.starts_epoch:
                runner.call_hook("before_train_epoch")
            self._run_step(batches)
            if self.starts_epoch:
                runner.call_hook("after_train_epoch")
        if self.interrupted or self.finished:
            return
        self.finished = self.index == len(self.stages) - 1
        self.index += not self.finished

    @property
    def starts_epoch(self) -> bool:
        """Whether the next step is the first of an epoch."""
        return self.budget.step % len(self.source) == 0

    @property
    def ending(self) -> bool:
        """Whether the last step was the stage's final one, or the final one before an interrupt or the deadline."""
        return self.budget.spent or self.finished or self.interrupted

    def _update_clock(self, spent: float = 0.0) -> None:
        """Add the time spent; check for interrupts and the deadline, consistently in all processes."""
        late = self.deadline is not None and time.monotonic() >= self.deadline
        spent, late, signals = all_reduce(spent, late, self.interrupts.count)
        self.budget.seconds += spent
        self.seconds += spent
        self.interrupted, self.finished = signals > 0, late > 0

    def _run_step(self, batches: Iterator[dict]) -> None:
        runner, start = self.runner, time.perf_counter()
        batch = self._next_batch(batches)
        seed_everything(step_seed(runner.seed, 4, self.index, self.budget.step, runner.rank))
        runner.framework.set_progress(self.progress)
        runner.call_hook("before_train_iter", batch_idx=self.budget.step, data_batch=batch)
        framework = runner.framework
        self.log = returned(framework.train_step(batch, optim_wrapper=runner.optim_wrapper), Mapping, framework, "train_step")
        self._check_finite()
        self.step += 1
        self.budget.step += 1
        self.averages.update()
        self._update_clock(time.perf_counter() - start)
        runner.call_hook("after_train_iter", batch_idx=self.budget.step - 1, data_batch=batch, outputs=self.log)

    def _check_finite(self) -> None:
        if not any(name.startswith("loss") for name in self.log):
            framework = type(self.runner.framework).__name__
            raise ConfigError(f"{framework}.train_step must return at least one term named 'loss*', got {sorted(self.log)}")
        problem = self._finite.problem(self.log)
        if all_reduce(float(bool(problem)))[0]:
            raise TrainingError(
                f"step {self.step + 1}, stage '{self.stage.name}': "
                f"{problem or 'a loss or gradient of another process is not finite'}; the last checkpoint is kept. A smaller "
                "learning rate usually helps.")

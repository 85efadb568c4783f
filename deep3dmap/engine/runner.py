"""mmengine's runner with whole-batch datasets, stages, plain checkpoints and one work folder per run.

A work folder holds ``config.py`` (resolved), ``log.txt``, ``scalars.jsonl``, ``vis_data`` (TensorBoard), ``checkpoints/`` and
``pictures/``.
"""

import itertools
import json
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from deep3dmap.annotations import Whole
from deep3dmap.engine import checkpoint as files
from deep3dmap.engine.batches import seed_everything, step_seed
from deep3dmap.engine.hooks.log import LogHook
from deep3dmap.engine.launching import choose_device, launch, silence_known_warnings
from deep3dmap.engine.part_weights import load_part_weights
from deep3dmap.engine.precision import AUTO, choose_amp
from deep3dmap.engine.resuming import check_resume, check_same_files, described, optimizer_settings, same_views
from deep3dmap.engine.test_data import TestData, build_test_data
from deep3dmap.errors import CheckpointError, ConfigError
from deep3dmap.io.files import OptionalFiles, reason, write_atomically
from deep3dmap.processes import all_reduce
from deep3dmap.registry import FRAMEWORKS, HOOKS, LOOPS, RUNNERS, UNUSABLE
from deep3dmap.version import __version__

DEFAULT_HOOKS = dict(param_scheduler=dict(type="ParamSchedulerHook"),
                     log=dict(type="LogHook"),
                     checkpoint=dict(type="CheckpointHook"))

#: Exit code after Ctrl-C.
INTERRUPTED = 130

#: mmengine keeps loggers and writers by name; each runner of a process needs its own.
_NUMBERS = itertools.count()


def complete_hooks(hooks: Mapping | None) -> dict:
    """The default hooks with a config's changes: ``dict(log=dict(interval=5))`` keeps the type, ``log=None`` removes one."""
    merged = dict(DEFAULT_HOOKS)
    for name, hook in (hooks or {}).items():
        known = DEFAULT_HOOKS.get(name, {}) if isinstance(hook, Mapping) and "type" not in hook else {}
        merged[name] = {**known, **hook} if isinstance(hook, Mapping) else hook
    return merged


def make_work_folder(path: Path) -> None:
    """Make a work folder.

    Raises:
        ConfigError: if it can't be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()  # a unique name in every process
    except OSError as error:
        raise ConfigError(f"the work folder {path} can't be written ({error.strerror}); choose another with "
                          "--work-dir (reconstruct: -o)") from None


@RUNNERS.register_module()
class ReconstructionRunner(Runner):
    """Trains, tests and exports every framework.

    Args:
        model: config of a framework.
        work_dir: where everything is written.
        scene: arguments of :func:`deep3dmap.datasets.captures.scene.load_scene`, for every dataset without its own.
        train_dataset: config of a dataset of whole batches; alternatively ``train_dataloader``.
        train_dataloader: as in mmengine.
        test_dataset: config of a dataset of views, or of items that are reconstructed one by one; alternatively
            ``test_dataloader``, whose items are collated.
        test_dataloader: ``dataset``, ``batch_size`` and further arguments of torch's dataloader.
        val_dataset, val_dataloader: likewise, for evaluation during training.
        train_cfg, test_cfg: loops.
        val_cfg: arguments of :class:`deep3dmap.engine.validation.ValidationHook`; None for no evaluation during training.
        optim_wrapper, param_scheduler: for stages without their own.
        test_evaluator, val_evaluator: lists of metrics; validation uses those of the test by default.
        default_hooks: changes to the default hooks (``param_scheduler``, ``log``, ``checkpoint``), or further hooks.
        custom_hooks: as in mmengine.
        seed: of every random choice.
        amp: train in mixed precision (bfloat16); ``auto`` if faster on the device and tested for the framework.
        device: ``auto``, ``cpu``, ``cuda``...
        launcher: ``none``, ``pytorch`` or ``slurm``.
        resume: continue from the newest checkpoint of ``work_dir``, or from the given one.
        load_from: start from the weights of this checkpoint.
        progress: live progress line on the terminal.
        deadline: value of ``time.monotonic()`` at which training ends at the latest.
        cfg: the whole config, kept in checkpoints.
    """

    def __init__(self,
                 model: dict,
                 work_dir: str,
                 scene: dict | None = None,
                 train_dataset: dict | None = None,
                 train_dataloader: dict | None = None,
                 test_dataset: dict | None = None,
                 test_dataloader: dict | None = None,
                 val_dataset: dict | None = None,
                 val_dataloader: dict | None = None,
                 train_cfg: dict | None = None,
                 val_cfg: dict | None = None,
                 test_cfg: dict | None = None,
                 optim_wrapper: dict | None = None,
                 param_scheduler: dict | list | None = None,
                 val_evaluator: list | None = None,
                 test_evaluator: list | None = None,
                 default_hooks: dict | None = None,
                 custom_hooks: list | None = None,
                 seed: Whole = 0,
                 amp: bool | Literal["auto"] = False,
                 device: str = "auto",
                 launcher: str = "none",
                 resume: bool | str = False,
                 load_from: str | None = None,
                 progress: bool = True,
                 deadline: float | None = None,
                 cfg: Config | None = None):
        silence_known_warnings()
        if seed < 0:
            raise ConfigError(f"seed={seed}: must not be negative")
        self.target = choose_device(device)
        launch(launcher, self.target)
        self.scene, self.train_dataset, self.test_dataset_cfg = scene, train_dataset, test_dataset
        self.test_loader_cfg, self.val_dataset_cfg, self.val_loader_cfg = test_dataloader, val_dataset, val_dataloader
        self.val_evaluator_cfg, self.val_cfg, self.validation = val_evaluator, val_cfg, None
        self.optim_wrapper_cfg, self.param_scheduler_cfg = optim_wrapper, param_scheduler
        self.train_cfg, self.test_cfg, self.train_loader_cfg = train_cfg, test_cfg, train_dataloader
        self.test_evaluator_cfg, self.amp, self.resume_from, self.show_progress = test_evaluator, amp, resume, progress
        self.info: Mapping = {}
        self.deadline = deadline
        make_work_folder(Path(work_dir))
        super().__init__(model=model, work_dir=str(work_dir), default_hooks=complete_hooks(default_hooks),
                         custom_hooks=custom_hooks, load_from=load_from, launcher=launcher, default_scope=None,
                         randomness=dict(seed=seed), experiment_name=f"{Path(work_dir).name}_{next(_NUMBERS)}",
                         visualizer=dict(type="Visualizer", vis_backends=[dict(type="TensorboardVisBackend")]),
                         cfg=cfg)  # yapf: disable

    # --- the work folder ------------------------------------------------------------------------------------------------

    @property
    def _log_dir(self) -> str:
        return self._work_dir

    @_log_dir.setter
    def _log_dir(self, value: str) -> None:  # mmengine would make a folder per start
        pass

    def build_logger(self, log_level="INFO", log_file=None, **kwargs):
        """A log file in the work folder; the terminal gets warnings only (``LogHook`` prints progress)."""
        logger = super().build_logger(log_level, str(Path(self.work_dir) / "log.txt"), file_mode="a", logger_name="deep3dmap",
                                      **kwargs)  # yapf: disable
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.setLevel(logging.WARNING)
            handler.handleError = lambda record: None  # a full disk must not stop training
        return logger

    def _log_env(self, env_cfg) -> None:
        """Log versions, device and seed; mmengine's own list takes a second to collect."""
        self.logger.info(f"deep3dmap {__version__}, torch {torch.__version__}, device {self.target}, seed {self.seed}, "
                         f"{self.world_size} process(es); the config is in config.py")

    def dump_config(self) -> None:
        """Write the resolved config as ``config.py``; on resume only after the config is accepted."""
        resumes = self.resume_from and (self.resume_from is not True or files.list_checkpoints(Path(self.work_dir)))
        if self.rank == 0 and (not resumes or self._train_loop is not None):
            try:
                write_atomically(Path(self.work_dir) / "config.py", self.cfg.pretty_text.encode())
            except OSError as error:
                raise ConfigError(f"the work folder {self.work_dir} can't be written ({reason(error)}), or choose another "
                                  "with --work-dir (reconstruct: -o)") from None

    def register_default_hooks(self, hooks=None) -> None:
        """Register only the configured hooks; mmengine's defaults are for its own loops."""
        self.register_custom_hooks([hook for hook in (hooks or {}).values() if hook is not None])

    def register_custom_hooks(self, hooks) -> None:
        """Build hooks (with an optional ``priority``) and register them."""
        for hook in hooks:
            if isinstance(hook, Mapping):
                priority = hook.get("priority")
                hook = HOOKS.build({k: v for k, v in hook.items() if k != "priority"})
                hook.priority = priority or hook.priority
            self.register_hook(hook)

    # --- building ---------------------------------------------------------------------------------------------------------

    def set_randomness(self, seed, **kwargs) -> None:
        """Seed all generators."""
        self._seed, self._deterministic = seed, False
        seed_everything(step_seed(seed, 0))

    def build_model(self, model):
        """Build the framework from its config."""
        return FRAMEWORKS.build(dict(model)) if isinstance(model, Mapping) else model

    def wrap_model(self, model_wrapper_cfg, model):
        """Move the framework to its device, without a wrapper (see ``launching.py``)."""
        return model.to(self.target)

    # --- setup, training, testing -----------------------------------------------------------------------------------------

    @property
    def framework(self):
        """The framework."""
        return self.model

    def setup(self, info: Mapping) -> None:
        """Set up the framework for its data."""
        self.info = dict(info)
        self.framework.setup(self.info)
        self.framework.to(self.target)

    def train(self):
        """Train; returns the framework."""
        stages = (self.train_cfg or {}).get("stages") or [{}]
        if self.train_cfg is None or self.optim_wrapper_cfg is None and not all(s.get("optim_wrapper") for s in stages):
            raise ConfigError("training needs train_cfg, optim_wrapper and train_dataset or train_dataloader in the config")
        if self.val_cfg is not None:
            self.validation = HOOKS.build(dict(type="ValidationHook") | dict(self.val_cfg))
            self.register_hook(self.validation)
        self._train_loop = LOOPS.build(dict(type="StagedTrainLoop") | dict(self.train_cfg),
                                       default_args=dict(runner=self, dataloader=self.train_loader_cfg))
        last = len(self._train_loop.stages) - 1
        seed_everything(step_seed(self.seed, 5))
        self.setup(self._train_loop.source_of(last).info())
        self.call_hook("before_run")
        self.load_or_resume()
        if self.amp == AUTO:
            self._set_amp(*self._choose_amp())
        self.dump_config()  # again, now with the resolved values
        if isinstance(self.cfg.get("model"), Mapping):
            new = self.iter == 0 and not self.starts_from_weights
            load_part_weights(self.framework, self.cfg.model, None if new else self.framework.from_files)
        try:
            framework = self.train_loop.run()
        finally:
            with OptionalFiles("the curves in vis_data").writing(self.logger.warning):
                self.visualizer.close()  # writes what is still in memory
        self.call_hook("after_run")
        return framework

    def test(self):
        """Test the framework as it is (see ``load_checkpoint``); returns a :class:`deep3dmap.engine.testing.TestResult`."""
        return LOOPS.build(dict(type="ReconstructionTestLoop") | dict(self.test_cfg or {}),
                           default_args=dict(runner=self)).run()

    @property
    def starts_from_weights(self) -> bool:
        """Whether training starts from the weights of another run."""
        return self._load_from is not None

    def build_test_data(self, scale: float = 1.0) -> TestData:
        """Build the test data; ``scale`` is that of views."""
        return build_test_data("test", self.test_dataset_cfg, self.test_loader_cfg, self.scene, self.seed, scale)

    def build_validation_data(self, scale: float = 1.0) -> TestData:
        """Build the validation data; ``scale`` is that of views."""
        return build_test_data("val", self.val_dataset_cfg, self.val_loader_cfg, self.scene, self.seed, scale)

    def report(self) -> tuple[str, int]:
        """Message to print after training (empty in all processes but the first), and the exit code."""
        if self.train_loop.interrupted:
            return f"interrupted; state saved in {self.work_dir}. Continue with the same command and --resume", INTERRUPTED
        best = self.validation.describe() if self.validation is not None else ""
        return f"{self.work_dir}: trained for {self.iter} steps{best}" if self.rank == 0 else "", 0

    def record(self, values: Mapping) -> None:
        """Log scalars, in addition to those of training."""
        for hook in self.hooks:
            if isinstance(hook, LogHook):
                hook.write(self, dict(values))

    def _choose_amp(self) -> tuple[bool, str]:
        if not self.framework.mixed_precision:
            return False, f"float32: {type(self.framework).__name__} is not tested in mixed precision"
        return choose_amp(self.target)

    def _set_amp(self, amp: bool, why: str) -> None:
        """Resolve ``auto``, also in the recorded config, so that a resumed run keeps it."""
        self.amp = self.cfg.amp = amp
        self.logger.info(f"amp=auto: {why}")

    # --- checkpoints ------------------------------------------------------------------------------------------------------

    def load_or_resume(self) -> None:
        """Resume from a checkpoint, or load the weights of one, as configured."""
        start = self.work_dir if self.resume_from is True else self.resume_from
        if self.resume_from is True and not files.list_checkpoints(Path(start)):
            self.logger.warning(f"nothing to resume in {start}: starting a new run")
        elif start:
            self.resume(str(files.find_checkpoint(Path(start), self.logger.warning)))
        elif self._load_from is not None:
            self.load_checkpoint(self._load_from)
        if self.resume_from:
            self.dump_config()
        all_reduce(0.0)  # a barrier: all processes have read the checkpoint
        if self.rank == 0:
            files.remove_leftovers(Path(self.work_dir))

    def move_later_checkpoints(self) -> None:
        """Move checkpoints of later steps (of another run, or damaged) away, so that none counts as this run's newest."""
        later = [path for path in files.list_checkpoints(Path(self.work_dir)) if files.step_of(path) > self.iter]
        if not later or self.rank != 0:
            return
        parents = (Path(self.work_dir) / f"checkpoints_before_{k}" for k in itertools.count(1))
        target = next(path for path in parents if not path.exists())
        target.mkdir()
        for path in later:
            path.rename(target / path.name)
        self.logger.warning(f"{self.work_dir} held checkpoints of an earlier run; they were moved to {target.name}")

    def save_checkpoint(self, path: Path) -> None:
        """Write a checkpoint of all processes' states; a collective call. mmengine's takes more arguments."""
        framework, loop = self.framework, self._train_loop.state_dict()
        if self.rank != 0:
            return
        config = json.dumps(self.cfg.to_dict(), default=str)
        meta = dict(version=__version__, framework=type(framework).__name__, config=config, seed=self.seed)
        content = dict(format=files.FORMAT, meta=meta, info=self.info, loop=loop)
        with self._train_loop.interrupts.shield():
            files.save_checkpoint(content | dict(state_dict=self._train_loop.averages.state_dict(framework)), path)

    def resume(self, filename: str, **kwargs) -> None:
        """Resume exactly from a checkpoint."""
        checkpoint = files.load_checkpoint(Path(filename))
        if "loop" not in checkpoint:
            raise CheckpointError(f"{filename}: has weights only; use load_from instead of --resume")
        try:
            loop, old = checkpoint["loop"], json.loads(checkpoint["meta"]["config"])
            if self.amp == AUTO:
                self._set_amp(old.get("amp", False), f"as in {filename}")
            seen = same_views(checkpoint["info"], self.info)
            changes = check_resume(old, self.cfg.to_dict(), loop["index"], seen, filename)
            check_same_files(checkpoint["info"], self.info, filename)
            self._load(checkpoint, filename)
            self._train_loop.load_state_dict(dict(loop, averages=checkpoint["state_dict"]), optimizer_settings(changes))
        except UNUSABLE as error:
            raise CheckpointError(f"{filename}: can't be resumed: {type(error).__name__}: {error}") from error
        self.logger.info(f"resumed from {filename} at step {self._train_loop.step}")
        if changes:
            self.logger.warning(f"from step {self._train_loop.step} on, settings are changed:\n{described(changes)}")

    def load_checkpoint(self, filename: str, **kwargs) -> dict:
        """Load the weights of a checkpoint."""
        return self._load(files.load_checkpoint(Path(filename)), filename)

    def _load(self, checkpoint: dict, filename: str) -> dict:
        if not self.info:
            self.info = checkpoint["info"]
            files.set_up(self.framework, self.info, filename)
            self.framework.to(self.target)
        files.load_weights(self.framework, checkpoint["state_dict"], filename)
        return checkpoint

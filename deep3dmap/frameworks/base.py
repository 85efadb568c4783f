"""The two bases of every method: :class:`BaseFramework` (one loss, trained in the common way) and :class:`CustomFramework` (a
training procedure of its own).

Runners, metrics, export and the command line only use what is declared here, so they never ask which method it is.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
import trimesh
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor, nn

from deep3dmap.errors import ConfigError, DataError
from deep3dmap.frameworks.optimizer_steps import update_params
from deep3dmap.losses.base import Loss
from deep3dmap.registry import BACKBONES, LOSSES, RENDERERS, nearest
from deep3dmap.schedules import Progress
from deep3dmap.structures import Reconstruction


@dataclass(frozen=True)
class Stage:
    """A part of a training run: what moves and what counts in it.

    Attributes:
        name: one of the framework's ``stages``.
        params: glob patterns of the parameters that are trained (all by default).
        losses: names of the loss terms that count, or None for all.
        number: its place in the run, counted from 0.
    """

    name: str = "train"
    params: tuple[str, ...] = ("*", )
    losses: tuple[str, ...] | None = None
    number: int = 0


class Framework(BaseModel):
    """What both bases share: the input dictionary, stages, progress and the call contract.

    Args:
        input_keys: which keys of a batch reach ``forward``: a list of names, or a dictionary ``{name in forward: key in
            the batch}`` that renames. None lets all through.
    """

    #: Names of the stages that a config may train; subclasses override it.
    stages: tuple[str, ...] = ("train", )
    #: What a batch is a number of, for the log, by the first key that it holds tensors under.
    items: Mapping[str, str] = {"origins": "rays", "points": "points", "images": "views"}
    #: What captures must have besides photographs and cameras; None for a method that says nothing of captures.
    needs: tuple[str, ...] | None = None
    #: Whether tests show that training in mixed precision gives the same results; ``amp='auto'`` asks only then if it pays.
    mixed_precision: bool = False

    def __init__(self, input_keys: Sequence[str] | Mapping[str, str] | None = None, data_preprocessor: dict | None = None):
        super().__init__(data_preprocessor=data_preprocessor)
        if input_keys is not None and not isinstance(input_keys, Mapping):
            input_keys = {key: key for key in input_keys}
        self.input_keys = None if input_keys is None else dict(input_keys)
        self.stage = Stage()
        self.progress = Progress()

    # --- the dictionary of inputs -----------------------------------------------------------------------------------

    def check_inputs(self, batch: Mapping, source: str) -> None:
        """Make sure, before the first step, that a batch holds every key of ``input_keys``.

        Raises:
            DataError: naming the missing key, the framework and the dataset ``source``.
        """
        for name, key in (self.input_keys or {}).items():
            if key not in batch:
                raise DataError(f"{type(self).__name__} wants '{key}' (as '{name}', from its input_keys), but {source} gives "
                                f"{sorted(batch)}; {nearest(key, batch)}")

    def select_inputs(self, batch: Mapping) -> dict:
        """The part of a batch that ``input_keys`` let through, under the names that ``forward`` knows."""
        if self.input_keys is None:
            return dict(batch)
        return {name: batch[key] for name, key in self.input_keys.items() if key in batch}

    def prepare_inputs(self, batch: Mapping, training: bool) -> dict:
        """A batch on the framework's device, reduced to its inputs."""
        return self.select_inputs(self.data_preprocessor(dict(batch), training))

    # --- contract -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def forward(self, inputs: dict, mode: str = "tensor") -> dict:
        """Compute ``loss`` terms, a ``predict``-ion by key, or raw ``tensor`` outputs, as ``mode`` says."""

    def setup(self, info: Mapping) -> None:
        """Learn what the data are like before training (``dataset.info()``): cameras, the scene's frame, bounds...

        Called once on a fresh run, before the optimisers are built. What must survive belongs into buffers.
        """

    def check_needs(self, info: Mapping) -> None:
        """Make sure that the data (``dataset.info()``) have what the method ``needs``.

        Raises:
            DataError: naming what is missing, and how to get it.
        """
        if "masks" in (self.needs or ()) and info.get("masks") is False:
            raise DataError(f"{info.get('source', 'the data')}: {type(self).__name__} needs a mask for every view; "
                            "docs/data_formats.md says where masks go, `deep3dmap make-masks` makes them for objects before a "
                            "plain background")

    def begin_stage(self, stage: Stage, data: object) -> Sequence[str]:
        """Look at the data before the first step of a stage: to start from what only all of them together show.

        Not called when a run is resumed, nor for the first stage of a run that starts from loaded weights.

        Args:
            stage: that begins.
            data: its dataset.

        Returns:
            What the user should be warned of.
        """
        return ()

    def training_state(self) -> dict:
        """What training needs to go on exactly, besides weights and buffers: tensors and plain values."""
        return {}

    def load_training_state(self, state: Mapping) -> None:
        """Take back what :meth:`training_state` gave; an empty one (of another config's run) means a fresh start."""

    def reconstruct(self, batch: Mapping, resolution: int = 256) -> Iterator[Reconstruction]:
        """What a batch of test data shows: a result for each of its items, in their order.

        By default the arrays that ``forward`` gives in the mode ``predict``, which has an entry for each item. Methods whose
        results are pictures, meshes or cameras say so here.

        Args:
            batch: collated items, or a single item as its dataset gives it; ``name`` says which (a list, or one name).
            resolution: cells along an edge where meshes are extracted from a field; 0 for no meshes.

        Yields:
            Results. A clip of a longer sequence may give a ``partial`` one, which the sequence's next replaces.

        Raises:
            DataError: if a prediction has not as many entries as there are items.
        """
        predictions = self.test_step(batch)
        arrays = {key: value.detach().cpu() for key, value in predictions.items()}
        if isinstance(batch["name"], str):
            yield Reconstruction(batch["name"], arrays=arrays)
            return
        for key, value in arrays.items():
            if value.shape[:1] != (len(batch["name"]), ):
                raise DataError(f"{type(self).__name__} predicts '{key}' with shape {tuple(value.shape)} for "
                                f"{len(batch['name'])} items; it must have an entry for each")
        for k, name in enumerate(batch["name"]):
            yield Reconstruction(name, arrays={key: value[k] for key, value in arrays.items()})

    def extract_mesh(self, resolution: int = 256, **options) -> trimesh.Trimesh:
        """The reconstructed surface in the data's own frame and units, for methods of one scene.

        Raises:
            ConfigError: if the method does not produce such a mesh.
        """
        raise ConfigError(f"{type(self).__name__} does not produce a mesh of its own")

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    # --- stages -----------------------------------------------------------------------------------------------------------

    def check_stage(self, stage: Stage) -> None:
        """Make sure, before the first step of a run, that a stage can be entered.

        Raises:
            ConfigError: for an unknown stage, or a pattern that matches no parameter.
        """
        if stage.name not in self.stages:
            raise ConfigError(f"{type(self).__name__} has no stage '{stage.name}': {nearest(stage.name, self.stages)}")
        names = [name for name, _ in self.named_parameters()]
        for pattern in stage.params:
            if names and not any(fnmatchcase(name, pattern) for name in names):
                raise ConfigError(f"stage '{stage.name}': no parameter of {type(self).__name__} matches '{pattern}'; they are "
                                  f"{', '.join(names[:8])}{' ...' * (len(names) > 8)}")

    def moving_parameters(self, stage: Stage) -> dict[str, nn.Parameter]:
        """The parameters that a stage trains, by name."""
        return {name: p for name, p in self.named_parameters() if any(fnmatchcase(name, each) for each in stage.params)}

    def enter_stage(self, stage: Stage) -> None:
        """Begin a stage: its parameters move, the others rest. A resumed run enters its stage before its weights are put back.

        Raises:
            ConfigError: see :meth:`check_stage`.
        """
        self.check_stage(stage)
        moving = self.moving_parameters(stage)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name in moving)
        self.stage = stage

    def set_progress(self, progress: Progress) -> None:
        """Tell the framework and its loss terms how far the stage has come; called before every step."""
        self.progress = progress
        for module in self.modules():
            if isinstance(module, Loss):
                module.set_progress(progress)

    # --- steps ------------------------------------------------------------------------------------------------------------

    def test_step(self, data: Mapping) -> dict:
        """Predictions for a batch."""
        return self(self.prepare_inputs(data, False), mode="predict")

    val_step = test_step

    def parse_losses(self, losses: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of the terms named ``loss*``, and all terms for the log.

        Raises:
            ConfigError: if there is no such term.
        """
        terms = [value for name, value in losses.items() if name.startswith("loss")]
        if not terms:
            raise ConfigError(f"{type(self).__name__} gave no loss in stage '{self.stage.name}', only {sorted(losses)}")
        total = torch.stack([t.mean() for t in terms]).sum()
        return total, {"loss": total, **losses}


class BaseFramework(Framework):
    """A method that is built wholly from a config and trains in the common way: forward, sum of losses, backward, step.

    Args:
        backbone: config of a part of the registry ``BACKBONES``, or None.
        renderer: config of a part of ``RENDERERS``, or None.
        losses: loss terms by name: configs of parts of ``LOSSES``.
        input_keys: see :class:`Framework`.
    """

    def __init__(self,
                 backbone: dict | None = None,
                 renderer: dict | None = None,
                 losses: Mapping[str, dict] | None = None,
                 input_keys: Sequence[str] | Mapping[str, str] | None = None,
                 data_preprocessor: dict | None = None):
        super().__init__(input_keys, data_preprocessor)
        if backbone is not None:
            self.backbone = BACKBONES.build(backbone)
        if renderer is not None:
            self.renderer = RENDERERS.build(renderer)
        self.losses = nn.ModuleDict({name: LOSSES.build(loss) for name, loss in (losses or {}).items()})

    def check_stage(self, stage: Stage) -> None:
        """A stage's loss terms must be among those of the config, too."""
        super().check_stage(stage)
        for name in stage.losses or ():
            if name not in self.losses:
                raise ConfigError(f"stage '{stage.name}' wants the loss '{name}': {nearest(name, self.losses)}")

    def compute_losses(self, outputs: dict, inputs: dict) -> dict[str, Tensor]:
        """The weighted terms ``loss_NAME`` of those losses that count in the present stage."""
        active = self.losses if self.stage.losses is None else self.stage.losses
        return {f"loss_{name}": self.losses[name].weight * self._term(name, outputs, inputs) for name in active}

    def _term(self, name: str, outputs: dict, inputs: dict) -> Tensor:
        try:
            return self.losses[name](outputs, inputs)
        except KeyError as error:
            raise ConfigError(f"the loss '{name}' ({type(self.losses[name]).__name__}) needs {error}, but the inputs are "
                              f"{sorted(inputs)} and the outputs {sorted(outputs)}; input_keys may leave it out") from error

    def train_step(self, data: Mapping, optim_wrapper: OptimWrapper | OptimWrapperDict) -> dict[str, Tensor]:
        """One step of training.

        Args:
            data: a batch.
            optim_wrapper: one optimiser, or several that all step on the same loss.

        Returns:
            What to log: the loss, its terms, and what else ``forward`` gave.
        """
        inputs = self.prepare_inputs(data, True)
        with first_of(optim_wrapper).optim_context(self):
            total, terms = self.parse_losses(self(inputs, mode="loss"))
        update_params(total, optim_wrapper)
        return {name: value.detach() for name, value in terms.items()}


def first_of(optim_wrapper: OptimWrapper | OptimWrapperDict) -> OptimWrapper:
    """The optimiser whose precision counts where several step on the same loss."""
    return next(iter(optim_wrapper.values())) if isinstance(optim_wrapper, OptimWrapperDict) else optim_wrapper


class CustomFramework(Framework):
    """A method with a training procedure of its own: several optimisers, alternating players, inner loops.

    A subclass names its ``stages`` and owns ``train_step(data, optim_wrapper)``. With several optimisers the config gives
    ``optim_wrapper=dict(generator=dict(optimizer=...), discriminator=dict(optimizer=...))``: one for each named part of the
    framework; those of the parts that move in the present stage arrive as an ``OptimWrapperDict`` with those names. With
    several processes, each optimiser's step is along the average of their gradients.
    """

    @abstractmethod
    def train_step(self, data: Mapping, optim_wrapper: OptimWrapper | OptimWrapperDict) -> dict[str, Tensor]:
        """One step of training: backward passes and optimiser steps included. Returns what to log, at least one term named
        ``loss*``: all such terms are watched, and a run stops where one is not finite."""

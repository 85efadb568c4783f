"""The two base classes of all methods: :class:`BaseFramework` (one loss, standard training step) and :class:`CustomFramework`
(a custom training step).

Runners, metrics, export and the command line use only this interface, so they don't depend on the method.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
import trimesh
from jaxtyping import Float
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor, nn

from deep3dmap.errors import ConfigError, DataError, returned
from deep3dmap.frameworks.optimizer_steps import update_params
from deep3dmap.losses.base import Loss
from deep3dmap.registry import BACKBONES, LOSSES, RENDERERS, nearest
from deep3dmap.schedules import Progress
from deep3dmap.structures import Reconstruction


@dataclass(frozen=True)
class Stage:
    """A stage of a training run: its parameters and loss terms.

    Attributes:
        name: one of the framework's ``stages``.
        params: glob patterns of the parameters that are trained (all by default).
        losses: names of the active loss terms, or None for all.
        number: its index in the run.
    """

    name: str = "train"
    params: tuple[str, ...] = ("*", )
    losses: tuple[str, ...] | None = None
    number: int = 0


class Framework(BaseModel):
    """Common to both base classes: input dictionary, stages, progress and interface.

    Args:
        input_keys: keys of a batch that are passed to ``forward``: a list of names, or a dictionary ``{name in forward: key in
            the batch}`` that renames. None passes all.
    """

    #: Names of the stages that a config may train; subclasses override it.
    stages: tuple[str, ...] = ("train", )
    #: Unit of a batch's size in the log, by the first key of the batch that holds tensors.
    items: Mapping[str, str] = {"origins": "rays", "points": "points", "images": "views"}
    #: What captures must have in addition to photographs and cameras; None for a method that doesn't use captures.
    needs: tuple[str, ...] | None = None
    #: Submodules that only training needs, that none changes, and whose weights are in files of their own (``weights`` in the
    #: config): they are left out of state dictionaries, and read again when a run is resumed.
    from_files: tuple[str, ...] = ()
    #: Whether training in mixed precision is tested to give the same results; a condition for ``amp='auto'`` to choose it.
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
        """Check, before the first step, that a batch holds every key of ``input_keys``.

        Raises:
            DataError: naming the missing key, the framework and the dataset ``source``.
        """
        for name, key in (self.input_keys or {}).items():
            if key not in batch:
                raise DataError(f"{type(self).__name__} needs '{key}' (as '{name}', from its input_keys), but {source} has "
                                f"{sorted(batch)}; {nearest(key, batch)}")

    def prepare_inputs(self, batch: Mapping, training: bool) -> dict:
        """A batch on the framework's device, reduced to ``input_keys``, under the names that ``forward`` expects."""
        batch = self.data_preprocessor(dict(batch), training)
        if self.input_keys is None:
            return dict(batch)
        return {name: batch[key] for name, key in self.input_keys.items() if key in batch}

    # --- interface -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def forward(self, inputs: dict, mode: str = "tensor") -> dict:
        """Compute ``loss`` terms, a ``predict``-ion by key, or raw ``tensor`` outputs, as ``mode`` says."""

    def setup(self, info: Mapping) -> None:
        """Take the properties of the data before training (``dataset.info()``): cameras, the scene's frame, bounds...

        Called once, before the optimisers are built. State that checkpoints must hold belongs in buffers.
        """

    def check_needs(self, info: Mapping) -> None:
        """Check that the data (``dataset.info()``) have what the method ``needs``.

        Raises:
            DataError: naming what is missing, and how to provide it.
        """
        if "masks" in (self.needs or ()) and info.get("masks") is False:
            raise DataError(
                f"{info.get('source', 'the data')}: {type(self).__name__} needs a mask for every view; "
                "docs/data_formats.md describes the layout, `deep3dmap make-masks` makes masks of objects before a "
                "plain background")

    def begin_stage(self, stage: Stage, data: object) -> Sequence[str]:
        """Initialise from the whole dataset before the first step of a stage.

        Not called when a run is resumed, nor for the first stage of a run that starts from loaded weights.

        Args:
            stage: the stage.
            data: its dataset.

        Returns:
            Warnings for the user.
        """
        return ()

    def adapt_sizes(self, state: Mapping) -> None:
        """Give parameters and buffers whose sizes depend on the data the sizes that they have in ``state``, a state dictionary
        that is about to be loaded. Parameters must stay the same objects."""

    def load_state_dict(self, state_dict: Mapping, *arguments, **options):
        """Load weights, after adapting parameters whose sizes depend on the data. Those ``from_files`` may be missing."""
        self.adapt_sizes(state_dict)
        kept = {name: value for name, value in super().state_dict().items() if self._is_from_files(name)}
        return super().load_state_dict({**kept, **state_dict}, *arguments, **options)

    def state_dict(self, *arguments, **options) -> dict:
        """Weights and buffers, without those of ``from_files``."""
        state = super().state_dict(*arguments, **options)
        for name in [name for name in state if self._is_from_files(name)]:
            del state[name]
        return state

    def _is_from_files(self, name: str) -> bool:
        return any(name.startswith(f"{part}.") for part in self.from_files)

    def training_state(self) -> dict:
        """Training state other than weights and buffers, for an exact resume: tensors and plain values."""
        return {}

    def load_training_state(self, state: Mapping) -> None:
        """Restore the result of :meth:`training_state`; an empty one (from another config's run) resets it."""

    def reconstruct(self, batch: Mapping, resolution: int = 256) -> Iterator[Reconstruction]:
        """Reconstruct a batch of test data: a result for each item, in order.

        By default the arrays that ``forward`` returns in the mode ``predict``, with an entry for each item. Methods whose
        results are images, meshes or cameras override this.

        Args:
            batch: collated items, or a single item of the dataset; ``name`` holds their names (a list), or its name.
            resolution: grid cells along an edge for meshes extracted from a field; 0 for no meshes.

        Yields:
            Results. A clip of a longer sequence may yield a ``partial`` one, which the next clip's result replaces.

        Raises:
            DataError: if a prediction doesn't have one entry per item.
        """
        predictions = self.test_step(batch)
        arrays = {key: value.detach().cpu() for key, value in predictions.items()}
        if isinstance(batch["name"], str):
            yield Reconstruction(batch["name"], arrays=arrays)
            return
        for key, value in arrays.items():
            if value.shape[:1] != (len(batch["name"]), ):
                raise DataError(f"{type(self).__name__} predicts '{key}' with shape {tuple(value.shape)} for "
                                f"{len(batch['name'])} items; it must have one entry per item")
        for k, name in enumerate(batch["name"]):
            yield Reconstruction(name, arrays={key: value[k] for key, value in arrays.items()})

    def training_picture(self) -> Float[Tensor, "h w 3"] | None:
        """A picture of the training's state in [0, 1], for methods without views to render; drawn by ``PictureHook``. It must
        neither use nor change the state of a random generator."""
        return None

    def extract_mesh(self, resolution: int = 256, **options) -> trimesh.Trimesh:
        """The reconstructed surface in the data's frame and units, for single-scene methods.

        Raises:
            ConfigError: if the method does not produce such a mesh.
        """
        raise ConfigError(f"{type(self).__name__} does not produce a mesh")

    def surface_colors(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """Colours in [0, 1] of points on the reconstructed surface, for methods that have a network of its appearance.

        Args:
            points: in the data's frame and units.

        Raises:
            ConfigError: if the method has no such network.
        """
        raise ConfigError(f"{type(self).__name__} has no radiance network to paint a texture from")

    def take_appearance(self, other: "Framework") -> None:
        """Replace the appearance by that of another trained framework; the surface stays.

        Raises:
            ConfigError: if the method has no separate appearance, or the two don't fit.
        """
        raise ConfigError(f"{type(self).__name__} doesn't separate appearance from geometry")

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    # --- stages -----------------------------------------------------------------------------------------------------------

    def check_stage(self, stage: Stage) -> None:
        """Check, before the first step of a run, that a stage is valid.

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

    def trainable_parameters(self, stage: Stage) -> dict[str, nn.Parameter]:
        """The parameters that a stage trains, by name."""
        return {name: p for name, p in self.named_parameters() if any(fnmatchcase(name, each) for each in stage.params)}

    def enter_stage(self, stage: Stage) -> None:
        """Begin a stage: unfreeze its parameters, freeze the others. On resume, called before the weights are restored.

        Raises:
            ConfigError: see :meth:`check_stage`.
        """
        self.check_stage(stage)
        moving = self.trainable_parameters(stage)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name in moving)
        self.stage = stage

    def set_progress(self, progress: Progress) -> None:
        """Set the stage's progress in the framework and its loss terms; called before every step."""
        self.progress = progress
        for module in self.modules():
            if isinstance(module, Loss):
                module.set_progress(progress)

    # --- steps ------------------------------------------------------------------------------------------------------------

    def test_step(self, data: Mapping) -> dict:
        """Predictions for a batch."""
        return returned(self(self.prepare_inputs(data, False), mode="predict"), Mapping, self, "forward")

    val_step = test_step

    def parse_losses(self, losses: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of the terms named ``loss*``, and all terms to log.

        Raises:
            ConfigError: if there is no such term.
        """
        losses = returned(losses, Mapping, self, "forward")
        terms = [returned(losses[key], Tensor, self, f"forward, term '{key}',") for key in losses if key.startswith("loss")]
        if not terms:
            raise ConfigError(f"{type(self).__name__} returned no loss in stage '{self.stage.name}', only {sorted(losses)}")
        total = torch.stack([t.mean() for t in terms]).sum()
        return total, {"loss": total, **losses}


class BaseFramework(Framework):
    """A method built entirely from a config, with the standard training step: forward, sum of losses, backward, step.

    Args:
        backbone: config of a part of the registry ``BACKBONES``, or None.
        renderer: config of a part of ``RENDERERS``, or None.
        losses: loss terms by name: configs of parts of ``LOSSES``; None leaves out one that a base of the config has.
        input_keys: see :class:`Framework`.
    """

    def __init__(self,
                 backbone: dict | None = None,
                 renderer: dict | None = None,
                 losses: Mapping[str, dict | None] | None = None,
                 input_keys: Sequence[str] | Mapping[str, str] | None = None,
                 data_preprocessor: dict | None = None):
        super().__init__(input_keys, data_preprocessor)
        if backbone is not None:
            self.backbone = BACKBONES.build(backbone)
        if renderer is not None:
            self.renderer = RENDERERS.build(renderer)
        given = {name: loss for name, loss in (losses or {}).items() if loss is not None}
        self.losses = nn.ModuleDict({name: LOSSES.build(loss) for name, loss in given.items()})

    def check_stage(self, stage: Stage) -> None:
        """Also check that the stage's loss terms are in the config."""
        super().check_stage(stage)
        for name in stage.losses or ():
            if name not in self.losses:
                raise ConfigError(f"stage '{stage.name}' uses the loss '{name}': {nearest(name, self.losses)}")

    def compute_losses(self, outputs: dict, inputs: dict) -> dict[str, Tensor]:
        """The weighted terms ``loss_NAME`` of the losses that are active in the current stage."""
        terms = {}
        for name in self.losses if self.stage.losses is None else self.stage.losses:
            try:
                terms[f"loss_{name}"] = self.losses[name].weight * self.losses[name](outputs, inputs)
            except KeyError as error:
                raise ConfigError(
                    f"the loss '{name}' ({type(self.losses[name]).__name__}) needs {error}, but the inputs are "
                    f"{sorted(inputs)} and the outputs {sorted(outputs)}; input_keys may leave it out") from error
        return terms

    def train_step(self, data: Mapping, optim_wrapper: OptimWrapper | OptimWrapperDict) -> dict[str, Tensor]:
        """One step of training.

        Args:
            data: a batch.
            optim_wrapper: one optimiser, or several that all step on the same loss.

        Returns:
            Values to log: the loss, its terms, and other outputs of ``forward``.
        """
        inputs = self.prepare_inputs(data, True)
        with first_of(optim_wrapper).optim_context(self):
            total, terms = self.parse_losses(self(inputs, mode="loss"))
        update_params(total, optim_wrapper)
        return {name: value.detach() for name, value in terms.items()}


def first_of(optim_wrapper: OptimWrapper | OptimWrapperDict) -> OptimWrapper:
    """The optimiser whose precision is used where several step on the same loss."""
    return next(iter(optim_wrapper.values())) if isinstance(optim_wrapper, OptimWrapperDict) else optim_wrapper


class CustomFramework(Framework):
    """A method with a custom training step: several optimisers, alternating updates, inner loops.

    A subclass defines its ``stages`` and ``train_step(data, optim_wrapper)``. For several optimisers the config has
    ``optim_wrapper=dict(generator=dict(optimizer=...), discriminator=dict(optimizer=...))``: one for each named submodule;
    those trained in the current stage are passed as an ``OptimWrapperDict`` with those names. In distributed runs each
    optimiser steps with gradients averaged over all processes.
    """

    @abstractmethod
    def train_step(self, data: Mapping, optim_wrapper: OptimWrapper | OptimWrapperDict) -> dict[str, Tensor]:
        """One step of training, including backward passes and optimiser steps. Returns values to log, at least one term named
        ``loss*``: a run stops if one of these is not finite."""

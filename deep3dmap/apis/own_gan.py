"""A user's own GAN in the place of the one that a config names: ``deep3dmap reconstruct --gan``."""

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from torch import Tensor

from deep3dmap.apis.inference import model_of
from deep3dmap.backbones.stylegan2.generator import channels_of
from deep3dmap.engine.checkpoint import FORMAT, load_checkpoint, read_pickle, save_checkpoint
from deep3dmap.engine.config import merge_options
from deep3dmap.engine.part_weights import weight_sources
from deep3dmap.errors import CheckpointError, ConfigError
from deep3dmap.frameworks.stylegan2 import StyleGAN2
from deep3dmap.frameworks.stylegan2.published import convert
from deep3dmap.io.packages import SIGN
from deep3dmap.registry import BACKBONES

PARTS = ("generator", "discriminator")
PRIOR_STEPS = 1000  # of a stage that trained networks don't need
PUBLISHED = (".pt", ".pkl")  # the endings of published files; checkpoints of our own end in .pth


@dataclass
class OwnGAN:
    """A trained StyleGAN2.

    Attributes:
        source: its file.
        model: its ``model`` config.
        state: its weights, ``generator.NAME`` and ``discriminator.NAME``.
    """

    source: Path
    model: Mapping
    state: Mapping[str, Tensor]

    @classmethod
    def read(cls, source: str | Path) -> "OwnGAN":
        """A published file (``.pt``), a checkpoint, or a work folder.

        Raises:
            CheckpointError: if it is none of StyleGAN2, or has no discriminator.
        """
        path = Path(source)
        if path.suffix in PUBLISHED:
            model, _, state = convert(path, read_pickle)
        else:
            path, model = model_of(path, StyleGAN2.__name__)
            state = load_checkpoint(path)["state_dict"]
        if not model.get("discriminator"):
            raise CheckpointError(f"{path}: has no discriminator, whose features are needed as well as the generator")
        return cls(path, model, state)

    def put_into(self, cfg: Config, file: Path) -> None:
        """Let a config load its networks' weights from a file, which :meth:`save` writes.

        Raises:
            ConfigError: if the config's method uses no GAN, or its networks have other sizes.
        """
        for part in PARTS:
            if part not in cfg.model or "instances" not in cfg:
                raise ConfigError(f"--gan: {cfg.filename} trains no {cfg.model.type} with a GAN on each picture")
            given, wanted = _sizes(self.model[part]), _sizes(cfg.model[part])
            if _comparable(given) != _comparable(wanted):
                raise ConfigError(f"{self.source}: its {part} has {_words(given)}, but that of {cfg.filename} has "
                                  f"{_words(wanted)}; choose the --config of this GAN, or write one with its sizes")
            cfg.model[part]["weights"] = dict(path=str(file), prefix=f"{part}.")

    def save(self, file: Path) -> None:
        """Write it as a checkpoint."""
        meta = dict(framework=StyleGAN2.__name__, config=json.dumps(dict(model=self.model)), converted_from=str(self.source))
        save_checkpoint(dict(format=FORMAT, meta=meta, info={}, state_dict=dict(self.state)), file)


def without_missing_files(cfg: Config) -> list[str]:
    """Do without the files of weights that a config of published settings names beside its GAN, and that aren't here.

    Networks begin with the prior then, distributions are those in the config, and losses are left out.

    Returns:
        The missing files, and whose weights they would have been.
    """
    missing = []
    for place, source in list(weight_sources(cfg.model)):
        path = source.get("path")
        if place not in PARTS and path and not str(path).startswith(SIGN) and not Path(path).is_file():
            missing.append(f"{path} ({place or 'networks'})")
            key = place if place.startswith("losses.") else f"{place}.weights".lstrip(".")
            merge_options(cfg, {f"model.{key}": None}, "--gan:")
            for stage in cfg.train_cfg.stages if not place else ():
                stage.max_steps = PRIOR_STEPS if (stage.name, stage.max_steps) == ("prior", 0) else stage.max_steps
    return missing


def _sizes(network: Mapping) -> dict[str, float]:
    """The sizes in a network's config, with their defaults."""
    known = inspect.signature(BACKBONES.get(network["type"])).parameters
    return {name: network.get(name, parameter.default) for name, parameter in known.items()}


def _comparable(sizes: Mapping[str, float]) -> list:
    """Sizes such that networks of equal ones have equal weights."""
    others = {name: value for name, value in sizes.items() if name not in ("size", "multiplier", "width")}
    return [channels_of(*(sizes[name] for name in ("size", "multiplier", "width"))), others]


def _words(sizes: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in sizes.items())

"""Benchmark definitions: a method's networks, variants of their configs, and kinds of work in growing amounts.

Each method defines them in its module, as a :class:`Method`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config, ConfigDict

from deep3dmap.benchmarks.work import Field, Job, Optimizers
from deep3dmap.engine.config import load_config, merge_options
from deep3dmap.engine.config_check import check_config
from deep3dmap.errors import ConfigError
from deep3dmap.frameworks.base import Framework
from deep3dmap.registry import nearest


@dataclass(frozen=True)
class Network:
    """A network to measure.

    Attributes:
        config: path of its config.
        rate: learning rate of the measured steps: about that in the middle of the config's schedule.
    """

    config: str
    rate: float = 1e-4


@dataclass(frozen=True)
class Work:
    """A kind of work.

    Attributes:
        unit: unit of its amount.
        amounts: measured amounts.
        quick: amounts in quick mode.
        ablation: amount at which variants are compared; None if variants don't affect it.
        job: function that sets up a :class:`Job`, from the framework, the amount, and by name the learning ``rate``, ``amp``
            and the state of the ``optimizer``; None for work without a framework.
    """

    unit: str
    amounts: tuple[int, ...]
    quick: tuple[int, ...]
    ablation: int | None = None
    job: Callable[..., Job] | None = None


@dataclass(frozen=True)
class Method:
    """The benchmark of a method.

    Attributes:
        networks: networks by name.
        variants: rows of the ablation by name: values by dotted key of the config (``model.*`` and ``amp``).
        work: kinds of work by name.
        parts: the framework's modules whose weights are prepared, shared between configs with equal parts.
        prepare: brings a framework to a state as in the middle of a training: takes the steps of fitting, the steps of
            training, and the latter's learning rate; returns the training's optimisers.
        watch: replaces the framework's field by the result of the given function of it.
        info: argument of the framework's ``setup``; None to skip it.
        preparation: steps of fitting and of training before the measurements.
        quick_preparation: the same in quick mode.
    """

    networks: Mapping[str, Network]
    variants: Mapping[str, Mapping]
    work: Mapping[str, Work]
    parts: tuple[str, ...]
    prepare: Callable[[Framework, int, int, float], Optimizers]
    watch: Callable[[Framework, Callable[[Field], Field]], Any]
    info: Mapping | None = None
    preparation: tuple[int, int] = (300, 100)
    quick_preparation: tuple[int, int] = (10, 2)


#: The machine's rate of matrix products by type.
PRODUCTS = {f"matrix_product_{dtype}": Work("rows", (2048, ), (256, )) for dtype in ("float32", "bfloat16")}

#: Name of the unchanged config.
AS_CONFIGURED = "as configured"


def choose(names: Iterable[str] | str | None, known: Mapping, what: str) -> list[str]:
    """The chosen names: all known ones, one, or several."""
    chosen = list(known) if names is None else [names] if isinstance(names, str) else list(names)
    for name in chosen:
        if name not in known:
            raise ConfigError(f"{what} '{name}': {nearest(name, known)}")
    return chosen


def read_networks(method: Method, names: Iterable[str] | str | None = None) -> dict[str, dict]:
    """``model``, ``amp`` (``auto`` counts as off) and learning ``rate`` of a method's networks, from their configs."""
    networks = {}
    for name in choose(names, method.networks, "network"):
        network = method.networks[name]
        cfg = load_config(network.config)
        networks[name] = dict(model=cfg.model.to_dict(), amp=cfg.get("amp") is True, rate=network.rate)
    return networks


def vary(network: Mapping, changes: Mapping, name: str = "variant") -> dict:
    """A network (``model``, ``amp``, ``rate``) with some of its config's keys changed."""
    cfg = Config(ConfigDict(model=network["model"], amp=network.get("amp", False)))
    merge_options(cfg, changes, f"variant '{name}':")
    check_config(cfg.to_dict(), f"variant '{name}'")
    return dict(model=cfg.model.to_dict(), amp=cfg.amp, rate=network.get("rate", Network.rate))

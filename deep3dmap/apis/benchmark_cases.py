"""What the benchmark measures: networks, variants of their configs, and kinds of work in growing amounts.

A variant is a row of the ablation table: a name and what it changes in the config. To add one, add a line.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mmengine.config import Config, ConfigDict

from deep3dmap.engine.config import check_config, load_config
from deep3dmap.errors import ConfigError
from deep3dmap.registry import nearest


@dataclass(frozen=True)
class Network:
    """A network to measure.

    Attributes:
        config: path of the config that holds it.
        rate: learning rate of the measured steps: about that of the middle of the config's schedule.
    """

    config: str
    rate: float = 1e-4


@dataclass(frozen=True)
class Work:
    """A kind of work.

    Attributes:
        unit: what its amount counts.
        amounts: how much of it is measured.
        quick: the same in quick mode.
        ablation: amount at which all variants are compared; None where a variant changes nothing.
    """

    unit: str
    amounts: tuple[int, ...]
    quick: tuple[int, ...]
    ablation: int | None = None


RAYS = (512, 1024, 2048, 4096, 8192)

#: Networks by method and name.
NETWORKS = {"idr": {"published": Network("configs/idr/dtu_fixed_cameras.py"),
                    "small": Network("configs/idr/generated_head.py", rate=5e-4)}}  # yapf: disable

#: Kinds of work by name; how each is done stands in ``benchmark_work.py``.
WORK = {"matrix_product_float32": Work("rows", (2048, ), (256, )),
        "matrix_product_bfloat16": Work("rows", (2048, ), (256, )),
        "evaluate": Work("points", (100_000, ), (1000, )),
        "train_step": Work("rays", RAYS, (128, 256), 2048),
        "trace": Work("rays", RAYS, (128, 256), 2048),
        "forward_backward": Work("rays", RAYS, (128, 256)),
        "mesh": Work("resolution", (64, 128, 256, 512), (16, 32)),
        "dense_mesh": Work("resolution", (64, 128, 256, 512), (8, 16)),
        "colored_mesh": Work("resolution", (256, ), (16, )),
        "render_view": Work("pixels", (64**2, 128**2, 256**2), (16**2, 32**2))}  # yapf: disable

#: Name of what a config holds as it is.
AS_CONFIGURED = "as configured"

#: The paper's tracer in single precision: every faster way switched off.
PLAIN = {"model.renderer.samples": 100, "model.renderer.slope_bound": None, "model.renderer.cache": None, "amp": False}
SLOPE_BOUND = {"model.renderer.slope_bound": 2.0}
CACHED_GRID = {"model.renderer.cache": {}}  # with its defaults
MIXED_PRECISION = {"amp": True}
CHUNKED_STEP = {"model.step_chunk": 512}

#: Variants by method and name: dotted keys of the config and their values. ``model.*`` and ``amp`` can be changed.
VARIANTS: dict[str, dict[str, dict]] = {"idr": {"plain": PLAIN,
                                                "slope bound": PLAIN | SLOPE_BOUND,
                                                "cached grid": PLAIN | CACHED_GRID,
                                                "mixed precision": PLAIN | MIXED_PRECISION,
                                                "chunked step": PLAIN | CHUNKED_STEP,
                                                "all": PLAIN | CACHED_GRID | MIXED_PRECISION}}  # yapf: disable


def choose(names: Iterable[str] | str | None, known: Mapping, what: str) -> list[str]:
    """The chosen names: all that are known, one, or several.

    Raises:
        ConfigError: for a name that isn't known.
    """
    chosen = list(known) if names is None else [names] if isinstance(names, str) else list(names)
    for name in chosen:
        if name not in known:
            raise ConfigError(f"{what} '{name}': {nearest(name, known)}")
    return chosen


def read_networks(method: str, names: Iterable[str] | str | None = None) -> dict[str, dict]:
    """``model``, ``amp`` and learning ``rate`` of a method's networks, from their configs.

    Raises:
        ConfigError: for an unknown network, or a broken config.
    """
    networks = {}
    for name in choose(names, NETWORKS[method], "network"):
        network = NETWORKS[method][name]
        cfg = load_config(network.config)
        networks[name] = dict(model=cfg.model.to_dict(), amp=bool(cfg.get("amp", False)), rate=network.rate)
    return networks


def vary(network: Mapping, changes: Mapping, name: str = "variant") -> dict:
    """A network (``model``, ``amp``, ``rate``) with some of its config's keys changed.

    Raises:
        ConfigError: if a key is unknown, or doesn't fit the config.
    """
    cfg = Config(ConfigDict(model=network["model"], amp=network.get("amp", False)))
    try:
        cfg.merge_from_dict(dict(changes))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ConfigError(f"variant '{name}': {dict(changes)} doesn't fit the config: {error}") from None
    check_config(cfg.to_dict(), f"variant '{name}'")
    return dict(model=cfg.model.to_dict(), amp=cfg.amp, rate=network.get("rate", Network.rate))

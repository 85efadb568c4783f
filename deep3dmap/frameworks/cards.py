"""Method cards: metadata of a method for commands and documentation.

``--method``, ``convert-checkpoint``, ``benchmark``, ``head-table``, ``list methods`` and the README's table read them, so a
new method, also one from a plug-in, is available everywhere once its card is registered.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from deep3dmap.errors import ConfigError
from deep3dmap.registry import FRAMEWORKS, load_plugins, nearest
from deep3dmap.structures import Capture

#: Takes a published file, a function that reads weight files, and the capture it was trained on, if known; returns the
#: ``model`` config, the ``info`` for the framework's ``setup``, and its state dictionary.
Converter = Callable[[Path, Callable[[Path], object], Capture | None], tuple[dict, dict, dict[str, Tensor]]]


@dataclass(frozen=True)
class Card:
    """Metadata of a method.

    Attributes:
        name: name in commands.
        framework: registered name of its framework.
        title: name in the documentation.
        takes: its inputs.
        gives: its outputs.
        paper: authors, venue, year.
        page: path of its page in ``docs/``.
        subject: kind of object that it is limited to (``heads``), if any.
        your_own: config for a user's own data.
        source: dotted keys of that config to replace by the user's data, separated by spaces.
        single_pictures: whether it takes pictures without cameras.
        learns_from_data: whether it is trained once on a data set and then infers; otherwise it is trained per scene.
        grows: whether its mesh grows while it goes through a recording, and can be shown meanwhile.
        weights: shipped checkpoint, for a method that learns from data.
        heads: its config for ``head-table``.
        convert: converter of published checkpoints.
        benchmark: module with ``METHOD``, a :class:`deep3dmap.benchmarks.cases.Method`.
    """

    name: str
    framework: str
    title: str
    takes: str
    gives: str
    paper: str = ""
    page: str = ""
    subject: str = ""
    your_own: str | None = None
    source: str = "scene.capture"
    single_pictures: bool = False
    learns_from_data: bool = False
    grows: bool = False
    weights: str | None = None
    heads: str | None = None
    convert: Converter | None = field(default=None, repr=False)
    benchmark: str | None = None


_CARDS: dict[str, Card] = {}


def register_card(card: Card) -> Card:
    """Register a method's card.

    Raises:
        ConfigError: if another method has that name.
    """
    if _CARDS.setdefault(card.name, card).framework != card.framework:
        raise ConfigError(f"two methods are called '{card.name}': {_CARDS[card.name].framework} and {card.framework}")
    return card


def cards() -> Mapping[str, Card]:
    """All cards by name, those of installed plug-ins included."""
    load_plugins()
    FRAMEWORKS.import_from_location()
    return _CARDS


def find_card(name: str, having: str | None = None) -> Card:
    """The card of a method.

    Args:
        name: of the method.
        having: attribute that the card must have.

    Raises:
        ConfigError: if there is no such method; names the nearest.
    """
    known = {each.name: each for each in cards().values() if having is None or getattr(each, having)}
    if name not in known:
        raise ConfigError(f"method '{name}': {nearest(name, known)}")
    return known[name]


def card_of(framework: str) -> Card | None:
    """The card of a framework's registered name, or None."""
    return next((each for each in cards().values() if each.framework == framework), None)

"""Method cards: what commands and pages know of a method besides its framework.

``--method``, ``convert-checkpoint``, ``benchmark``, ``head-table``, ``list methods`` and the README's table read them, so that
a new method, also one from outside the package, is known everywhere once it has registered its card.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from deep3dmap.errors import ConfigError
from deep3dmap.registry import FRAMEWORKS, load_plugins, nearest
from deep3dmap.structures import Capture

#: From a published file, a function that reads files of weights, and the capture that it was trained on, if that is known: the
#: ``model`` config, what the framework is told about its data (``setup``), and its state.
Converter = Callable[[Path, Callable[[Path], object], Capture | None], tuple[dict, dict, dict[str, Tensor]]]


@dataclass(frozen=True)
class Card:
    """A method.

    Attributes:
        name: as commands know it.
        framework: registered name of its framework.
        title: as pages call it.
        takes: what it reconstructs from.
        gives: what it makes of that.
        paper: authors, venue, year.
        page: in ``docs/``.
        subject: what it is for, where that is not any object: ``heads``.
        your_own: config for a user's own data.
        source: dotted key of that config which the user's data replace.
        learns_from_data: whether it is trained once on a data set and then infers; otherwise it is trained anew on what it
            reconstructs.
        weights: checkpoint that ships with it, for a method that learns from data.
        heads: config with which comparisons of heads run it.
        convert: reads a published checkpoint.
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
    learns_from_data: bool = False
    weights: str | None = None
    heads: str | None = None
    convert: Converter | None = field(default=None, repr=False)
    benchmark: str | None = None


_CARDS: dict[str, Card] = {}


def register_card(card: Card) -> Card:
    """Make a method known by its card.

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

"""The parts of a report as HTML. All external text (names, notes, settings, paths) is escaped here."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import numpy as np
import trimesh
from jaxtyping import Float, UInt8

from deep3dmap.errors import DataError
from deep3dmap.visualization.curves import error_histogram, loss_curves, read_scalars
from deep3dmap.visualization.error_maps import error_mesh, softly
from deep3dmap.visualization.glossary import Term, describe
from deep3dmap.visualization.pictures import thumbnail
from deep3dmap.visualization.video import turntable as turntable_frames
from deep3dmap.visualization.viewer import VERTEX_BUDGET, error_limit, pack_mesh, viewer_html

Figures = Mapping[str, Mapping[str, float | int | None]]
"""Group to metric to value or None."""
PIXEL_BUDGET = 25e6
"""Total pixels of all images in a page: 20 views with four images of 640x480 each, about 7 MB."""
LARGEST_SIDE = 800
TURNTABLE_LIMIT = 6_000_000
"""Maximum size of an embedded video in bytes; a larger one is omitted, with a note."""
VIDEO_BUDGET = 12_000_000
"""Total size of the embedded videos of items in bytes."""
COLUMNS, VIDEO_COLUMNS = 6, 2
"""Maximum numbers of an item's images and videos side by side."""
ITEMS = 24
"""Maximum number of items whose images are shown."""
COMMANDS = {"command": "Reproduce", "continue": "Continue"}
"""Keys of the summary that hold a command, and what it does."""


@dataclass(frozen=True)
class ViewComparison:
    """A photograph and its rendering.

    Attributes:
        name: of the photograph.
        split: whether it was used in training.
        photo: 8-bit RGB.
        rendering: from the same camera.
        difference: of the two, as an image (``pictures.difference_map``), or None.
        normals: of the surface, as an image (``pictures.normal_map``), or None.
        metrics: of this view.
    """

    name: str
    split: Literal["train", "held out"]
    photo: UInt8[np.ndarray, "h w 3"]
    rendering: UInt8[np.ndarray, "hr wr 3"]
    difference: UInt8[np.ndarray, "hd wd 3"] | None = None
    normals: UInt8[np.ndarray, "hn wn 3"] | None = None
    metrics: Mapping[str, float | int | None] = field(default_factory=dict)

    @property
    def pictures(self) -> dict[str, np.ndarray]:
        """Available images by caption."""
        named = {"Photograph": self.photo, "Rendering": self.rendering, "Difference": self.difference, "Normals": self.normals}
        return {n: p for n, p in named.items() if p is not None}


def section(title: str, lead: str, body: str) -> str:
    """A section with its headline and one sentence of introduction (text); empty for an empty body."""
    if not body:
        return ""
    lead = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    return f"<section><h2>{escape(title)}</h2>{lead}{body}</section>"


# ---- Figures


def figures(metrics: Figures) -> str:
    """The main metrics as tiles, and all of them as tables with explanations."""
    metrics = {group: values for group, values in metrics.items() if values}
    tables = "".join(f'<div class="card scroll">{_table({g: metrics[g] for g in groups})}</div>'
                     for groups in _tables_of(metrics))
    return section("Results", "", _tiles(metrics) + tables)


def _tiles(metrics: Figures, count: int = 4) -> str:
    """The ``count`` main metrics; for one in several groups, the first group that isn't training."""
    found: dict[str, tuple[Term, float | int, str]] = {}
    for group, values in sorted(metrics.items(), key=lambda g: g[0].lower().startswith("train")):
        for name, value in values.items():
            term = describe(name)
            if term.headline and value is not None:
                found.setdefault(describe(name.partition('@')[0]).label, (term, value, group))
    chosen = sorted(found.values(), key=lambda f: -f[0].headline)[:count]
    tiles = "".join(
        f'<div class="tile" title="{escape(term.means)}"><div class="name">{escape(term.label)}{_arrow(term)}</div>'
        f'<div class="value">{term.show(value)}<small>{term.shown_unit}</small></div>'
        f'<div class="group">{escape(group)}</div></div>' for term, value, group in chosen)
    return f'<div class="tiles">{tiles}</div>' if tiles else ""


def _tables_of(metrics: Figures) -> list[list[str]]:
    """Groups that share a metric share a table."""
    tables: list[list[str]] = []
    for group, values in metrics.items():
        table = next((t for t in tables if any(values.keys() & metrics[g].keys() for g in t)), None)
        if table is None:
            tables.append([group])
        else:
            table.append(group)
    return tables


def _table(metrics: Figures) -> str:
    names = list(dict.fromkeys(n for values in metrics.values() for n in values))
    head = "".join(f'<th class="number" scope="col">{escape(g)}</th>' for g in metrics)
    rows = "".join(_row(describe(name), [values.get(name) for values in metrics.values()]) for name in names)
    return (f'<table><thead><tr><th scope="col">Figure</th>{head}<th scope="col">What it means</th></tr></thead>'
            f"<tbody>{rows}</tbody></table>")


def _row(term: Term, values: Sequence[float | int | None]) -> str:
    shown = [f"{term.show(v)} {term.shown_unit if v is not None else ''}".strip() for v in values]
    cells = "".join(f'<td class="number">{s}</td>' for s in shown) + f'<td class="means">{escape(term.means)}</td>'
    return f'<tr><th scope="row">{escape(term.label)}{_arrow(term)}</th>{cells}</tr>'


def _arrow(term: Term) -> str:
    arrows = {"higher": ("\N{UPWARDS ARROW}", "higher is better"), "lower": ("\N{DOWNWARDS ARROW}", "lower is better")}
    if term.better not in arrows:
        return ""
    sign, words = arrows[term.better]
    return f' <span class="better" title="{words}" aria-label="{words}">{sign}</span>'


# ---- The mesh


def mesh(mesh: trimesh.Trimesh | None, error: Float[np.ndarray, "v"] | None, up: Sequence[float] | None,
         one_sided: bool, notes: list[str]) -> str:  # yapf: disable
    """The viewer with a caption; a note if there is nothing to show."""
    if mesh is None:
        return ""
    try:
        packed = pack_mesh(mesh, error, up=up, one_sided=one_sided, budget=VERTEX_BUDGET)
    except DataError as problem:
        notes.append(f"The mesh is not shown: {problem}")
        return ""
    count = f"{packed.triangles:,} triangles"
    if packed.simplified:
        count += f" (simplified for this page; the mesh has {packed.triangles_of_mesh:,})"
    hands = "Drag to rotate, wheel or pinch to zoom, right or Shift drag to move, double-click to reset."
    return f'{viewer_html(packed)}<p class="caption">{hands} {count}.</p>'


def video(title: str, path: Path | None, notes: list[str]) -> str:
    """An embedded video; a note if it is too large."""
    if path is None:
        return ""
    data = path.read_bytes()
    if len(data) > TURNTABLE_LIMIT:
        notes.append(f"The video {path.name} is not in the page: it has {len(data) / 1e6:.1f} MB.")
        return ""
    return f"<h3>{escape(title)}</h3>{_player(data, 'turntable')}"


def _player(data: bytes, kind: str = "") -> str:
    """A video element that holds its video."""
    return (f'<video class="{kind}" controls loop muted playsinline preload="metadata" '
            f'src="data:video/mp4;base64,{base64.b64encode(data).decode()}"></video>')


def downloads(files: Mapping[str, str]) -> str:
    """Links to files next to the report."""
    links = "".join(f'<a href="{escape(quote(path))}" download>{escape(label)}</a>' for label, path in files.items())
    return f'<div class="downloads">{links}</div>' if links else ""


def error_pictures(mesh: trimesh.Trimesh, error: np.ndarray, maximum: float, up: Sequence[float] | None) -> str:
    """The mesh from four sides coloured by error (also for print, and without the 3D view)."""
    colored = error_mesh(mesh, error, maximum)
    sides = turntable_frames(colored, frames=4, size=(400, 400), up=up, shading=softly, supersample=1)
    pictures = "".join(f'<img alt="Error from side {n}" src="{thumbnail(p, 400)}">' for n, p in enumerate(sides, 1))
    return f'<div class="error-map">{pictures}</div>'


def error(mesh: trimesh.Trimesh | None, error: Float[np.ndarray, "v"] | None, up: Sequence[float] | None) -> str:
    """The area-weighted distribution of the distance to the true surface."""
    if error is None or mesh is None:
        return ""
    area, maximum = np.bincount(mesh.faces.ravel(), np.repeat(mesh.area_faces / 3, 3), len(mesh.vertices)), error_limit(error)
    order = np.argsort(error)
    share = np.cumsum(area[order]) / max(area.sum(), 1e-300)
    at = {p: error[order][min(np.searchsorted(share, p), len(order) - 1)] for p in (0.5, 0.95)}
    mean = float((error * area).sum() / max(area.sum(), 1e-300))
    text = f"Mean {mean:.3g}, median {at[0.5]:.3g}, 95 % of the area below {at[0.95]:.3g}."
    body = (f'<div class="card">{error_pictures(mesh, error, maximum, up)}{error_histogram(error, area, maximum)}'
            f'<div class="side-by-side"><p class="caption">{escape(text)}</p>'
            '<button type="button" data-show-mode="error">Show on the mesh</button></div></div>')
    return section("Distance to the true surface", "Of each point of the reconstruction.", body)


# ---- Pictures


def views(views: Sequence[ViewComparison]) -> str:
    """Photographs and renderings: held-out views large, training views in a denser grid."""
    side = _side([p for v in views for p in v.pictures.values()])
    groups = {split: "".join(_view(v, side) for v in views if v.split == split) for split in ("held out", "train")}
    body = f'<div class="views">{groups["held out"]}</div>' if groups["held out"] else ""
    if groups["train"]:
        body += f'<h3>Seen in training</h3><div class="views compact">{groups["train"]}</div>'
    lead = "Click an image to enlarge it; Compare slides between the two."
    if groups["held out"]:
        lead = "Held-out views were not used in training: they show how well the reconstruction generalises. " + lead
    return section("Photographs and renderings", lead, body)


def pictures(items: Mapping[str, Mapping[str, np.ndarray]], figures: Mapping[str, Mapping[str, float]],
             files: Mapping[str, Sequence[str]], folder: Path, notes: list[str]) -> str:  # yapf: disable
    """Images, videos, figures and files of items that are no views of a scene, of the first :data:`ITEMS` of them; the files'
    paths are relative to a folder. A note if there are too many items or videos."""
    shown = {name: images for name, images in items.items() if images}
    if len(shown) > ITEMS:
        notes.append(f"{ITEMS} of {len(shown)} items are shown; the folder items/ holds all")
    shown = dict(list(shown.items())[:ITEMS])
    side = _side([p for images in shown.values() for p in images.values()])
    videos = _videos({name: [path for path in files.get(name, ()) if path.endswith(".mp4")] for name in shown}, folder, notes)
    cards = [f'<article class="card view"><div class="view-head"><strong>{escape(name)}</strong>'
             f'<span class="figures">{_figures(figures.get(name, {}))}</span></div>' +
             _row_of({key: f'<img alt="{escape(key)} of {escape(name)}" src="{thumbnail(p, side)}">'
                      for key, p in images.items()}) + _row_of(videos[name], VIDEO_COLUMNS) +
             f"{downloads({Path(path).name: path for path in files.get(name, ())})}</article>"
             for name, images in shown.items()]  # yapf: disable
    return section("Results", "", f'<div class="views compact">{"".join(cards)}</div>') if cards else ""


def _row_of(shown: Mapping[str, str], columns: int = COLUMNS) -> str:
    """HTML of images or videos by caption, side by side, in several rows if they are many."""
    figures = "".join(f"<figure>{html}<figcaption>{escape(key)}</figcaption></figure>" for key, html in shown.items())
    return f'<div class="pictures" style="--pictures:{min(len(shown), columns)}">{figures}</div>' if shown else ""


def _videos(paths: Mapping[str, Sequence[str]], folder: Path, notes: list[str]) -> dict[str, dict[str, str]]:
    """Embedded videos of items by caption, as many as :data:`VIDEO_BUDGET` allows."""
    found, left = {}, VIDEO_BUDGET
    for name, own in paths.items():
        data = {Path(path).stem: (folder / path).read_bytes() for path in own if (folder / path).is_file()}
        left -= sum(map(len, data.values()))
        found[name] = {key: _player(each) for key, each in data.items()} if left >= 0 else {}
    if left < 0:
        notes.append(f"Videos of some items are not in the page: all have more than {VIDEO_BUDGET / 1e6:.0f} MB; the folder "
                     "items/ holds them")
    return found


def _side(pictures: Sequence[np.ndarray]) -> int:
    """Longest side of images such that all stay within the page's pixel budget."""
    side = LARGEST_SIDE
    while side > 160 and sum(_pixels(p, side) for p in pictures) > PIXEL_BUDGET:
        side = int(side * 0.95)
    return side


def _pixels(picture: np.ndarray, side: int) -> float:
    height, width = picture.shape[:2]
    return height * width * min(1.0, side / max(height, width))**2


def _view(view: ViewComparison, side: int) -> str:
    kind = view.split.replace(" ", "-")
    pictures = "".join(f'<button type="button" data-open="{n}"><img data-name="{n}" alt="{n} of {escape(view.name)}" '
                       f'src="{thumbnail(p, side)}">{n}</button>' for n, p in view.pictures.items())
    return (f'<article class="card view {kind}" data-title="{escape(view.name)}"><div class="view-head">'
            f'<strong>{escape(view.name)}</strong><span class="badge {kind}">{view.split}</span>'
            f'<span class="figures">{_figures(view.metrics)}</span>'
            '<button type="button" data-open="Compare">Compare</button></div>'
            f'<div class="pictures" style="--pictures:{len(view.pictures)}">{pictures}</div></article>')


def _figures(values: Mapping[str, float | int | None]) -> str:
    """Figures in one line."""
    terms = [(describe(name), value) for name, value in values.items()]
    return " \N{MIDDLE DOT} ".join(f"{escape(t.label)} {t.show(v)} {t.shown_unit}".strip() for t, v in terms)


# ---- Curves, settings, commands, notes


def curves(path: Path | None, notes: list[str]) -> str:
    """The run's curves; a note if they can't be read."""
    if path is None:
        return ""
    try:
        scalars = read_scalars(path)
    except DataError as problem:
        notes.append(f"The curves are omitted: {problem}")
        return ""
    drawn = loss_curves(scalars)
    lead = "Against training steps; the number on the right is the (smoothed) last value, the pale line the raw values."
    return section("Training", lead, f'<div class="card"><div class="curves">{drawn}</div></div>' if drawn else "")


def settings(summary: Mapping[str, str], config: str) -> str:
    """The settings as a definition list, and the full config collapsed."""
    rows = "".join(f"<dt>{escape(_words(k))}</dt><dd>{escape(str(v))}</dd>" for k, v in summary.items() if k not in COMMANDS)
    body = f'<dl class="settings">{rows}</dl>' if rows else ""
    if config:
        body += f"<details><summary>Full config</summary><pre>{escape(config)}</pre></details>"
    return section("Settings", "", f'<div class="card">{body}</div>' if body else "")


def _words(key: str) -> str:
    text = key.replace("_", " ")
    return text[:1].upper() + text[1:]


def commands(summary: Mapping[str, str]) -> str:
    """Commands to reproduce and continue this run."""
    given = [(words, summary[key]) for key, words in COMMANDS.items() if summary.get(key)]
    blocks = "".join(f'<h3>{words}</h3><div class="command"><code>{escape(command)}</code>'
                     '<button type="button" class="copy">Copy</button></div>' for words, command in given)
    return section("Reproduce and continue", "", f'<div class="card">{blocks}</div>' if blocks else "")


def notes(texts: Sequence[str]) -> str:
    """A list of paragraphs."""
    return '<div class="card"><ul class="plain">' + "".join(f"<li>{escape(t)}</li>"
                                                            for t in texts) + "</ul></div>" if texts else ""

"""One self-contained HTML page of a reconstruction: metrics, interactive mesh, renderings and photographs, curves.

The page loads nothing external (its content security policy forbids it), so it can be mailed, archived or printed.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float

from deep3dmap.errors import DataError
from deep3dmap.io.files import replacing
from deep3dmap.version import __version__
from deep3dmap.visualization import report_parts as parts
from deep3dmap.visualization.report_parts import Figures, ViewComparison
from deep3dmap.visualization.viewer import asset, html_page

__all__ = ["ViewComparison", "write_report"]


def write_report(path: str | Path,
                 *,
                 title: str,
                 summary: Mapping[str, str],
                 metrics: Figures,
                 views: Sequence[ViewComparison] = (),
                 pictures: Mapping[str, Mapping[str, np.ndarray]] | None = None,
                 figures: Mapping[str, Mapping[str, float]] | None = None,
                 files: Mapping[str, Sequence[str]] | None = None,
                 mesh: trimesh.Trimesh | None = None,
                 mesh_name: str = "",
                 mesh_error: Float[np.ndarray, "v"] | None = None,
                 up: Sequence[float] | None = None,
                 one_sided: bool = False,
                 curves_path: Path | None = None,
                 turntable: Path | None = None,
                 growth: Path | None = None,
                 downloads: Mapping[str, str] | None = None,
                 notes: Sequence[str] = (),
                 settings: str = "") -> Path:
    """Write the page atomically; returns its path.

    A part that can't be shown (no triangles, a damaged file of curves, a large video) is omitted with an explanatory note: the
    report comes at the end of a long run and must not fail.

    Args:
        path: ends in ``.html``.
        title: headline.
        summary: settings by name, shown in order: method, data, views, time, device, seed, version ... ``command`` (to
            reproduce it) and ``continue`` (to continue) become commands to copy.
        metrics: group ("held out", "train", "surface", ...) to metric to value. Groups with common metrics share a table.
        views: photographs and renderings; held-out ones are shown first.
        pictures: images by name of items that are not views of a scene, by the items' names.
        figures: numbers about these items, such as angles.
        files: their files; paths relative to the report. Videos (``.mp4``) are embedded, as many as fit.
        mesh: shown interactively; simplified for the page above ``viewer.VERTEX_BUDGET`` vertices.
        mesh_name: whose it is, where there are several.
        mesh_error: distance of each vertex to the true surface, if known.
        up: the mesh's up direction; without it, rotation is unconstrained.
        one_sided: don't draw the mesh's triangles from behind (rooms).
        curves_path: the run's ``scalars.jsonl``.
        turntable: a video (mp4), embedded in the page.
        growth: likewise, of the surface as it was recorded.
        downloads: label to path of files, relative to the report.
        notes: to the reader, one paragraph each.
        settings: the resolved config, collapsed.

    Raises:
        DataError: if the path does not end in ``.html``.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise DataError(f"{path}: a report's name must end in .html.")
    notes = list(notes)
    links = parts.downloads(downloads or {})
    viewer = parts.mesh(mesh, mesh_error, up, one_sided, notes)
    videos = parts.video("Turntable", turntable, notes) + parts.video("As it was recorded", growth, notes)
    sections = [
        parts.figures(metrics),
        parts.section("The reconstruction", f"Of {mesh_name}." if mesh_name else "", viewer + links + videos),
        parts.views(sorted(views, key=lambda v: v.split == "train")),
        parts.pictures(pictures or {}, figures or {}, files or {}, path.parent, notes),
        parts.error(mesh, mesh_error, up),
        parts.curves(curves_path, notes),
        parts.settings(summary, settings),
        parts.commands(summary)
    ]
    sections.append(parts.section("Notes", "", parts.notes(notes)))
    page = _page(title, " \N{MIDDLE DOT} ".join(summary[k] for k in ("method", "data", "views", "time") if k in summary),
                 sections)
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _page(title: str, subtitle: str, sections: Sequence[str]) -> str:
    """The whole document."""
    script, body = asset("viewer.js") + asset("report.js"), "\n".join(s for s in sections if s)
    return html_page("report.html", script, "img-src data:; media-src data:", title=escape(title), subtitle=escape(subtitle),
                     style=asset("report.css"), sections=body, footer=f"Made with deep3dmap {__version__}.")  # yapf: disable

"""One self-contained HTML page of a reconstruction: metrics, interactive mesh, renderings and photographs, curves.

The page loads nothing external (its content security policy forbids it), so it can be mailed, archived or printed.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

import numpy as np
import trimesh
from jaxtyping import Float

from deep3dmap.errors import DataError
from deep3dmap.io.files import replacing
from deep3dmap.version import __version__
from deep3dmap.visualization import report_parts as parts
from deep3dmap.visualization.report_parts import Figures, ViewComparison
from deep3dmap.visualization.viewer import VERTEX_BUDGET, asset

__all__ = ["ViewComparison", "write_report"]


def write_report(path: str | Path,
                 *,
                 title: str,
                 summary: Mapping[str, str],
                 metrics: Figures,
                 views: Sequence[ViewComparison] = (),
                 pictures: Mapping[str, Mapping[str, np.ndarray]] | None = None,
                 mesh: trimesh.Trimesh | None = None,
                 mesh_error: Float[np.ndarray, "v"] | None = None,
                 unit: str = "",
                 error_max: float | None = None,
                 up: Sequence[float] | None = None,
                 front: Sequence[float] | None = None,
                 curves_path: Path | None = None,
                 turntable: Path | None = None,
                 downloads: Mapping[str, str] | None = None,
                 notes: Sequence[str] = (),
                 settings: str = "",
                 vertex_budget: int = VERTEX_BUDGET) -> Path:
    """Write the page atomically; returns its path.

    A part that can't be shown (no triangles, a missing or damaged file of curves or video) is omitted with an explanatory
    note: the report comes at the end of a long run and must not fail.

    Args:
        path: ends in ``.html``.
        title: headline.
        summary: settings by name, shown in order: method, data, views, time, device, seed, version ... ``command`` (to
            reproduce it) and ``continue`` (to continue) become commands to copy.
        metrics: group ("held out", "train", "surface", ...) to metric to value. Groups with common metrics share a table.
        views: photographs and renderings; held-out ones are shown first.
        pictures: images by name of items that are not views of a scene, by the items' names.
        mesh: shown interactively; simplified for the page above ``vertex_budget`` vertices.
        mesh_error: distance of each vertex to the true surface, if known; NaN where unknown.
        unit: of lengths, shown after them.
        error_max: error of the last colour; by default the 95th percentile.
        up: the mesh's up direction; without it, rotation is unconstrained.
        front: initial viewing direction, from the mesh.
        curves_path: the run's ``scalars.jsonl``.
        turntable: a video (mp4) or animated image (gif, webp), embedded in the page.
        downloads: label to path of files, relative to the report.
        notes: to the reader, one paragraph each.
        settings: the resolved config, collapsed.
        vertex_budget: see ``mesh``.

    Raises:
        DataError: if the path does not end in ``.html``, or a download is not a relative path.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise DataError(f"{path}: a report's name must end in .html.")
    notes = list(notes)
    links = parts.downloads(downloads or {})
    error, error_max = parts.checked_error(mesh, mesh_error, error_max, notes)
    viewer = parts.mesh(mesh, error, error_max, unit, up, front, vertex_budget, notes)
    sections = [
        parts.figures(metrics, unit),
        parts.section("The reconstruction", "", viewer + links + parts.turntable(turntable, notes)),
        parts.views(sorted(views, key=lambda v: v.split == "train")),
        parts.pictures(pictures or {}, notes),
        parts.error(mesh, error, error_max, unit, up),
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
    """The whole document. Scripts run only if their hash is in the policy, so injected markup can't run."""
    script = asset("viewer.js") + asset("report.js")
    digest = base64.b64encode(hashlib.sha256(f"\n{script}\n".encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return Template(asset("report.html")).substitute(policy=policy,
                                                     title=escape(title),
                                                     subtitle=escape(subtitle),
                                                     style=asset("report.css"),
                                                     sections="\n".join(s for s in sections if s),
                                                     footer=f"Made with deep3dmap {escape(__version__)}.",
                                                     script=script)

"""The scenes of H3DS and their standard sets of views, as listed by the data set's own package.

The lists are not redistributed here: they are read from ``config_v1.toml`` (23 subjects) or ``config_v2.toml`` (59) of the
installed package ``h3ds`` (which is not imported), or from a file of that form.
"""

import importlib.util
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from deep3dmap.errors import ConfigError, DataError, MissingDependencyError
from deep3dmap.io.paths import resolve_data
from deep3dmap.io.reading import is_file, reading
from deep3dmap.registry import nearest

CONFIG = "config_v2"


@dataclass(frozen=True)
class H3DSScene:
    """A scene's entry in the list.

    Attributes:
        views: number of photographs.
        tags: papers that use it, such as ``h3d-net``.
        views_configs: views (indices of photographs) by the set's name, such as ``'3'``.
    """

    views: int
    tags: frozenset[str]
    views_configs: Mapping[str, tuple[int, ...]]


def load_h3ds_config(config: str | Path = CONFIG) -> dict[str, H3DSScene]:
    """The scenes by their names.

    Args:
        config: a file (TOML), or the name of a list of the package ``h3ds``.

    Raises:
        MissingDependencyError: if the package is needed and not installed.
        ConfigError: if it has no list of that name.
        DataError: if the file is missing or damaged.
    """
    path = Path(config) if str(config).endswith(".toml") else _packaged(str(config))
    with reading(path, "TOML"):
        scenes = tomllib.loads(path.read_text(encoding="utf-8"))["scenes"]
        return {name: H3DSScene(int(entry["views"]), frozenset(map(str, entry.get("tags", ()))),
                                {k: tuple(map(int, views)) for k, views in entry["default_views_configs"].items()})
                for name, entry in scenes.items()}  # yapf: disable


def _packaged(name: str) -> Path:
    spec = importlib.util.find_spec("h3ds")
    if spec is None or spec.origin is None:
        raise MissingDependencyError(f"the views of H3DS's '{name}' are listed in its own package: pip install h3ds (or "
                                     "deep3dmap[h3ds]); or pass a copy of its list, config='PATH.toml'")
    folder = Path(spec.origin).parent
    if not is_file(folder / f"{name}.toml"):
        raise ConfigError(f"H3DS has no list '{name}'; {nearest(name, [p.stem for p in folder.glob('config*.toml')])}")
    return folder / f"{name}.toml"


def h3ds_scenes(root: str | Path, tags: Collection[str] = (), config: str | Path = CONFIG) -> list[Path]:
    """Folders of the scenes that have all of some tags, in the list's order.

    Args:
        root: folder of the data set, or a name under the data root.
        tags: such as ``{'h3d-net'}`` or ``{'sira++'}``; none for all scenes.
        config: see :func:`load_h3ds_config`.

    Raises:
        ConfigError: for a tag that no scene has.
        DataError: if a scene's folder is missing.
    """
    scenes, folder = load_h3ds_config(config), resolve_data(root)
    known = set().union(*(scene.tags for scene in scenes.values()))
    if unknown := sorted(set(tags) - known):
        raise ConfigError(f"no scene of H3DS has the tag '{unknown[0]}'; {nearest(unknown[0], known)}")
    chosen = [folder / name for name, scene in scenes.items() if set(tags) <= scene.tags]
    if missing := [path for path in chosen if not path.is_dir()]:
        raise DataError(f"{missing[0]}: no such scene; {len(missing)} of {len(chosen)} are missing: is {folder} the folder of "
                        f"H3DS, of the version that '{config}' lists?")
    return chosen


def chosen_views(folder: Path, views_config: str | int, config: str | Path, count: int) -> tuple[int, ...]:
    """The indices of the photographs of a set, for the scene of the folder's name.

    Raises:
        ConfigError: if the list lacks the scene, or the scene the set.
        DataError: if the scene has another number of photographs than the list says, or fewer than the set needs.
    """
    scenes, name = load_h3ds_config(config), folder.resolve().name
    if name not in scenes:
        raise ConfigError(f"{folder}: '{config}' lists no scene '{name}': {nearest(name, scenes)}")
    scene, choice = scenes[name], str(views_config)
    if choice not in scene.views_configs:
        raise ConfigError(f"{folder}: there is no views_config '{choice}'; '{config}' has {', '.join(scene.views_configs)}")
    views = scene.views_configs[choice]
    if scene.views != count or not all(0 <= view < count for view in views):
        raise DataError(f"{folder}: holds {count} photographs, but '{config}' says {scene.views}: copy the scene again, or "
                        "choose the list of its version")
    return views

"""Checks before a run changes its work folder."""

from collections.abc import Callable

from mmengine.config import Config

from deep3dmap.apis.work_folder import warn as print_warning
from deep3dmap.datasets.captures.formats import TRUE_MESH
from deep3dmap.datasets.captures.mesh_checks import true_mesh_warnings
from deep3dmap.datasets.captures.photo_checks import Photographs, photo_warnings
from deep3dmap.datasets.captures.picture_checks import Pictures, picture_warnings
from deep3dmap.datasets.captures.ray_batches import scene_info
from deep3dmap.datasets.captures.scene import Scene, forget_scenes, load_scene
from deep3dmap.datasets.captures.scene_checks import Silhouettes, capture_warnings
from deep3dmap.engine.batches import build_dataset
from deep3dmap.engine.launching import is_first_started
from deep3dmap.engine.part_weights import check_part_weights
from deep3dmap.geometry.meshing_grids import check_resolution
from deep3dmap.registry import DATASETS, FRAMEWORKS, METRICS, accepted_keys, resolve

SHOWN = 5


def preflight(cfg: Config, warn: Callable[[str], object] | None = None) -> None:
    """Validate a checked config's method, scene, test views and metrics, and print the scene's views and warnings about them.

    Args:
        cfg: the config.
        warn: called with each warning; by default the first process prints them.

    Raises:
        ConfigError: if a part can't be built, weights of parts are named wrongly, or the mesh's grid is too large for the
            machine.
        DataError: if the scene can't be read, or doesn't suit the method.
    """
    framework = FRAMEWORKS.build(cfg.model)
    check_part_weights(cfg.model)
    check_resolution((cfg.get("test_cfg") or {}).get("resolution", 0))
    if not cfg.get("scene"):
        return
    forget_scenes()
    scene = load_scene(**cfg.scene)
    framework.setup(scene_info(scene))
    views = cfg.get("test_dataset")
    if views is not None and "scene" in (accepted_keys(resolve(DATASETS, views["type"])) or ()):
        build_dataset(views, cfg.scene)  # errors would otherwise appear only after training
    for metric in [*(cfg.get("test_evaluator") or ()), *(cfg.get("val_evaluator") or ())]:
        METRICS.build(metric)
    if warn is None and is_first_started():
        print(scene.split)
        warn = print_warning
    for line in scene_warnings(scene) if warn else ():
        warn(line)


def scene_warnings(scene: Scene) -> list[str]:
    """Possible problems of a scene or its held-out views; the first few."""
    capture, views = scene.capture, Silhouettes.of(scene.capture)
    found = capture_warnings(views, capture.scene_from_world) + true_mesh_warnings(capture.mesh, views, TRUE_MESH)
    found += picture_warnings(Pictures.of(capture)) + photo_warnings(Photographs.of(capture))
    return found[:SHOWN] + [f"and {len(found) - SHOWN} more: `deep3dmap check` lists all"] * (len(found) > SHOWN)

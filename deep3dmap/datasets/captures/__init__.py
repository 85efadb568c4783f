"""Posed photographs of one scene: loading, checking, normalising, and sampling rays from them."""

from deep3dmap.datasets.captures.hull_distances import HullDistances
from deep3dmap.datasets.captures.ray_batches import RayBatches, SceneDataset, TrainingViews, Views
from deep3dmap.datasets.captures.scene import FolderCapture, Scene, load_scene

__all__ = ["FolderCapture", "HullDistances", "RayBatches", "Scene", "SceneDataset", "TrainingViews", "Views", "load_scene"]

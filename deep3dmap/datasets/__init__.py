"""Data in: readers of every format, the generated capture, samplers and transforms."""

from deep3dmap.datasets.generated import generate_capture
from deep3dmap.datasets.hull_distances import HullDistances
from deep3dmap.datasets.ray_batches import RayBatches, Views
from deep3dmap.datasets.scene import FolderCapture, Scene, load_scene
from deep3dmap.datasets.sdf_shapes import SDFShapes, SDFTestShapes
from deep3dmap.datasets.training_views import TrainingViews

__all__ = [
    "FolderCapture", "HullDistances", "RayBatches", "SDFShapes", "SDFTestShapes", "Scene", "TrainingViews", "Views",
    "generate_capture", "load_scene"
]

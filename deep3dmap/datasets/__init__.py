"""Data in: readers of every format, synthetic captures, samplers and transforms."""

from deep3dmap.datasets.captures import FolderCapture, HullDistances, RayBatches, Scene, TrainingViews, Views, load_scene
from deep3dmap.datasets.faces import AFLW2000, W300LP, AlignedFaces, AlignedPhotos, AnnyFaces, FacePhotos, SyntheticFaces
from deep3dmap.datasets.image_folder import ImageFolder
from deep3dmap.datasets.instances import EachItemBatches, OneItem, OneItemBatches
from deep3dmap.datasets.object_pictures import ObjectPictures
from deep3dmap.datasets.rooms import SyntheticRooms
from deep3dmap.datasets.shapes import SDFShapes, SDFTestShapes
from deep3dmap.datasets.synthetic import generate_capture
from deep3dmap.datasets.videos import Fragments, RecordingFrames, RecordingItem, load_recording

__all__ = [
    "AFLW2000", "AlignedFaces", "AlignedPhotos", "AnnyFaces", "EachItemBatches", "FacePhotos", "FolderCapture", "Fragments",
    "HullDistances", "ImageFolder", "ObjectPictures", "OneItem", "OneItemBatches", "RayBatches", "RecordingFrames",
    "RecordingItem", "SDFShapes", "SDFTestShapes", "Scene", "SyntheticFaces", "SyntheticRooms", "TrainingViews", "Views",
    "W300LP", "generate_capture", "load_recording", "load_scene"
]

"""Finding faces in pictures: one interface, several detectors."""

from deep3dmap.datasets.faces.detection.boxes import FaceBox
from deep3dmap.datasets.faces.detection.detectors import DETECTORS, FaceDetector, face_detector

__all__ = ["DETECTORS", "FaceBox", "FaceDetector", "face_detector"]

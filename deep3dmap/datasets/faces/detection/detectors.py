"""Detectors of faces by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from deep3dmap.datasets.faces.detection.boxes import FaceBox, Image
from deep3dmap.datasets.faces.detection.given import GivenFaces, WholePicture
from deep3dmap.datasets.faces.detection.haar import Haar
from deep3dmap.datasets.faces.detection.lbp import LBP
from deep3dmap.datasets.faces.detection.mtcnn import MTCNN
from deep3dmap.errors import ConfigError, MissingDependencyError, nearest


@runtime_checkable
class FaceDetector(Protocol):
    """Finds the faces in pictures."""

    def __call__(self, image: Image, picture: Path | None = None) -> list[FaceBox]:
        """The boxes of the faces' landmarks, largest first; empty if there is none.

        Args:
            image: the picture.
            picture: its file, for faces that are given.
        """


def best_detector() -> FaceDetector:
    """The best detector that is installed; ``LBP`` always is."""
    for detector in (MTCNN, Haar):
        try:
            return detector()
        except MissingDependencyError:
            pass
    return LBP()


DETECTORS: dict[str, Callable[[], FaceDetector]] = dict(auto=best_detector, mtcnn=MTCNN, haar=Haar, lbp=LBP,
                                                        given=GivenFaces, none=WholePicture)  # yapf: disable


def face_detector(name: str = "auto", given: str | Path | None = None) -> FaceDetector:
    """A detector.

    Args:
        name: ``mtcnn``; ``haar``; ``lbp``, for frontal faces, always installed; ``auto`` for the first of these that is;
            ``none`` takes each picture for one face; ``given`` reads boxes or landmarks from files (:class:`GivenFaces`).
        given: the file for ``given``; without, each picture's is beside it.

    Raises:
        ConfigError: for an unknown name, or a file for another detector.
        MissingDependencyError: if the detector isn't installed; says how to install it.
        DataError: if a file that it needs can't be read.
    """
    if name not in DETECTORS:
        raise ConfigError(f"no detector of faces '{name}': {nearest(name, DETECTORS)}")
    if given is None:
        return DETECTORS[name]()
    if name != "given":
        raise ConfigError(f"the detector '{name}' takes no file of given faces ({given}); choose 'given'")
    return GivenFaces(given)

"""The ICT-FaceKit linear head model: ``model`` reads it, ``heads`` draws heads from it, ``packing`` creates its file from the
published ones.

Li et al., "Learning Formation of Physically-Based Face Attributes", CVPR 2020; https://github.com/ICT-VGL/ICT-FaceKit, MIT.
"""

from deep3dmap.structures.face_model import ICTFaceModel

__all__ = ["ICTFaceModel"]

"""The six landmarks that define a head's pose in a scene: names and order as in H3DS (Ramon et al., "H3D-Net:
Few-Shot High-Fidelity 3D Head Reconstruction", ICCV 2021)."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

# the subject's own right and left; eyes are the inner corners, lips the corners of the mouth
HEAD_LANDMARKS = ("right_eye", "left_eye", "nose_tip", "nose_base", "right_lips", "left_lips")
# the same points among the 68 of iBUG's markup, counted from 0 (Sagonas et al., "300 Faces in-the-Wild Challenge", 2013)
HEAD_LANDMARKS_OF_68 = (39, 42, 30, 33, 48, 54)
# their positions on ICT-FaceKit's mean head, in centimetres: x to the subject's left, y up, z out of the face
MEAN_HEAD_LANDMARKS = ((-1.844, 3.252, 9.196), (1.844, 3.252, 9.196), (0.0, 0.406, 13.069), (0.0, -1.203, 11.566),
                       (-2.535, -3.52, 10.188), (2.535, -3.52, 10.188))


def landmark_rows(landmarks: Mapping[str, Float[Tensor, "3"]]) -> Float[Tensor, "6 3"]:
    """Named landmarks as rows in the order of ``HEAD_LANDMARKS``, float64, NaN where one is missing."""
    missing = torch.full((3, ), torch.nan, dtype=torch.float64)
    return torch.stack([landmarks.get(name, missing).to("cpu", torch.float64) for name in HEAD_LANDMARKS])

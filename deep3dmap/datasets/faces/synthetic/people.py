"""Shape, expression and pose of random people, and the camera that sees them."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from deep3dmap.geometry.face_pose import pose_angles
from deep3dmap.structures.face_model import ICTFaceModel

#: Expressions that are drawn one by one; other than in pairs they would need moved eyeballs or a moved jaw, too.
LEFT_OUT = ("eyeLook", "PupilDilate", "mouthClose")
SMILE = ("mouthSmile", "cheekSquint", "cheekRaiser", "mouthDimple")


@dataclass(frozen=True, eq=False)
class Sitter:
    """A person in front of a camera.

    Attributes:
        identity: coefficients of the face model.
        expression: weights of the face model.
        rotation: from the model's axes (x to the subject's left, y up, z out of the face) to the camera's (x right, y down, z
            forward).
        distance: of the camera from the head's centre, centimetres.
    """

    identity: Float[np.ndarray, " i"]
    expression: Float[np.ndarray, " e"]
    rotation: Float[np.ndarray, "3 3"]
    distance: float

    @property
    def angles(self) -> tuple[float, float, float]:
        """Yaw, pitch and roll, see :func:`~deep3dmap.geometry.face_pose.pose_angles`."""
        rotation = np.diag([1.0, 1.0, -1.0]) @ self.rotation @ np.diag([1.0, -1.0, 1.0])
        return pose_angles(torch.from_numpy(rotation))

    @classmethod
    def drawn(cls, identity: Float[np.ndarray, " i"], model: ICTFaceModel, random: np.random.Generator) -> "Sitter":
        """A person with a random expression; half of the yaws are spread evenly over a half turn, the others near frontal."""
        yaw = random.uniform(-92, 92) if random.random() < 0.5 else random.normal(0, 25)
        pitch, roll = random.normal(0, 14), random.normal(0, 14)
        yaw, pitch, roll = np.clip([yaw, pitch, roll], (-95, -50, -60), (95, 50, 60)).tolist()
        return cls(identity, draw_expression(model, random), head_rotation(yaw, pitch, roll),
                   float(np.exp(random.uniform(np.log(45), np.log(400)))))


def draw_identity(model: ICTFaceModel, random: np.random.Generator) -> Float[np.ndarray, " i"]:
    """Coefficients of a random identity of the ICT model, more or less unlike the mean."""
    return (random.normal(size=len(model.identity)) * random.uniform(0.6, 1.5)).astype(np.float32)


def head_rotation(yaw: float, pitch: float, roll: float) -> Float[np.ndarray, "3 3"]:
    """The rotation from the model's axes to the camera's; degrees. All zero: a frontal, upright face; with a positive yaw it
    looks to the picture's right, with a positive pitch up."""
    turned = Rotation.from_euler("zxy", [roll, -pitch, yaw], degrees=True).as_matrix()
    return np.diag([1.0, -1.0, -1.0]) @ turned


def draw_expression(model: ICTFaceModel, random: np.random.Generator) -> Float[np.ndarray, " e"]:
    """Expression weights: a quarter neutral; smiles, open mouths, blinks, and a few of the others, mostly symmetric."""
    weight = dict.fromkeys(model.expression_names, 0.0)
    if random.random() < 0.25:
        return np.array(list(weight.values()), np.float32)
    if random.random() < 0.45:
        amount = random.uniform(0.1, 1.0)
        for name in SMILE:
            _set_pair(weight, name, amount * random.uniform(0.3, 1.0), random)
    if random.random() < 0.45:
        weight["jawOpen"] = random.beta(1.1, 2.5)
    if random.random() < 0.3:
        _set_pair(weight, "eyeBlink", random.beta(0.7, 0.7), random)
    others = sorted({name.removesuffix("_L").removesuffix("_R") for name in weight if not name.startswith(LEFT_OUT)})
    for name in random.choice(others, random.integers(0, 5), replace=False):
        _set_pair(weight, name, random.beta(1.0, 2.0), random)
    return np.array(list(weight.values()), np.float32)


def _set_pair(weight: dict[str, float], name: str, amount: float, random: np.random.Generator) -> None:
    """Set both sides of an expression, sometimes unequally; or a single one that has no sides."""
    left, right = (1.0, 1.0) if random.random() < 0.7 else random.uniform(0, 1, 2)
    for key, share in ((name, 1.0), (f"{name}_L", left), (f"{name}_R", right)):
        if key in weight:
            weight[key] = max(weight[key], amount * share)

"""The linear head model of ICT-FaceKit (Li et al., CVPR 2020), packed into one ``npz``.

``X = mean + sum_i a_i identity_i + sum_j b_j expression_j``. The identity coefficients are independent and standard normal
(the modes are scaled by their standard deviations), expression weights lie in [0, 1]. Right-handed axes: x to the subject's
left, y up, z out of the face. The source states no unit; judging by head sizes it is the centimetre.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from deep3dmap.errors import DataError
from deep3dmap.io.npz import read_npz
from deep3dmap.io.paths import resolve_data
from deep3dmap.registry import nearest

FILE = "ict_face_model.npz"
SKIN = ("face", "head_neck", "mouth_socket", "eye_socket_left", "eye_socket_right")
EYEBALLS = ("eyeball_left", "eyeball_right")

#: The required dtype kind and shape of each array; letters denote sizes that must agree.
LAYOUT: dict[str, tuple[str, tuple]] = {
    "mean": ("f", ("V", 3)),
    "identity": ("f", ("I", "V", 3)),
    "expression": ("f", ("E", "V", 3)),
    "expression_names": ("U", ("E", )),
    "triangles": ("iu", ("T", 3)),
    "triangle_part": ("iu", ("T", )),
    "uv": ("f", ("W", 2)),
    "uv_triangles": ("iu", ("T", 3)),
    "landmarks68": ("iu", (68, )),
    "part_names": ("U", ("P", )),
}

#: Index arrays, and the array that each one indexes.
REFERS = {"triangles": "mean", "landmarks68": "mean", "uv_triangles": "uv", "triangle_part": "part_names"}


@dataclass(frozen=True, eq=False)
class ICTFaceModel:
    """A linear head model, in its file's units (centimetres).

    Attributes:
        mean: (v, 3) the neutral mean head.
        identity: (i, v, 3) displacements for coefficients of 1, which is one standard deviation.
        expression: (e, v, 3) displacements for weights of 1.
        expression_names: e names, ARKit's with ``_L`` and ``_R`` for the subject's left and right.
        triangles: (t, 3) vertex indices, counter-clockwise seen from outside.
        triangle_part: (t,) index of each triangle's part.
        uv: (w, 2) texture coordinates, v up; each part has its own tile.
        uv_triangles: (t, 3) indices of the triangles' corners in ``uv``.
        landmarks68: (68,) vertices at the 68 points of Multi-PIE, in iBUG's order.
        part_names: names of the parts.
    """

    mean: Float[np.ndarray, "v 3"]
    identity: Float[np.ndarray, "i v 3"]
    expression: Float[np.ndarray, "e v 3"]
    expression_names: tuple[str, ...]
    triangles: Int[np.ndarray, "t 3"]
    triangle_part: Int[np.ndarray, " t"]
    uv: Float[np.ndarray, "w 2"]
    uv_triangles: Int[np.ndarray, "t 3"]
    landmarks68: Int[np.ndarray, "68"]
    part_names: tuple[str, ...]

    unit_millimetres: ClassVar[float] = 10.0
    """A unit of length of the model, in millimetres."""

    @classmethod
    def load(cls, path: str | Path = "ict_face") -> "ICTFaceModel":
        """Read the model.

        Args:
            path: the ``npz`` file, its folder, or the name of a data set.

        Raises:
            DataError: if there is none, or it is damaged, lacks arrays, or its arrays are inconsistent or not finite.
        """
        path = resolve_data(path)
        path = path / FILE if path.is_dir() else path
        arrays = read_npz(path, "an ICT face model", tuple(LAYOUT))
        _check(arrays, path)
        types = {"f": np.float32, "i": np.int64, "u": np.int64}
        return cls(**{name: tuple(array.tolist()) if array.dtype.kind == "U" else array.astype(types[array.dtype.kind])
                      for name, array in arrays.items()})  # yapf: disable

    def vertices(
        self, identity: Sequence[float] | np.ndarray = (), expression: Mapping[str, float] | Sequence[float] | np.ndarray = ()
    ) -> Float[np.ndarray, "v 3"]:
        """All vertices of a head, float32, in centimetres.

        Args:
            identity: coefficients of the modes in order; missing ones are 0.
            expression: weights by name, or in the order of ``expression_names``; missing ones are 0.

        Raises:
            DataError: for more coefficients than modes, values that aren't finite numbers, or an unknown expression.
        """
        a = _coefficients(identity, len(self.identity), "identity coefficients")
        b = _coefficients(self._weights(expression), len(self.expression), "expression weights")
        moved = np.tensordot(a, self.identity[:len(a)], 1) + np.tensordot(b, self.expression[:len(b)], 1)
        return (self.mean + moved).astype(np.float32)

    def _weights(self, expression) -> Sequence[float] | np.ndarray:
        if not isinstance(expression, Mapping):
            return expression
        weights = np.zeros(len(self.expression), np.float32)
        for name, weight in expression.items():
            if name not in self.expression_names:
                raise DataError(f"no expression '{name}': {nearest(name, self.expression_names)}")
            weights[self.expression_names.index(name)] = weight
        return weights

    def faces(self, *parts: str) -> Int[np.ndarray, "t 3"]:
        """The triangles of some parts, by default of all; they share vertices along their seams.

        Raises:
            DataError: for an unknown part.
        """
        for part in parts:
            if part not in self.part_names:
                raise DataError(f"the model has no part '{part}': {nearest(part, self.part_names)}")
        wanted = [self.part_names.index(part) for part in parts or self.part_names]
        return self.triangles[np.isin(self.triangle_part, wanted)]


def _check(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Raise a DataError unless all arrays are as in :data:`LAYOUT`, finite, and refer to entries that exist."""
    counts: dict[str, tuple[int, str]] = {}
    for name, (kinds, shape) in LAYOUT.items():
        array = arrays[name]
        expected = tuple(counts.get(s, (s, ))[0] for s in shape)
        fits = array.ndim == len(shape) and all(isinstance(e, str) or e == n for e, n in zip(expected, array.shape))
        if not fits or array.dtype.kind not in kinds:
            kind = {"f": "floating-point numbers", "U": "words", "iu": "integers"}[kinds]
            raise DataError(
                f"{path}: '{name}' must hold {kind} of shape {expected}, it holds {array.dtype} of shape {array.shape}")
        counts |= {letter: (n, name) for letter, n in zip(shape, array.shape) if isinstance(letter, str)}
        if kinds == "f" and not np.isfinite(array).all():
            raise DataError(f"{path}: '{name}' has {int((~np.isfinite(array)).sum())} values that are not finite numbers")
    for name, target in REFERS.items():
        numbers, count = arrays[name], len(arrays[target])
        if not numbers.size or numbers.min() < 0 or numbers.max() >= count:
            span = f"{numbers.min()} to {numbers.max()}" if numbers.size else "none"
            raise DataError(f"{path}: '{name}' refers to entries {span}, but '{target}' has entries 0 to {count - 1}")


def _coefficients(values, count: int, what: str) -> Float[np.ndarray, " n"]:
    values = np.asarray(values, np.float32)
    if values.ndim != 1 or len(values) > count:
        raise DataError(f"{what}: at most {count} numbers are expected, got an array of shape {values.shape}")
    if not np.isfinite(values).all():
        raise DataError(f"{what} must be finite numbers; number {int(np.flatnonzero(~np.isfinite(values))[0])} is not")
    return values

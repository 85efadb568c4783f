"""Heads drawn from the ICT model: each depends only on a seed, its split and its index."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import trimesh
from jaxtyping import Bool, Float

from deep3dmap.datasets.heads.ict_face.missing import MISSING, kept_faces
from deep3dmap.datasets.heads.ict_face.surface import HeadSurface, common_frame, head_surface
from deep3dmap.datasets.shapes.sdf_samples.layout import Normalization
from deep3dmap.errors import ConfigError
from deep3dmap.registry import nearest
from deep3dmap.structures.face_model import ICTFaceModel

SPLITS = ("train", "validation", "test")
IDENTITY, EXPRESSION, HOLES, SAMPLES = range(4)  # independent random streams: one option doesn't change another's draws
EXPRESSIONS_AT_ONCE = 3
NOT_ALONE = ("eyeLook", "PupilDilate", "mouthClose")  # these require moving the eyeballs or the jaw as well


@dataclass(frozen=True, eq=False)
class HeadMaker:
    """Draws heads.

    Attributes:
        model: the face model.
        seed: of all heads.
        expressions: largest weight of the random expressions; 0 for neutral heads.
        missing: regions to cut from the meshes, names of :data:`~deep3dmap.datasets.heads.ict_face.missing.MISSING`.
        surface: of the heads.
        frame: the normalisation that all heads of the model share.
    """

    model: ICTFaceModel
    seed: int
    expressions: float
    missing: tuple[str, ...]
    surface: HeadSurface
    frame: Normalization

    @classmethod
    def build(cls,
              model: ICTFaceModel,
              seed: int = 0,
              *,
              expressions: float = 0.0,
              missing: Sequence[str] = (),
              mouth: bool = True,
              eyeballs: bool = False) -> "HeadMaker":
        """Validate the options and build the surface.

        Raises:
            ConfigError: for a negative seed, weights outside [0, 1], or an unknown name of a missing part.
        """
        if seed < 0:
            raise ConfigError(f"seed must not be negative, got {seed}")
        if not 0 <= expressions <= 1:
            raise ConfigError(f"expressions must lie between 0 (neutral heads) and 1, got {expressions}")
        for name in missing:
            if name not in MISSING:
                raise ConfigError(f"no region '{name}' can be missing: {nearest(name, MISSING)}")
        surface = head_surface(model, mouth, eyeballs)
        return cls(model, seed, float(expressions), tuple(sorted(set(missing))), surface, common_frame(model))

    def identity(self, split: str, index: int) -> Float[np.ndarray, " i"]:
        """The identity coefficients of a head: independent, standard normal."""
        return self._random(split, index, IDENTITY).standard_normal(len(self.model.identity)).astype(np.float32)

    def expression(self, split: str, index: int) -> dict[str, float]:
        """The expression weights of a head: three expressions, each weight drawn uniformly from 0 to ``expressions``."""
        if not self.expressions:
            return {}
        random = self._random(split, index, EXPRESSION)
        names = [name for name in self.model.expression_names if not name.startswith(NOT_ALONE)]
        chosen = random.choice(len(names), min(EXPRESSIONS_AT_ONCE, len(names)), replace=False)
        return {names[k]: float(random.uniform(0, self.expressions)) for k in chosen}

    def vertices(self, split: str, index: int) -> Float[np.ndarray, "v 3"]:
        """All of the model's vertices in the shape of a head, in centimetres."""
        return self.model.vertices(self.identity(split, index), self.expression(split, index))

    def landmarks(self, split: str, index: int) -> Float[np.ndarray, "68 3"]:
        """The 68 landmarks of a head in iBUG's order, in centimetres."""
        return self.vertices(split, index)[self.model.landmarks68]

    def mesh(self, split: str, index: int) -> trimesh.Trimesh:
        """A head's mesh, in centimetres: closed, or open where parts are missing."""
        return self.surface.mesh(self.vertices(split, index), self.kept(split, index) if self.missing else None)

    def kept(self, split: str, index: int) -> Bool[np.ndarray, " f"]:
        """Which of the surface's triangles a head has: all, or the remaining ones where regions are missing."""
        return kept_faces(self.model, self.surface, self.missing, self._random(split, index, HOLES))

    def sampling_seed(self, split: str, index: int) -> int:
        """The seed with which a head is sampled."""
        return int(self._random(split, index, SAMPLES).integers(2**62))

    def _random(self, split: str, index: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, SPLITS.index(split), index, purpose])

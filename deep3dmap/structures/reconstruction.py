"""What a method makes of its data: the result of a scene, a photograph, a shape or a recording."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import trimesh
from torch import Tensor

from deep3dmap.structures.cameras import Cameras


@dataclass
class Reconstruction:
    """A result, in the data's own frame and units; tensors are on the CPU.

    Attributes:
        name: of what was reconstructed, as its data call it.
        mesh: its surface, or None.
        images: pictures by name, (h, w, c) or (h, w): ``rgb`` in [0, 1], ``mask`` bool, ``normals`` unit vectors, and others.
        arrays: tensors by name (landmarks, codes, depth ...).
        cameras: those that belong to it, where the method estimates any.
        notes: what is missing, and why.
        partial: whether the next result of the same name will replace it, as of a video that goes on.
    """

    name: str
    mesh: trimesh.Trimesh | None = None
    images: Mapping[str, Tensor] = field(default_factory=dict)
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    cameras: Cameras | None = None
    notes: list[str] = field(default_factory=list)
    partial: bool = False

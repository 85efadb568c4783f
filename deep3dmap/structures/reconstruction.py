"""A method's output: the result of a scene, a photograph, a shape or a recording."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import trimesh
from torch import Tensor

from deep3dmap.structures.cameras import Cameras


@dataclass
class Reconstruction:
    """A result, in the data's own frame and units; tensors are on the CPU.

    Attributes:
        name: of the reconstructed item, as in its data.
        mesh: its surface, or None.
        images: by name, (h, w, c) or (h, w): ``rgb`` in [0, 1], ``mask`` bool, ``normals`` unit vectors, and others.
        arrays: tensors by name (landmarks, codes, depth ...).
        cameras: its cameras, if the method estimates any.
        figures: numbers about it by name, such as angles, for the report.
        files: contents of further files, by file name, for formats and conventions of the method's own.
        notes: what is missing, and why.
        one_sided: whether the mesh's faces are surfaces seen from their front only, such as a room's walls from inside: from
            behind they are not drawn, which opens the room to the viewer.
        partial: whether the next result of the same name will replace it, as for an unfinished video.
    """

    name: str
    mesh: trimesh.Trimesh | None = None
    images: Mapping[str, Tensor] = field(default_factory=dict)
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    cameras: Cameras | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    one_sided: bool = False
    partial: bool = False

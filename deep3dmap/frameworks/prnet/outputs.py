"""The result of a face: meshes, landmarks, pose, depth, pictures; among them all outputs of the authors' ``demo.py``.

Meshes are right-handed, in the photograph's pixels: x to the right, y up from the centres of its lowest row, z towards the
viewer. ``frontal.ply`` has the axes and the unit of the layout's canonical face, y turned up. Landmarks, arrays and the
camera matrix keep the photograph's own axes, see :mod:`.face`.
"""

import io
import json
from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from scipy.io import savemat
from torch import Tensor

from deep3dmap.frameworks.prnet.face import FoundFace, Hidden
from deep3dmap.geometry.face_crops import CropRule, box_crop, crop_photograph, points_box, to_crop, vertex_colors
from deep3dmap.geometry.face_pose import frontalize, pose_angles, split_camera
from deep3dmap.io.mesh_files import mesh_bytes
from deep3dmap.io.textured_files import textured_files, textured_mesh
from deep3dmap.structures import Reconstruction
from deep3dmap.visualization.faces import draw_box, draw_landmarks, draw_points

VIEW, MARGIN = 512, 1.8  # pixels of overlays; their side in sides of the landmarks' box
ANGLES = ("yaw", "pitch", "roll")
DIGITS = 4  # of numbers in JSON, after the point


@dataclass(frozen=True)
class Outputs:
    """What is written of a face.

    Attributes:
        texture_size: texels along an edge of the texture.
        hidden: the texture's colour where the photograph doesn't show the face, see :meth:`FoundFace.texture`.
        obj: also ``mesh.obj`` with its material and texture.
        mat: also ``face.mat`` for MATLAB.
    """

    texture_size: int
    hidden: Hidden
    obj: bool
    mat: bool

    def of(self, name: str, face: FoundFace) -> Reconstruction:
        """The result of a face."""
        upright = upright_mesh(face.vertices, face, face.image.shape[0] - 1.0)
        frontal = upright_mesh(frontalize(face.vertices.double(), torch.from_numpy(face.layout.canonical).double()), face, 0.0)
        texture, depth = face.texture(self.texture_size, self.hidden), face.depth()
        textured = with_texture(upright, face, texture)
        pose = pose_of(face)
        files = {"landmarks.json": _json(landmarks_of(face)), "pose.json": _json(pose)} | textured_files(textured, "mesh.glb")
        files["frontal.ply"] = mesh_bytes(frontal, ".ply")
        if self.obj:
            files |= textured_files(textured, "mesh.obj")
        if self.mat:
            files["face.mat"] = _mat(upright, face, depth, pose)
        images = overlays(face) | dict(depth=depth, texture=torch.from_numpy(texture), visible=_visible(face))
        arrays = arrays_of(face) | dict(camera=face.camera, angles=torch.tensor([pose[each] for each in ANGLES]), depth=depth,
                                        window=torch.tensor(face.window), visible=face.visible)  # yapf: disable
        return Reconstruction(name, mesh=upright, images=images, arrays=arrays, files=files,
                              figures={each: pose[each] for each in ANGLES})  # yapf: disable


def arrays_of(face: FoundFace) -> dict[str, Tensor]:
    """What metrics use."""
    return dict(landmarks=face.landmarks, vertices=face.vertices, position_map=face.position_map)


def upright_mesh(vertices: Float[Tensor, "v 3"], face: FoundFace, base: float) -> trimesh.Trimesh:
    """A mesh in right-handed axes, with the photograph's colours.

    Args:
        vertices: of the face, y down.
        face: whose vertices they are.
        base: the y of which 0 is made.
    """
    colors = vertex_colors(torch.from_numpy(face.image), face.vertices).numpy()
    turned = vertices.numpy() * [1, -1, 1] + [0, base, 0]
    return trimesh.Trimesh(turned, face.layout.triangles[:, ::-1], vertex_colors=colors, process=False)


def with_texture(mesh: trimesh.Trimesh, face: FoundFace, texture: np.ndarray) -> trimesh.Trimesh:
    """The mesh of a face with a texture in the layout's UV space."""
    return textured_mesh(mesh, face.uv * [1, -1] + [0, 1], texture)


def landmarks_of(face: FoundFace) -> dict:
    """The 68 landmarks in the photograph's pixels, and which of them it shows."""
    visible = torch.zeros(face.layout.size**2, dtype=torch.bool)
    visible[torch.from_numpy(face.layout.indices)] = face.visible
    column, row = torch.from_numpy(face.layout.landmarks).T
    return dict(landmarks=_rounded(face.landmarks), visible=visible[row * face.layout.size + column].tolist())


def pose_of(face: FoundFace) -> dict:
    """Angles in degrees, in 3DDFA's convention, as AFLW2000-3D has them; the camera matrix, and its parts."""
    scale, rotation, translation = split_camera(face.camera)
    yaw, pitch, roll = pose_angles(rotation)
    return dict(yaw=yaw, pitch=pitch, roll=roll, camera_matrix=face.camera.tolist(), scale=float(scale),
                rotation=rotation.tolist(), translation=translation.tolist())  # yapf: disable


def overlays(face: FoundFace) -> dict[str, Tensor]:
    """Pictures of the face: landmarks, visible dense points, and the box of its pose."""
    view = box_crop(points_box(face.landmarks), VIEW, CropRule(MARGIN))
    picture = crop_photograph(face.image, view, VIEW).round().byte().permute(1, 2, 0).numpy()
    shown = dict(sparse=(draw_landmarks, face.landmarks), dense=(draw_points, face.vertices[face.visible]),
                 pose=(draw_box, box_corners(face)))  # yapf: disable
    placed = {name: to_crop(points, view).numpy() for name, (_, points) in shown.items()}
    return {name: torch.from_numpy(draw(picture, placed[name])) for name, (draw, _) in shown.items()}


def box_corners(face: FoundFace) -> Float[Tensor, "8 3"]:
    """The corners of a box around the canonical face, seen by the camera: those of its back, then those of its front."""
    canonical = torch.from_numpy(face.layout.canonical)
    (left, top, back), (right, bottom, front) = canonical.amin(0).tolist(), canonical.amax(0).tolist()
    square = torch.tensor([[left, top], [right, top], [right, bottom], [left, bottom]])
    corners = torch.cat([torch.nn.functional.pad(square, (0, 1), value=z) for z in (back, front)])
    return corners @ face.camera[:, :3].float().T + face.camera[:, 3].float()


def _visible(face: FoundFace) -> Tensor:
    return torch.from_numpy(face.seen(face.layout.size) > 0.5)


def _rounded(values: Tensor) -> list:
    return values.double().numpy().round(DIGITS).tolist()


def _json(value: dict) -> bytes:
    return json.dumps(value, indent=1).encode()


def _mat(mesh: trimesh.Trimesh, face: FoundFace, depth: Tensor, pose: dict) -> bytes:
    """A MATLAB file, with the names of the authors': in the photograph's pixels as they are; triangles count from 1."""
    stream = io.BytesIO()
    savemat(stream, dict(vertices=face.vertices.numpy(), colors=mesh.visual.vertex_colors[:, :3] / 255.0,
                         triangles=face.layout.triangles + 1, landmarks=face.landmarks.numpy(), depth=depth.numpy(),
                         window=np.array(face.window), camera=face.camera.numpy(),
                         angles=[pose[each] for each in ANGLES]), do_compression=True)  # yapf: disable
    return stream.getvalue()

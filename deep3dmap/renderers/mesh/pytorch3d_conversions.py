"""Conversion of cameras, meshes, textures, lights and fragments to arguments of PyTorch3D, and of its fragments to ours.

Plain tensors, so that PyTorch3D need not be installed. PyTorch3D repeats a mesh for each camera and numbers the repeated faces
consecutively; its images contain every pixel (PyTorch3D's documentation, "Renderer" and "Batching").
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from deep3dmap.geometry.camera_conversions import to_ndc, to_row_vectors
from deep3dmap.renderers.mesh.fragments import Fragments
from deep3dmap.renderers.mesh.lights import Lights, Material
from deep3dmap.renderers.mesh.textures import FaceGrids, Texture, VertexColors
from deep3dmap.structures import Cameras, Meshes

FragmentImages = tuple[Int[Tensor, "n h w k"], Float[Tensor, "n h w k"], Float[Tensor, "n h w k 3"], Float[Tensor, "n h w k"]]


def camera_arguments(cameras: Cameras, views: int) -> tuple[str, dict[str, Tensor]]:
    """Class and arguments of ``views`` cameras; a single camera is repeated.

    Raises:
        ValueError: if a camera has skew.
    """
    index = torch.arange(views) % len(cameras)
    R, T = to_row_vectors(cameras.world_to_cam)
    focal, principal = to_ndc(cameras.K, cameras.size)
    size = torch.tensor([cameras.size]).expand(views, 2)
    values = dict(R=R[index], T=T[index], focal_length=focal[index], principal_point=principal[index], image_size=size)
    return "OrthographicCameras" if cameras.orthographic else "PerspectiveCameras", values


def mesh_arguments(meshes: Meshes, views: int) -> dict[str, list[Tensor]]:
    """Vertices and faces of each view's mesh."""
    unpacked = meshes.unpack()
    verts, faces = zip(*(unpacked[i % len(meshes)] for i in range(views)))
    return dict(verts=list(verts), faces=list(faces))


def texture_arguments(texture: Texture, meshes: Meshes, views: int) -> tuple[str, dict]:
    """Class and arguments of the texture of each view's mesh.

    Raises:
        ValueError: for a UVTexture that repeats beyond [0, 1].
    """
    index = [i % len(meshes) for i in range(views)]
    if isinstance(texture, VertexColors):
        parts = texture.colors.split(meshes.vertex_counts)
        return "TexturesVertex", dict(verts_features=[parts[i] for i in index])
    if isinstance(texture, FaceGrids):
        parts = texture.colors.split(meshes.face_counts)
        return "TexturesAtlas", dict(atlas=[parts[i] for i in index])
    if texture.padding == "repeat":
        raise ValueError("PyTorch3D has no UVTexture of padding 'repeat'; expected border, zeros or reflection")
    faces = texture.faces.split(meshes.face_counts)
    return "TexturesUV", dict(maps=[texture.image[i if len(texture.image) > 1 else 0] for i in index],
                              faces_uvs=[faces[i] for i in index], verts_uvs=[texture.uv for _ in index],
                              padding_mode=texture.padding, align_corners=texture.align_corners,
                              sampling_mode=texture.mode)  # yapf: disable


def light_arguments(lights: Lights) -> tuple[str, dict[str, Tensor]]:
    """Class and arguments of a light."""
    ambient = dict(ambient_color=_rows(lights.ambient))
    if lights.location is None and lights.direction is None:
        return "AmbientLights", ambient
    values = ambient | dict(diffuse_color=_rows(lights.diffuse), specular_color=_rows(lights.specular))
    if lights.location is not None:
        return "PointLights", values | dict(location=_rows(lights.location))
    return "DirectionalLights", values | dict(direction=_rows(lights.direction))


def material_arguments(material: Material) -> dict[str, Tensor]:
    """Arguments of a material."""
    return dict(ambient_color=_rows(material.ambient), diffuse_color=_rows(material.diffuse),
                specular_color=_rows(material.specular),
                shininess=torch.as_tensor(material.shininess).float().reshape(-1))  # yapf: disable


def _rows(value) -> Float[Tensor, "n 3"]:
    return torch.as_tensor(value).float().reshape(-1, 3)


def to_fragment_images(fragments: Fragments, meshes: Meshes) -> FragmentImages:
    """Faces, depths, barycentric coordinates and distances of every pixel, faces numbered over repeated meshes."""
    dense, shape = fragments.dense(), (*fragments.size, fragments.face.shape[1])
    repeat = len(meshes.faces) if len(meshes) == 1 else 0
    face = torch.where(dense.hit, dense.face + dense.image[:, None] * repeat, -1)
    return face.view(shape), dense.depth.view(shape), dense.barycentric.view(*shape, 3), dense.distance.view(shape)


def from_fragment_images(images: FragmentImages, meshes: Meshes) -> Fragments:
    """Fragments of the pixels that see a face; the inverse of :func:`to_fragment_images`."""
    face, depth, barycentric, distance = (image.flatten(0, 2) for image in images)
    seen = torch.nonzero((face >= 0).any(-1))[:, 0]
    face = face[seen]
    face = torch.where(face >= 0, face % len(meshes.faces), -1) if len(meshes) == 1 and len(seen) else face
    return Fragments(seen, face, barycentric[seen], depth[seen], distance[seen], tuple(images[0].shape[:3]))

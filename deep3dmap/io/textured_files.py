"""Textured meshes on disk: GLB, which holds its texture, and OBJ with its material (MTL) and texture (PNG) beside it.

Textures are 8-bit sRGB in both. Vertices stay in the data's own frame and units, as in :mod:`.mesh_files`, which reads both.
"""

import re
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float, UInt8
from PIL import Image

from deep3dmap.errors import DataError
from deep3dmap.io.files import write_atomically

SUFFIXES = (".glb", ".obj")


def textured_mesh(mesh: trimesh.Trimesh, uv: Float[np.ndarray, "v 2"], picture: UInt8[np.ndarray, "h w 3"]) -> trimesh.Trimesh:
    """A mesh with a texture, which is matt and seen from both sides.

    Args:
        mesh: its vertices and faces.
        uv: places of the vertices in the texture, (0, 0) at its lower left corner.
        picture: the texture.
    """
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(picture), metallicFactor=0.0,
                                                   roughnessFactor=1.0, doubleSided=True)  # yapf: disable
    visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return trimesh.Trimesh(mesh.vertices, mesh.faces, visual=visual, process=False)


def check_textured_name(path: str | Path) -> Path:
    """The path of a textured mesh to write.

    Raises:
        DataError: for a suffix of a format without textures.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: can't write a texture to '{path.suffix}'; the file name must end with {', '.join(SUFFIXES)}")
    return path


def save_textured_mesh(mesh: trimesh.Trimesh, path: str | Path) -> list[Path]:
    """Write a mesh and its texture; each file atomically, the mesh last.

    Args:
        mesh: with texture coordinates and an image.
        path: ends with ``.glb`` or ``.obj``, which chooses the format. An OBJ's material and texture have its name, with
            ``_`` for what materials' names can't hold.

    Returns:
        The files written.

    Raises:
        DataError: for another suffix, or a place that can't be written.
    """
    path = check_textured_name(path)
    try:
        return [write_atomically(path.parent / name, data) for name, data in textured_files(mesh, path.name).items()]
    except OSError as error:
        raise DataError(
            f"{path}: the mesh can't be written ({error.strerror}); choose another place or free some space") from None


def textured_files(mesh: trimesh.Trimesh, name: str) -> dict[str, bytes]:
    """The contents of the files of a textured mesh by their names, the mesh last; see :func:`save_textured_mesh`.

    Args:
        mesh: with texture coordinates and an image.
        name: of the mesh's file.
    """
    return {name: trimesh.exchange.gltf.export_glb(mesh)} if name.lower().endswith(".glb") else _obj_files(mesh, name)


def _obj_files(mesh: trimesh.Trimesh, file: str) -> dict[str, bytes]:
    name = re.sub(r"[^\w.-]", "_", Path(file).stem, flags=re.ASCII)
    white, black = [255, 255, 255, 255], [0, 0, 0, 255]  # factors of the texture, and of highlights
    material = trimesh.visual.material.SimpleMaterial(mesh.visual.material.baseColorTexture, white, white, black, name=name)
    simple = mesh.copy()
    simple.visual = trimesh.visual.TextureVisuals(mesh.visual.uv, material=material)
    text, beside = trimesh.exchange.obj.export_obj(simple, include_normals=True, return_texture=True, mtl_name=f"{name}.mtl",
                                                   header="deep3dmap")  # yapf: disable
    return beside | {file: text.encode()}

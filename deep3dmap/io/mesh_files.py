"""Triangle meshes on disk: PLY (binary), OBJ and GLB, with one colour a vertex.

Vertices stay in the data's own frame and units in all three. glTF says that y is up and a unit is a metre; rotating and
scaling only the GLB would make it inconsistent with the PLY, the cameras and all metrics, so viewers
may show it lying on its side. Colours are 8-bit sRGB in ``Trimesh``, in PLY and in OBJ (``v x y z r g b``, 0 to 1). In GLB the
vertex colour ``COLOR_0`` is *linear* by the specification (glTF 2.0, section 3.7.2): it is converted on the way out and in,
and stored as float32, so that dark colours survive. Textures become vertex colours.
"""

import io
import json
import os
import struct
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float, Shaped, UInt8

from deep3dmap.errors import DataError
from deep3dmap.io.files import write_atomically
from deep3dmap.io.images import safe_decoders
from deep3dmap.io.reading import reading

SUFFIXES = (".ply", ".obj", ".glb")
RAW_COLOR = "_COLOR_0"  # names with an underscore pass through trimesh unconverted
LARGEST = 1e15  # their squares are still representable in single precision
JSON_CHUNK = 0x4E4F534A


def check_mesh_name(path: str | Path) -> Path:
    """The path of a mesh to write.

    Raises:
        DataError: for a suffix that can't be written.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: can't write a mesh as '{path.suffix}'; the file name must end with {', '.join(SUFFIXES)}")
    return path


def save_mesh(mesh: trimesh.Trimesh, path: str | Path) -> Path:
    """Write a mesh and its vertex colours, if it has any; atomically.

    Args:
        mesh: face colours and textures are converted to vertex colours.
        path: ends with ``.ply``, ``.obj`` or ``.glb``, which chooses the format. Missing parent folders are created.

    Raises:
        DataError: for another suffix, a mesh without faces, or a place that can't be written.
    """
    path = check_mesh_name(path)
    if not len(mesh.faces):
        raise DataError(f"{path}: the mesh to write has {len(mesh.vertices)} vertices and no faces")
    data = mesh_bytes(mesh, path.suffix.lower())
    try:
        return write_atomically(path, data)
    except OSError as error:
        raise DataError(
            f"{path}: the mesh can't be written ({error.strerror}); choose another place or free some space") from None


def mesh_bytes(mesh: trimesh.Trimesh, suffix: str) -> bytes:
    """The content of a mesh's file in the format of one of :data:`SUFFIXES`; see :func:`save_mesh`."""
    writer = {".ply": _ply_bytes, ".obj": _obj_bytes, ".glb": _glb_bytes}[suffix]
    return writer(mesh.vertices, mesh.faces, vertex_colors(mesh))


def load_mesh(path: str | Path) -> trimesh.Trimesh:
    """Read a mesh as stored: vertices are neither merged nor reordered; several meshes in one file are concatenated.

    Raises:
        DataError: if the file is missing, damaged, without faces, or has vertices that are not finite or missing.
    """
    path = Path(path)
    with reading(path, "a mesh", f"it may be damaged, or not a mesh file ({', '.join(SUFFIXES)})"), safe_decoders():
        if path.suffix.lower() == ".glb":
            return _checked(_load_glb(path.read_bytes()), path)
        return _checked(trimesh.load_mesh(**source_of(path), resolver=_FolderResolver(str(path)), process=False), path)


def source_of(path: Path) -> dict:
    """trimesh's input: the file, or its content in UTF-8 if a text format has comments or names in another encoding.

    Older programs use the system's encoding; bytes that aren't UTF-8 are decoded as Latin-1, which always succeeds.
    """
    kind = path.suffix.lower()
    if kind not in (".obj", ".off", ".stl", ".ply"):
        return dict(file_obj=path)
    data = path.read_bytes()
    text = data.partition(b"end_header")[0] if kind == ".ply" else data
    binary = kind == ".stl" and len(data) == 84 + 50 * int.from_bytes(data[80:84], "little")
    recoded = text if binary else _recoded(text)
    if recoded is text:
        return dict(file_obj=path)
    return dict(file_obj=io.BytesIO(recoded + data[len(text):]), file_type=kind[1:])


def _recoded(text: bytes) -> bytes:
    try:
        text.decode()
        return text
    except UnicodeDecodeError:
        return text.decode("latin-1").encode()


class _FolderResolver(trimesh.resolvers.FilePathResolver):
    """Resolves a mesh's materials and textures to files in its own folder; refuses devices and pipes, which never end."""

    def get(self, name: str) -> bytes:
        """The content of a file that the mesh names."""
        path = Path(os.path.normpath(Path(self.parent) / name.strip()))
        if not (path.is_relative_to(self.parent) and path.is_file()):
            raise FileNotFoundError(f"{name}: no file in the mesh's folder")
        data = path.read_bytes()
        return _recoded(data) if path.suffix.lower() == ".mtl" else data


def _checked(mesh, path: Path) -> trimesh.Trimesh:
    if not isinstance(mesh, trimesh.Trimesh) or not len(mesh.faces):
        raise DataError(f"{path}: holds no triangles; a mesh with faces is needed")
    if mesh.vertices.shape[1:] != (3, ) or mesh.faces.shape[1:] != (3, ):
        raise DataError(f"{path}: vertices and faces must have three numbers each, they have {mesh.vertices.shape[1:]} and "
                        f"{mesh.faces.shape[1:]}")
    if not (np.abs(mesh.vertices) < LARGEST).all():
        raise DataError(f"{path}: has vertices whose coordinates are not finite numbers, or too large")
    if mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices):
        raise DataError(f"{path}: has faces with vertex indices out of range ({len(mesh.vertices)} vertices)")
    uv, colors = getattr(mesh.visual, "uv", None), vertex_colors(mesh)
    count = len(mesh.vertices)
    if colors is not None and colors.shape != (count, 4) or uv is not None and uv.shape != (count, 2):
        raise DataError(f"{path}: its colours or texture coordinates are not one for each of its {count} vertices")
    return mesh


def vertex_colors(mesh: trimesh.Trimesh) -> UInt8[np.ndarray, "v 4"] | None:
    """A mesh's sRGB colours at its vertices (RGBA), or None where it has none; textures are sampled at the vertices."""
    visual = mesh.visual
    if visual.kind == "texture":
        colors = visual.material.to_color(visual.uv)
        colors = visual.material.main_color if colors is None else colors  # one colour for all: the material has no image
        return np.array(np.broadcast_to(colors, (len(mesh.vertices), 4)), np.uint8)
    return np.asarray(visual.vertex_colors, np.uint8) if visual.kind in ("vertex", "face") else None


def srgb_to_linear(color: UInt8[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """8-bit sRGB to linear intensities in [0, 1] (IEC 61966-2-1)."""
    c = color / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055)**2.4)


def linear_to_srgb(color: Float[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """Linear intensities, clamped to [0, 1], to 8-bit sRGB (IEC 61966-2-1)."""
    c = color.clip(0, 1)
    return np.round(255 * np.where(c <= 0.0031308, c * 12.92, 1.055 * c**(1 / 2.4) - 0.055)).astype(np.uint8)


def _plain(vertices, faces, colors, **attributes) -> trimesh.Trimesh:
    return trimesh.Trimesh(vertices, faces, vertex_colors=colors, process=False, **attributes)


def _ply_bytes(vertices, faces, colors) -> bytes:
    return trimesh.exchange.ply.export_ply(_plain(vertices, faces, colors), vertex_normal=False)


def _obj_bytes(vertices, faces, colors) -> bytes:
    text = trimesh.exchange.obj.export_obj(_plain(vertices, faces, colors),
                                           include_texture=False,
                                           include_normals=False,
                                           header="deep3dmap")
    return text.encode()


def _glb_bytes(vertices, faces, colors) -> bytes:
    attributes = {} if colors is None else {RAW_COLOR: srgb_to_linear(colors[:, :3]).astype(np.float32)}
    mesh = _plain(vertices, faces, None, vertex_attributes=attributes)
    return trimesh.exchange.gltf.export_glb(mesh, include_normals=True, tree_postprocessor=_finish_tree)


def _finish_tree(tree: dict) -> None:
    """Use glTF's attribute name for colours, and add a matt material: the default is metallic and looks black."""
    tree["materials"] = [{"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0}, "doubleSided": True}]
    for primitive in _primitives(tree):
        primitive["material"] = 0
        _rename(primitive["attributes"], RAW_COLOR, "COLOR_0")


def _primitives(tree: dict) -> list[dict]:
    return [primitive for mesh in tree.get("meshes", []) for primitive in mesh["primitives"]]


def _rename(attributes: dict, old: str, new: str) -> None:
    if old in attributes:
        attributes[new] = attributes.pop(old)


def _load_glb(data: bytes) -> trimesh.Trimesh:
    """A GLB file's mesh. Its colours bypass trimesh, which would treat them as sRGB and reduce them to 8 bits."""
    magic, version, _, size, kind = struct.unpack_from("<4sIIII", data)
    if magic != b"glTF" or version != 2 or kind != JSON_CHUNK:
        raise ValueError("not a binary glTF 2.0 file")
    tree = json.loads(data[20:20 + size])
    for primitive in _primitives(tree):
        if "TEXCOORD_0" not in primitive["attributes"]:
            _rename(primitive["attributes"], "COLOR_0", RAW_COLOR)
            _drop_colorless_material(primitive, tree)
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + size:]
    header = struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), JSON_CHUNK)
    mesh = trimesh.load_mesh(io.BytesIO(header + text + rest), file_type="glb", process=False)
    if RAW_COLOR in mesh.vertex_attributes:
        mesh.visual = trimesh.visual.ColorVisuals(mesh, vertex_colors=_decoded(mesh.vertex_attributes.pop(RAW_COLOR)))
    return mesh


def _drop_colorless_material(primitive: dict, tree: dict) -> None:
    """Remove a material without colour; trimesh would treat it as a texture."""
    if "material" in primitive:
        surface = tree["materials"][primitive["material"]].get("pbrMetallicRoughness", {})
        if "baseColorFactor" not in surface:
            del primitive["material"]


def _decoded(raw: Shaped[np.ndarray, "v c"]) -> UInt8[np.ndarray, "v c"]:
    """8-bit sRGB of a COLOR_0 accessor: linear floats, or 8- or 16-bit integers that represent 0 to 1; alpha stays linear."""
    linear = raw / np.iinfo(raw.dtype).max if raw.dtype.kind == "u" else raw.astype(np.float64)
    color = linear_to_srgb(linear)
    color[:, 3:] = np.round(linear[:, 3:].clip(0, 1) * 255)
    return color

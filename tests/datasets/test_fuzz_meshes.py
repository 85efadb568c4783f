"""Whatever is damaged in a file of a mesh, it is read as a sound mesh or refused by one DataError."""

import json
import struct
from functools import cache

import numpy as np
import pytest
import trimesh
from hypothesis import given, note
from hypothesis import strategies as st
from PIL import Image

from deep3dmap.io.mesh_files import load_mesh, save_mesh, vertex_colors
from tests.datasets import damage
from tests.datasets.fuzzing import fuzz, outcome, write

KINDS = ("ply", "obj", "glb", "ascii.ply", "textured.glb", "textured.obj", "stl", "off")
ANY_FILE = (damage.cut_short, damage.flip_bytes, damage.insert_bytes, damage.hostile_word, damage.delete,
            damage.become_something_else)


@cache
def sound(kind: str) -> dict[str, bytes]:
    """The files of a sound mesh by name; the first is the mesh's own."""
    ball = trimesh.creation.icosphere(1)
    suffix = kind.split(".")[-1]
    if kind.startswith("textured"):
        image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
        ball.visual = trimesh.visual.TextureVisuals(uv=ball.vertices[:, :2] / 2 + 0.5, image=image)
        made = trimesh.exchange.export.export_mesh(ball, None, "glb") if suffix == "glb" else None
        if made is None:
            text, extra = trimesh.exchange.obj.export_obj(ball, return_texture=True)
            return {"mesh.obj": text.encode(), **extra}
        return {"mesh.glb": made}
    ball.visual.vertex_colors = np.arange(42 * 4, dtype=np.uint8).reshape(42, 4)
    if kind == "ascii.ply":
        return {"mesh.ply": trimesh.exchange.ply.export_ply(ball, encoding="ascii")}
    made = trimesh.exchange.export.export_mesh(ball, None, suffix)
    return {f"mesh.{suffix}": made.encode() if isinstance(made, str) else made}


def change_text(draw, folder) -> None:
    """Change a word or a line as if the file were text, which a part of most is."""
    file = draw(st.sampled_from(sorted(folder.iterdir())))
    words = file.read_bytes().split(b" ")
    i = draw(st.integers(0, len(words) - 1))
    words[i:i + 1] = draw(st.sampled_from([[], [words[i]] * 2, *([w.encode()] for w in damage.WORDS)]))
    file.write_bytes(b" ".join(words))


def change_tree(draw, folder) -> None:
    """Change a value in the JSON of a GLB, with lengths that stay right."""
    file = next(iter(folder.iterdir()))
    data = file.read_bytes()
    size, = struct.unpack_from("<I", data, 12)
    tree = json.loads(data[20:20 + size])
    damage.change_document(draw, tree)
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + size:]
    file.write_bytes(struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A) + text + rest)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@fuzz(30)
def test_damaged_meshes_are_read_or_refused(place, kind, data):
    folder = write(sound(kind), place())
    mesh_file = folder / next(iter(sound(kind)))
    ways = (*ANY_FILE, change_text, *[change_tree] * 3 * kind.endswith("glb"))
    way = data.draw(st.sampled_from(ways))
    note(way.__name__)
    way(data.draw, folder)
    mesh = outcome(lambda: load_mesh(mesh_file), folder)
    if isinstance(mesh, trimesh.Trimesh):
        assert len(mesh.faces) and (np.abs(mesh.vertices) < 1e16).all()
        assert 0 <= mesh.faces.min() and mesh.faces.max() < len(mesh.vertices)
        colors = vertex_colors(mesh)
        assert colors is None or colors.shape == (len(mesh.vertices), 4)
        save_mesh(mesh, folder / "again" / "mesh.ply")

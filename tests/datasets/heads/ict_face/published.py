"""Made files in the layout in which ICT-FaceKit publishes its model: a few polygons, two identity modes, two expressions.

Nine vertices: 0 to 3 are the face, 4 and 5 gums (left out), 6 to 8 an eyeball.
"""

import json

import numpy as np

from deep3dmap.datasets.heads.ict_face.packing import Layout, Part

LAYOUT = Layout(vertices=9,
                parts=(Part("face", (0, 4), (0, 1)), Part("eyeball_left", (6, 9), (2, 3))),
                identities=2,
                expressions=("jawOpen", "eyeBlink_L"))
VERTICES = np.arange(27.0).reshape(9, 3) / 4
MOVED = {"identity000": 0.5, "identity001": -0.25, "jawOpen": 0.125, "eyeBlink_L": 1.0}
LICENSE = b"MIT License\n"
LANDMARKS = [3, 7, *[0] * 66]


def obj(vertices=VERTICES, faces=("1/1 2/2 3/3 4/4", "5/5 6/6 4/4", "7/9 8/8 9/7"), uv=9) -> bytes:
    """An OBJ file as the project writes them: a comment, vertices, texture coordinates, materials, polygons."""
    lines = ["# licence", *("v {} {} {}".format(*v) for v in vertices), *(f"vt 0.{k} 0.5" for k in range(uv)), "usemtl M_Face"]
    return "\n".join([*lines, *(f"f {face}" for face in faces)]).encode() + b"\n"


def published_files() -> dict[str, bytes]:
    """All files by their paths in the project."""
    indices = dict(expressions=list(LAYOUT.expressions), idx_to_landmark_verts=LANDMARKS, idx_to_rigid_verts=[8, 4, 1])
    files = {"LICENSE": LICENSE, "FaceXModel/vertex_indices.json": json.dumps(indices).encode()}
    files["FaceXModel/generic_neutral_mesh.obj"] = obj()
    return files | {f"FaceXModel/{name}.obj": obj(VERTICES + [0, by, 0]) for name, by in MOVED.items()}

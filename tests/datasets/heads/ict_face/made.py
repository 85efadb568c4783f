"""A made head model in the layout of the real one: a ball with a mouth, two eyes and an open neck, and three modes."""

import numpy as np
import trimesh

PARTS = ("face", "head_neck", "mouth_socket", "eye_socket_left", "eye_socket_right", "eyeball_left", "eyeball_right")
RADIUS = 10.0
MOUTH, EYES = (0.0, -0.35, 1.0), ((0.35, 0.3, 1.0), (-0.35, 0.3, 1.0))
EXPRESSIONS = ("eyeBlink_L", "eyeLookUp_L", "jawOpen", "mouthClose", "mouthSmile_L")
MODES = 3


def made_arrays() -> dict[str, np.ndarray]:
    """The model's arrays."""
    ball = trimesh.creation.icosphere(subdivisions=3, radius=RADIUS)
    faces = np.asarray(ball.faces)
    part = _parts_of(ball.triangles_center / RADIUS)
    faces, part = faces[part >= 0], part[part >= 0]
    vertices = _pushed_in(np.asarray(ball.vertices), faces, part)
    for number, eye in ((5, EYES[0]), (6, EYES[1])):
        for radius in (1.0, 2.0):  # an iris within, then the ball around it
            piece = trimesh.creation.icosphere(subdivisions=1, radius=radius)
            faces = np.concatenate([faces, piece.faces + len(vertices)])
            part = np.concatenate([part, np.full(len(piece.faces), number)])
            vertices = np.concatenate([vertices, piece.vertices + 8.5 * np.array(eye) / np.linalg.norm(eye)])
    uv = np.stack([vertices[:, 0], vertices[:, 1]], 1) / 25 + 0.5
    landmarks = np.argsort(-vertices[:, 2])[:68]
    return dict(mean=vertices.astype(np.float32), identity=_modes(vertices), expression=_expressions(vertices),
                expression_names=np.array(EXPRESSIONS), triangles=faces.astype(np.int32), triangle_part=part.astype(np.int8),
                uv=uv.astype(np.float32), uv_triangles=faces.astype(np.int32), landmarks68=landmarks.astype(np.int32),
                part_names=np.array(PARTS))  # yapf: disable


def _parts_of(centres: np.ndarray) -> np.ndarray:
    """The part of each triangle; -1 below the neck."""
    directions = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    part = np.where(directions[:, 2] > 0, 0, 1)
    for number, place in ((2, MOUTH), (3, EYES[0]), (4, EYES[1])):
        part[directions @ (np.array(place) / np.linalg.norm(place)) > np.cos(0.2)] = number
    return np.where(directions[:, 1] < -0.8, -1, part)


def _pushed_in(vertices: np.ndarray, faces: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Vertices that only mouth or eye sockets use, drawn inward."""
    vertices = vertices.copy()
    outer = np.unique(faces[part < 2])
    for number in (2, 3, 4):
        inner = np.setdiff1d(np.unique(faces[part == number]), outer)
        vertices[inner] *= 0.7
    return vertices


def _modes(vertices: np.ndarray) -> np.ndarray:
    """Size; width; and how far the front stands out."""
    zero = np.zeros(len(vertices))
    front = np.stack([zero, zero, 0.03 * np.maximum(vertices[:, 2], 0)], 1)
    return np.stack([0.05 * vertices, vertices * (0.04, 0, 0), front]).astype(np.float16)


def _expressions(vertices: np.ndarray) -> np.ndarray:
    """Each moves one corner of the head."""
    corners = np.array([[1, 1, 1], [-1, 1, 1], [1, -1, 1], [-1, -1, 1], [1, 1, -1]])
    near = np.exp(-np.linalg.norm(vertices / RADIUS - corners[:, None] / 3**0.5, axis=-1)**2 / 0.1)
    return (near[..., None] * corners[:, None] * 0.5).astype(np.float16)

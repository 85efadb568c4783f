"""A small synthetic capture of a lumpy coloured ball, and small models."""

import numpy as np
import pytest
import trimesh


@pytest.fixture(scope="session")
def ball_file(tmp_path_factory):
    """A ball with bumps and colours, as a mesh file."""
    ball = trimesh.creation.icosphere(subdivisions=4)
    x = ball.vertices.copy()
    ball.vertices = x * (1 + 0.25 * np.sin(3 * x[:, [0]]) * x[:, [1]] + 0.1 * np.cos(4 * x[:, [2]])) * [1, 1.3, 0.8]
    ball.visual.vertex_colors = np.column_stack([127 + 127 * np.sin(4 * x), np.full(len(x), 255)]).astype(np.uint8)
    path = tmp_path_factory.mktemp("ball") / "ball.ply"
    ball.export(path)
    return path

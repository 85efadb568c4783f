"""The smooth coordinates of a mesh: round trip, gradients, and the effect of a step."""

import numpy as np
import torch
import trimesh

from deep3dmap.geometry.smoothing import SmoothCoordinates


def sphere():
    mesh = trimesh.creation.icosphere(2)
    return torch.tensor(np.asarray(mesh.vertices)), torch.tensor(np.asarray(mesh.faces))


def test_positions_of_encoded_positions_are_the_same():
    vertices, faces = sphere()
    coordinates = SmoothCoordinates(faces, len(vertices), 19.0)
    torch.testing.assert_close(coordinates.positions(coordinates.encode(vertices)), vertices)


def test_without_strength_coordinates_are_positions():
    vertices, faces = sphere()
    torch.testing.assert_close(SmoothCoordinates(faces, len(vertices), 0.0).encode(vertices), vertices)


def test_gradients_are_those_of_the_linear_system():
    vertices, faces = sphere()
    coordinates = SmoothCoordinates(faces, len(vertices), 3.0)
    assert torch.autograd.gradcheck(coordinates.positions, coordinates.encode(vertices).requires_grad_())


def test_moving_one_unknown_moves_its_neighbourhood_less_with_distance():
    vertices, faces = sphere()
    coordinates = SmoothCoordinates(faces, len(vertices), 5.0)
    unknowns = coordinates.encode(vertices)
    unknowns[0] += 1.0
    moved = (coordinates.positions(unknowns) - vertices).norm(dim=-1)
    order = (vertices - vertices[0]).norm(dim=-1).argsort()
    assert moved[order[0]] > moved[order[1:7]].max() > moved[order[20:]].max() > 0

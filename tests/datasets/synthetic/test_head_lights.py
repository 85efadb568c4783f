import numpy as np
import pytest
import trimesh

from deep3dmap.datasets.synthetic.head_lights import LIGHTS, irradiance, open_directions, radiance
from deep3dmap.geometry.visible_surface import sphere_points

DIRECTIONS = sphere_points(120)


def test_all_that_faces_outward_is_open_on_a_ball():
    ball = trimesh.creation.icosphere(subdivisions=2)
    opened = open_directions(ball, DIRECTIONS)
    cosine = ball.vertices @ DIRECTIONS.T
    assert opened[cosine > 0.2].all() and not opened[cosine < 0].any()


def test_nothing_is_open_inside_another_surface():
    ball, around = trimesh.creation.icosphere(subdivisions=2), trimesh.creation.icosphere(subdivisions=2, radius=3)
    opened = open_directions(trimesh.util.concatenate([ball, around]), DIRECTIONS)
    assert not opened[:len(ball.vertices)].any() and opened[len(ball.vertices):].any(1).all()


def test_a_disc_above_shades_what_lies_below():
    ball = trimesh.creation.icosphere(subdivisions=2)
    disc = trimesh.creation.cylinder(1.5, 0.1).apply_transform(trimesh.geometry.align_vectors([0, 0, 1], [0, 1, 0]))
    both = trimesh.util.concatenate([ball, disc.apply_translation([0, 1.4, 0])])
    top = int(ball.vertices[:, 1].argmax())
    free, shaded = (irradiance(m, open_directions(m, DIRECTIONS), DIRECTIONS, "overcast", 0.0)[top] for m in (ball, both))
    assert (shaded < 0.6 * free).all()


@pytest.mark.parametrize("name", LIGHTS)
def test_lights_turn_with_their_heading(name):
    quarter = DIRECTIONS[:, [2, 1, 0]] * (1, 1, -1)  # a quarter turn from z to x
    assert np.allclose(radiance(name, np.pi / 2, quarter), radiance(name, 0.0, DIRECTIONS))


@pytest.mark.parametrize("name", LIGHTS)
def test_what_faces_as_the_face_does_is_about_as_bright_as_its_colour(name):
    ball = trimesh.creation.icosphere(subdivisions=2)
    light = irradiance(ball, open_directions(ball, DIRECTIONS), DIRECTIONS, name, 0.0).mean(1)
    assert 0.5 < light[int(ball.vertices[:, 2].argmax())] < 1.3
    assert light.max() < 1.7

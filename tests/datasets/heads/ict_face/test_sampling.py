import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from deep3dmap.datasets.heads.ict_face import ICTFaceModel
from deep3dmap.datasets.heads.ict_face.heads import HeadMaker
from deep3dmap.datasets.heads.ict_face.sampling import sample_head, union_distances
from deep3dmap.errors import DataError
from deep3dmap.geometry.closed_meshes import Mesh
from deep3dmap.geometry.sdf_sampling import Plan
from tests.datasets.heads.ict_face.made import made_arrays

PLAN = Plan(4000)


def ball(centre, radius) -> Mesh:
    mesh = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    return Mesh(np.asarray(mesh.vertices) + centre, np.asarray(mesh.faces, np.int64))


def test_distances_to_overlapping_balls_are_those_to_their_union():
    points = np.random.default_rng(0).uniform(-2, 2, (5000, 3))
    found = union_distances([ball([-0.4, 0, 0], 1.0), ball([0.5, 0, 0], 0.8)], points)
    expected = np.minimum(*(np.linalg.norm(points - c, axis=1) - r for c, r in (([-0.4, 0, 0], 1.0), ([0.5, 0, 0], 0.8))))
    np.testing.assert_allclose(found, expected, atol=0.004)  # the flat triangles' distance from the round ball


def test_a_hidden_surface_is_no_place_of_small_distances():
    inner = ball([0, 0, 0], 0.5)
    assert union_distances([ball([0, 0, 0], 1.0), inner], inner.vertices).max() < -0.49


@pytest.mark.parametrize("options", [dict(), dict(eyeballs=True, mouth=False)])
def test_signs_are_those_of_ray_casting_against_every_closed_piece(model, options):
    maker = HeadMaker.build(model, **options)
    sampling = sample_head(maker, "train", 0, PLAN)
    pieces = maker.mesh("train", 0).split(only_watertight=True)
    assert len(pieces) == (3 if options else 1)
    inside = np.any([piece.contains(maker.frame.undo(sampling.points)) for piece in pieces], 0)
    assert np.mean((sampling.sdf < 0) == inside) > 0.999
    assert 0.1 < inside.mean() < 0.9


def test_distances_are_those_to_the_nearest_of_many_points_of_the_surface(model):
    maker = HeadMaker.build(model)
    sampling = sample_head(maker, "train", 0, PLAN)
    dense = maker.frame.apply(np.asarray(trimesh.sample.sample_surface(maker.mesh("train", 0), 200_000, seed=1)[0]))
    nearest = cKDTree(dense).query(sampling.points)[0]
    assert (np.abs(sampling.sdf) <= nearest + 1e-6).all()
    assert np.quantile(nearest - np.abs(sampling.sdf), 0.999) < 0.01  # their spacing


def test_points_of_the_surface_lie_on_it_but_not_on_what_another_piece_hides(model):
    maker = HeadMaker.build(model, eyeballs=True)
    points = maker.frame.undo(sample_head(maker, "train", 0, PLAN, surface_count=3000).surface)
    pieces = maker.mesh("train", 0).split(only_watertight=True)
    dense = [np.asarray(trimesh.sample.sample_surface(piece, 100_000, seed=1)[0]) for piece in pieces]
    owner = np.argmin([cKDTree(d).query(points)[0] for d in dense], 0)
    assert 2000 < len(points) < 3000 and set(owner) == {0, 1, 2}
    for k, piece in enumerate(pieces):
        inner = piece.copy()
        inner.vertices = piece.centroid + 0.97 * (piece.vertices - piece.centroid)
        assert not inner.contains(points[owner != k]).any()


def test_samples_of_a_head_without_its_neck_are_missing_there_and_exact_elsewhere(real_model):
    whole, cut = HeadMaker.build(real_model), HeadMaker.build(real_model, missing=["neck"])
    all_of_it, rest = (sample_head(maker, "train", 0, PLAN) for maker in (whole, cut))
    rows = {tuple(point): value for point, value in zip(all_of_it.points, all_of_it.sdf)}
    assert all(rows[tuple(point)] == value for point, value in zip(rest.points, rest.sdf))
    assert 0.05 < rest.figures["dropped"] < 0.5
    lowest = cut.mesh("train", 0).bounds[0, 1]
    left = cut.frame.undo(rest.points)
    near = left[np.abs(rest.sdf) < 0.2 * cut.frame.scale]
    assert near[:, 1].min() > lowest - 0.5
    assert cut.frame.undo(rest.surface)[:, 1].min() > lowest - 1e-3


def test_the_same_head_has_the_same_samples(model):
    one, two = (sample_head(HeadMaker.build(model), "train", 4, PLAN) for _ in range(2))
    np.testing.assert_array_equal(one.points, two.points)
    np.testing.assert_array_equal(one.sdf, two.sdf)


def test_a_head_larger_than_the_common_sphere_is_refused_by_its_name(tmp_path):
    np.savez(tmp_path / "model.npz", **made_arrays())
    model = ICTFaceModel.load(tmp_path / "model.npz")
    maker = HeadMaker.build(model)
    model.identity[0] *= 100
    largest = max(range(10), key=lambda index: maker.identity("train", index)[0])
    with pytest.raises(DataError, match=f"head {largest} of 'train' reaches to .* common unit sphere"):
        sample_head(maker, "train", largest, PLAN)


def test_real_heads_have_the_sign_of_ray_casting(real_model):
    maker = HeadMaker.build(real_model, expressions=1.0)
    sampling = sample_head(maker, "train", 1, PLAN)
    assert np.mean((sampling.sdf < 0) == maker.mesh("train", 1).contains(maker.frame.undo(sampling.points))) > 0.998

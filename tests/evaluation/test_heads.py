"""The protocol of H3DS: against its own code's results, and on heads whose errors are known."""

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from deep3dmap.errors import ConfigError, DataError
from deep3dmap.evaluation.heads import TrueHead, align_by_landmarks, face_sphere, head_axes, head_distances, head_metrics, icp
from tests.datasets.h3ds_scene import egg_head, landmark_vertices, regions


@pytest.fixture
def golden(goldens):
    return goldens("h3dnet/evaluate_scene")


def named(golden, key: str) -> dict[str, int]:
    return {str(name): int(vertex) for name, vertex in zip(golden["landmark_names"], golden[key])}


def true_of(golden) -> TrueHead:
    mesh = trimesh.Trimesh(golden["true_vertices"], golden["true_faces"], process=False)
    parts = {name: golden[name].astype(int) for name in ("face", "face_sphere")}
    return TrueHead.of(mesh, named(golden, "true_landmarks"), parts)


def predicted_of(golden, which: str) -> tuple[trimesh.Trimesh, dict[str, int] | None]:
    mesh = trimesh.Trimesh(golden[f"{which}_vertices"].astype(float), golden["predicted_faces"], process=False)
    return mesh, named(golden, "predicted_landmarks") if which == "far" else None


@pytest.fixture(scope="module")
def truth() -> TrueHead:
    mesh = egg_head()
    return TrueHead.of(mesh, landmark_vertices(mesh), regions(mesh))


@pytest.mark.parametrize("which", ["near", "far"])
@pytest.mark.parametrize("region", [None, "face_sphere"])
def test_distances_are_those_of_the_data_sets_own_code(golden, which, region):
    predicted, landmarks = predicted_of(golden, which)
    measured = head_distances(predicted, true_of(golden), region=region, landmarks=landmarks)
    expected = golden[f"{which}_{region or 'head'}_distances"]
    np.testing.assert_allclose(measured.true_to_predicted, expected, rtol=0, atol=1e-9)
    if region is None:
        np.testing.assert_allclose(measured.predicted_to_true, golden[f"{which}_head_reverse"], rtol=0, atol=1e-9)


def test_the_reported_figures_are_the_means_of_the_data_sets_own_distances(golden):
    predicted, landmarks = predicted_of(golden, "far")
    figures = head_metrics(predicted, true_of(golden), landmarks=landmarks)
    assert figures["face_vertices_mean"] == pytest.approx(golden["far_face_sphere_distances"].mean(), abs=1e-9)
    assert figures["head_vertices_mean"] == pytest.approx(golden["far_head_distances"].mean(), abs=1e-9)
    assert figures["head_vertices_reverse_median"] == pytest.approx(np.median(golden["far_head_reverse"]), abs=1e-9)


def test_the_matrix_takes_the_prediction_to_where_it_was_aligned(golden):
    predicted, landmarks = predicted_of(golden, "far")
    measured = head_distances(predicted, true_of(golden), landmarks=landmarks)
    np.testing.assert_allclose(measured.predicted.vertices, golden["far_head_aligned"], rtol=0, atol=1e-9)
    moved = trimesh.transform_points(predicted.vertices, measured.matrix)
    np.testing.assert_allclose(moved, golden["far_head_aligned"], rtol=0, atol=1e-9)


def test_icp_gives_what_trimeshs_own_gives(golden):
    from scipy.spatial import cKDTree
    source, target = golden["true_vertices"][golden["face"]], golden["near_vertices"].astype(float)
    tree = cKDTree(target)

    def closest(points):
        distance, index = tree.query(points)
        return distance, target[index]

    np.testing.assert_allclose(icp(source, closest), trimesh.registration.icp(source, target, reflection=False)[0], atol=1e-9)


def test_the_distance_to_the_surface_does_not_depend_on_the_tessellation(truth):
    moved = trimesh.Trimesh(truth.mesh.vertices + [0.0, 0.0, 3.0], truth.mesh.faces, process=False)
    finer = moved.subdivide()  # flat: the same surface from four times the triangles
    coarse, fine = (head_metrics(mesh, truth) for mesh in (moved, finer))
    assert fine["head_surface_mean"] == pytest.approx(coarse["head_surface_mean"], abs=1e-3)
    assert abs(fine["head_vertices_mean"] - coarse["head_vertices_mean"]) > 0.01


def test_a_perfect_head_in_another_frame_has_no_error_once_its_landmarks_are_given(truth):
    turn = Rotation.from_rotvec([0.4, -1.0, 0.3]).as_matrix()
    mesh = trimesh.Trimesh(0.01 * truth.mesh.vertices @ turn.T + [5.0, 6.0, -7.0], truth.mesh.faces, process=False)
    positions = {name: 0.01 * turn @ point + [5.0, 6.0, -7.0] for name, point in truth.landmarks.items()}
    for landmarks in (landmark_vertices(truth.mesh), positions):  # vertices, or positions
        assert max(head_metrics(mesh, truth, landmarks=landmarks).values()) < 1e-6


def test_a_shell_of_constant_thickness_is_as_far_as_it_is_thick():
    ball = trimesh.creation.icosphere(4, radius=90.0)
    truth = TrueHead.of(ball, dict(nose_tip=np.array([0.0, 0.0, 90.0])), dict(face=np.arange(len(ball.vertices))))
    larger = trimesh.creation.icosphere(5, radius=92.0)
    rigid = head_distances(larger, truth, to="surface", with_scale=False)
    np.testing.assert_allclose(rigid.true_to_predicted, 2.0, atol=0.1)
    scaled = head_distances(larger, truth, to="surface")
    assert scaled.true_to_predicted.mean() < 0.05  # H3DS's alignment scales the error away


def test_errors_outside_the_face_do_not_touch_the_faces_figure(truth):
    bump = truth.mesh.vertices.copy()
    bump[bump[:, 2] < -20] *= [1, 1, 1.4]
    figures = head_metrics(trimesh.Trimesh(bump, truth.mesh.faces, process=False), truth)
    assert figures["face_vertices_mean"] < 1e-6 and figures["head_vertices_mean"] > 1


def test_surplus_of_the_prediction_counts_only_backwards(truth):
    ball = trimesh.creation.icosphere(2, radius=20).apply_translation([0, 300, 0])
    both = trimesh.util.concatenate([trimesh.Trimesh(truth.mesh.vertices, truth.mesh.faces, process=False), ball])
    figures = head_metrics(both, truth, to=["vertices"])
    assert figures["head_vertices_mean"] < 1e-9 and figures["head_vertices_reverse_mean"] > 5


def test_without_regions_the_face_sphere_serves_for_both_alignments(truth):
    plain = TrueHead(truth.mesh, truth.landmarks)
    assert np.array_equal(plain.region("face_sphere"), truth.regions["face_sphere"])
    mesh = trimesh.Trimesh(truth.mesh.vertices * [1.02, 1, 1], truth.mesh.faces, process=False)
    face, head = (head_distances(mesh, plain, region=region) for region in ("face_sphere", None))
    np.testing.assert_allclose(face.matrix, head.matrix)


def test_the_face_sphere_holds_the_vertices_within_its_radius():
    line = trimesh.Trimesh(np.array([[0.0, 0, 0], [94.9, 0, 0], [95.1, 0, 0]]), [[0, 1, 2]], process=False)
    assert face_sphere(line, np.zeros(3)).tolist() == [0, 1] and face_sphere(line, np.zeros(3), 10.0).tolist() == [0]


def test_a_head_in_metres_gives_the_same_millimetres(truth):
    mesh = trimesh.Trimesh(truth.mesh.vertices * [1.02, 1, 1], truth.mesh.faces, process=False)
    small, landmarks = (truth.mesh.vertices / 1000, {name: point / 1000 for name, point in truth.landmarks.items()})
    metres = TrueHead.of(trimesh.Trimesh(small, truth.mesh.faces, process=False), landmarks, truth.regions, 0.001)
    expected, figures = (head_metrics(mesh, head, to=["vertices"]) for head in (truth, metres))
    assert figures == pytest.approx(expected, abs=1e-6)


def test_a_heads_directions_come_from_its_landmarks():
    turn = Rotation.from_rotvec([0.4, -1.0, 0.3]).as_matrix()
    mesh = egg_head()
    points = {name: mesh.vertices[vertex] for name, vertex in landmark_vertices(mesh).items()}
    axes, turned = head_axes(points), head_axes({name: turn @ point for name, point in points.items()})
    np.testing.assert_allclose(turned, axes @ turn.T, atol=1e-9)
    assert (np.diag(axes) > 0.98).all()


SPECK = trimesh.creation.icosphere(0, radius=1e-4).apply_translation([1e5, 0, 0])


@pytest.mark.parametrize("call, message", [
    (lambda t: head_distances(t.mesh, t, region="nose"), "no region 'nose'; known are: face, face_sphere"),
    (lambda t: head_distances(t.mesh, t, landmarks={"nose_tip": 10**6}), "'nose_tip' is vertex 1000000, .*has 2562 vertices"),
    (lambda t: head_distances(t.mesh, t, landmarks={"nose_tip": [1.0, 2.0]}), "must be a vertex index or three coordinates"),
    (lambda t: head_distances(t.mesh, t, landmarks={"nose_tip": 0}), "or more .* landmarks; the prediction has nose_tip"),
    (lambda t: head_distances(t.mesh, t, to="vertexes"), "did you mean 'vertices'"),
    (lambda t: head_distances(trimesh.Trimesh(t.mesh.vertices, process=False), t), "2562 vertices and 0 faces"),
    (lambda t: head_distances(SPECK, t), "can't be aligned.*landmarks"),
    (lambda t: face_sphere(t.mesh, np.array([0.0, 0.0, 1e4])), "is the unit right"),
    (lambda t: head_metrics(t.mesh, TrueHead(t.mesh, dict(left_eye=np.zeros(3)))), "no landmark 'nose_tip'.*it has left_eye"),
    (lambda t: head_axes(dict(nose_tip=np.zeros(3))), "three landmarks or more, got nose_tip"),
])  # yapf: disable
def test_what_can_not_be_measured_is_reported(truth, call, message):
    with pytest.raises((ConfigError, DataError), match=message):
        call(truth)


def test_alignment_by_landmarks_does_not_mirror():
    points = {str(k): point for k, point in enumerate(np.random.default_rng(0).normal(size=(6, 3)))}
    mirrored = {name: point * [-1, 1, 1] for name, point in points.items()}
    assert np.linalg.det(align_by_landmarks(points, mirrored)[:3, :3]) > 0


def test_tensors_are_landmarks_too(truth):
    head = TrueHead.of(truth.mesh, dict(nose_tip=torch.tensor([1.0, 2.0, 3.0])))
    assert head.nose_tip.tolist() == [1.0, 2.0, 3.0]

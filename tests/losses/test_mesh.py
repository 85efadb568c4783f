"""Losses of meshes and of points on them, against the fixture."""

from functools import partial

import pytest
import torch
import trimesh
from torch.nn.utils.rnn import pad_sequence

from deep3dmap.losses import EdgeLengthLoss, LaplacianLoss, NormalConsistencyLoss, PointMeshLoss
from deep3dmap.losses.mesh import edge_loss, laplacian_loss, normal_consistency, point_mesh_loss
from deep3dmap.structures.meshes import Meshes
from tests.goldens import assert_near, cases, read, tensor

NAME = "render/mesh_losses"

#: Which faces the fixture counts as their edges only, unless a case's name says ``minarea0``.
LEAST_AREA = 5e-3

#: Cases of the fixture as registered parts; its target length is not recorded.
LOSSES = {
    "point_face": PointMeshLoss(least_area=LEAST_AREA),
    "point_face_minarea0": PointMeshLoss(),
    "point_edge": PointMeshLoss(to="edges"),
    "laplacian_uniform": LaplacianLoss(),
    "laplacian_cot": LaplacianLoss(method="cotangent"),
    "laplacian_cotcurv": LaplacianLoss(method="curvature"),
    "normal_consistency": NormalConsistencyLoss(),
    "edge": EdgeLengthLoss(),
    "edge_target": EdgeLengthLoss(target=0.2),
}


def leaves(golden, kind):
    names = cases(NAME, f"({kind}\\d+)")
    return [tensor(golden[name]).requires_grad_() for name in names]


@pytest.mark.parametrize("case", cases(NAME, "(.+)_loss"))
def test_losses_and_their_gradients_match_the_references(case):
    golden = read(NAME)
    vertices, points = leaves(golden, "verts"), leaves(golden, "points")
    meshes = Meshes.pack(vertices, [tensor(golden[name]).long() for name in cases(NAME, "(faces\\d+)")])
    inputs = dict(points=pad_sequence(points, batch_first=True), point_counts=[len(cloud) for cloud in points])
    loss = LOSSES[case](dict(meshes=meshes), inputs)
    torch.testing.assert_close(loss, tensor(golden[f"{case}_loss"]), atol=0, rtol=1e-5)
    loss.backward()
    for name, leaf in [(f"verts{i}", x) for i, x in enumerate(vertices)] + [(f"points{i}", x) for i, x in enumerate(points)]:
        if f"{case}_grad_{name}" in golden:
            assert_near(leaf.grad, tensor(golden[f"{case}_grad_{name}"]), 2e-4, f"{case} {name}")


def ball():
    mesh = trimesh.creation.icosphere(1)
    return torch.tensor(mesh.vertices), torch.tensor(mesh.faces)


TERMS = [
    edge_loss,
    partial(edge_loss, target=0.3),
    partial(laplacian_loss, method="uniform"),
    normal_consistency,
    partial(point_mesh_loss, points=torch.randn(1, 9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))),
]


@pytest.mark.parametrize("term", TERMS)
def test_gradients_are_those_of_finite_differences(term):
    vertices, faces = ball()
    rough = vertices + 0.1 * torch.randn(vertices.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.autograd.gradcheck(lambda v: term(Meshes.pack([v], [faces])), (rough.requires_grad_(), ), atol=1e-4)


@pytest.mark.parametrize("term", [*TERMS[:4], partial(laplacian_loss, method="cotangent"),
                                  partial(laplacian_loss, method="curvature")])  # yapf: disable
def test_a_batch_s_loss_is_the_mean_of_its_meshes(term):
    ball_, box = ball(), trimesh.creation.box((1, 2, 3))
    other = torch.tensor(box.vertices), torch.tensor(box.faces)
    both = Meshes.pack(*zip(ball_, other))
    single = [term(Meshes.pack([v], [f])) for v, f in (ball_, other)]
    torch.testing.assert_close(term(both), sum(single) / 2)


@pytest.mark.parametrize("term", [*TERMS[:4], partial(laplacian_loss, method="cotangent"),
                                  partial(laplacian_loss, method="curvature")])  # yapf: disable
def test_meshes_without_faces_or_area_cost_nothing_infinite(term):
    vertices = torch.zeros(4, 3, requires_grad=True)
    faces = torch.tensor([[0, 1, 2], [2, 1, 3]])
    loss = term(Meshes.pack([vertices, vertices], [faces, faces[:0]]))
    assert loss.isfinite()
    assert torch.autograd.grad(loss, vertices)[0].isfinite().all()


def test_curvature_offsets_are_a_third_of_the_mean_curvature():
    mesh = trimesh.creation.icosphere(4, radius=2.0)
    assert float(laplacian_loss(Meshes.from_trimesh(mesh), "curvature")) == pytest.approx(1 / (2 * 3), rel=0.02)


def test_a_plane_is_consistent_and_a_fold_is_not():
    flat = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, -1, 0]])
    faces = torch.tensor([[0, 1, 2], [1, 0, 3]])
    assert float(normal_consistency(Meshes.pack([flat], [faces]))) == pytest.approx(0)
    folded = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 1e-9]])
    assert float(normal_consistency(Meshes.pack([folded], [faces]))) == pytest.approx(2)


def test_wrong_arguments_are_named():
    meshes = Meshes.pack(*zip(ball()))
    with pytest.raises(ValueError, match="target"):
        edge_loss(meshes, -1.0)
    with pytest.raises(ValueError, match="a cloud for each of 1 meshes, got 2"):
        point_mesh_loss(meshes, torch.zeros(2, 3, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match="points has"):
        point_mesh_loss(meshes, torch.full((1, 3, 3), torch.nan, dtype=torch.float64))
    for call in partial(laplacian_loss, meshes, "cubic"), partial(point_mesh_loss, meshes, torch.zeros(1, 3, 3), to="corners"):
        with pytest.raises((ValueError, TypeError)):
            call()

"""The Chamfer distance and its variants, against the fixture."""

import pytest
import torch
import trimesh

from deep3dmap.losses import ChamferLoss
from deep3dmap.losses.chamfer import chamfer, discrepancy
from deep3dmap.structures.meshes import Meshes
from tests.goldens import assert_near, cases, read, tensor

NAME = "render/points"
CASES = cases(NAME, "cham_(.+)_loss")


def options_of(golden, case):
    """What a case's name says of its settings."""
    options = {}
    if "lengths" in case:
        options |= {f"{side}_counts": tensor(golden[f"cham_{side}_lengths"]).long() for side in "xy"}
    if "normals" in case:
        options |= {f"{side}_normals": tensor(golden[f"cham_{side}_normals"]) for side in "xy"}
    if "weights" in case:
        options["weights"] = tensor(golden["cham_weights"])
    if case in ("sum", "max"):
        options |= dict(points=case, clouds="sum" if case == "sum" else "mean")
    return options | dict(norm=1 if "norm1" in case else 2, both_ways="single" not in case, signed="signed" in case)


def clouds(golden):
    return [tensor(golden[f"cham_{side}"]).requires_grad_() for side in "xy"]


@pytest.mark.parametrize("case", CASES)
def test_variants_and_their_gradients_are_the_references(case):
    golden = read(NAME)
    x, y = clouds(golden)
    distance, normals = chamfer(x, y, **options_of(golden, case))
    torch.testing.assert_close(distance, tensor(golden[f"cham_{case}_loss"]), atol=0, rtol=1e-5)
    if normals is not None:
        torch.testing.assert_close(normals, tensor(golden[f"cham_{case}_loss_normals"]), atol=0, rtol=1e-5)
    distance.backward()
    for side, points in ("x", x), ("y", y):
        assert_near(points.grad, tensor(golden[f"cham_{case}_grad_{side}"]), 1e-5, f"{case} {side}")


def test_distances_of_single_points_are_the_references():
    golden = read(NAME)
    x, y = clouds(golden)
    for some, others, way in (x, y, "forward"), (y, x, "backward"):
        expected = tensor(golden[f"cham_none_{way}"])
        torch.testing.assert_close(discrepancy(some, others).distances, expected, atol=1e-6, rtol=1e-5)


def test_normals_carry_gradients():
    generator = torch.Generator().manual_seed(0)
    x, y, *normals = (torch.randn(2, n, 3, dtype=torch.float64, generator=generator) for n in (5, 4, 5, 4))
    for batch in normals:
        batch.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: chamfer(x, y, x_normals=a, y_normals=b)[1], normals)


def test_padding_may_hold_anything():
    x, y = torch.zeros(2, 3, 3), torch.ones(2, 2, 3)
    x[0, 1:], y[1, 1:] = torch.nan, torch.inf
    normals = dict(x_normals=x + 1, y_normals=y + 1)
    for batch in (x, y, *normals.values()):
        batch.requires_grad_()
    distance, apart = chamfer(x, y, x_counts=[1, 3], y_counts=[2, 1], **normals)
    assert distance.tolist() == 6 and abs(apart.tolist()) < 1e-6
    (distance + apart).backward()
    assert all(batch.grad.isfinite().all() for batch in (x, y))


def test_the_registered_loss_reads_points():
    golden = read(NAME)
    counts = options_of(golden, "lengths")
    x, y = clouds(golden)
    outputs = dict(points=x, point_counts=counts["x_counts"], point_normals=tensor(golden["cham_x_normals"]))
    inputs = dict(points=y, point_counts=counts["y_counts"], point_normals=tensor(golden["cham_y_normals"]))
    torch.testing.assert_close(ChamferLoss()(outputs, inputs), tensor(golden["cham_lengths_loss"]))
    distance, normals = chamfer(x, y, **counts | {k: v for k, v in options_of(golden, "normals").items() if "normals" in k})
    torch.testing.assert_close(ChamferLoss(normals=0.5)(outputs, inputs), distance + 0.5 * normals)


def test_the_registered_loss_draws_points_from_meshes():
    mesh = Meshes.from_trimesh(trimesh.creation.icosphere(3), trimesh.creation.box((1, 1, 1)))
    vertices = mesh.vertices.requires_grad_()
    torch.manual_seed(0)
    true = torch.nn.functional.normalize(torch.randn(2, 4000, 3), dim=-1)
    inputs = dict(points=true, point_normals=true)
    loss = ChamferLoss(samples=4000, normals=0.1)(dict(meshes=mesh), inputs)
    loss.backward()
    assert vertices.grad.any(1).all()
    loss = ChamferLoss(samples=4000)
    near, far = (loss(dict(meshes=Meshes.pack([v], [f])), dict(points=true[:1])) for v, f in mesh.unpack())
    assert near < 2e-3 and far > 0.05


@pytest.mark.parametrize("change, named", [
    (dict(points="most"), "points must"), (dict(clouds="max"), "clouds"), (dict(weights=torch.tensor([-1.0])), "weights must"),
    (dict(weights=torch.zeros(1)), "weights must"), (dict(weights=torch.ones(2)), "weights must"),
    (dict(x_counts=[0]), "x and y must"), (dict(x_normals=torch.ones(1, 2, 3)), "x_normals and y_normals"),
    (dict(y=torch.full((1, 2, 3), torch.nan)), "y has"), (dict(y=torch.zeros(2, 2, 3)), "queries and points"),
])  # yapf: disable
def test_wrong_arguments_are_named(change, named):
    # a run-time check of types refuses unknown names first, where it is on
    error, message = ((ValueError, TypeError), None) if named in ("points must", "clouds") else (ValueError, named)
    with pytest.raises(error, match=message):
        chamfer(**(dict(x=torch.zeros(1, 2, 3), y=torch.zeros(1, 3, 3)) | change))

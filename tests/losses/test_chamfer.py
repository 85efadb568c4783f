"""The Chamfer distance and its variants, against the fixture."""

import pytest
import torch
import trimesh

from deep3dmap.errors import ConfigError
from deep3dmap.losses import ChamferLoss
from deep3dmap.losses.chamfer import Clouds, chamfer, discrepancy
from deep3dmap.structures.meshes import Meshes
from tests.goldens import assert_near, cases, read, tensor

NAME = "render/points"
CASES = cases(NAME, "cham_(.+)_loss")


def options_of(golden, case):
    """What a case's name says of its settings."""
    reductions = dict(sum=("sum", "sum"), max=("max", "mean")).get(case, ("mean", "mean"))
    return dict(zip(("point_reduction", "cloud_reduction"), reductions)) | dict(
        weights=tensor(golden["cham_weights"]) if case == "weights" else None, norm=1 if "norm1" in case else 2,
        both_ways="single" not in case, signed="signed" in case)  # yapf: disable


def clouds(golden, case=""):
    """The fixture's two batches, which record gradients."""
    return [
        Clouds(
            tensor(golden[f"cham_{side}"]).requires_grad_(),
            tensor(golden[f"cham_{side}_lengths"]).long() if "lengths" in case else None,
            tensor(golden[f"cham_{side}_normals"]) if "normals" in case else None) for side in "xy"
    ]


@pytest.mark.parametrize("case", CASES)
def test_variants_and_their_gradients_match_the_references(case):
    golden = read(NAME)
    x, y = clouds(golden, case)
    distance, normals = chamfer(x, y, **options_of(golden, case))
    torch.testing.assert_close(distance, tensor(golden[f"cham_{case}_loss"]), atol=0, rtol=1e-5)
    if normals is not None:
        torch.testing.assert_close(normals, tensor(golden[f"cham_{case}_loss_normals"]), atol=0, rtol=1e-5)
    distance.backward()
    for side, batch in ("x", x), ("y", y):
        assert_near(batch.points.grad, tensor(golden[f"cham_{case}_grad_{side}"]), 1e-5, f"{case} {side}")


def test_distances_of_single_points_match_the_references():
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
    assert torch.autograd.gradcheck(lambda a, b: chamfer(Clouds(x, None, a), Clouds(y, None, b))[1], normals)


def test_padding_is_ignored():
    x, y = torch.zeros(2, 3, 3), torch.ones(2, 2, 3)
    x[0, 1:], y[1, 1:] = torch.nan, torch.inf
    leaves = [batch.requires_grad_() for batch in (x, y, x.detach() + 1, y.detach() + 1)]
    distance, apart = chamfer(Clouds(x, [1, 3], leaves[2]), Clouds(y, [2, 1], leaves[3]))
    assert distance.tolist() == 6 and abs(apart.tolist()) < 1e-6
    (distance + apart).backward()
    assert all(leaf.grad.isfinite().all() for leaf in leaves)


def test_the_registered_loss_reads_points():
    golden = read(NAME)
    x, y = clouds(golden, "lengths normals")
    outputs, inputs = (dict(points=batch.points, point_counts=batch.counts, point_normals=batch.normals) for batch in (x, y))
    torch.testing.assert_close(ChamferLoss()(outputs, inputs), tensor(golden["cham_lengths_loss"]))
    distance, normals = chamfer(x, y)
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


X, Y = Clouds(torch.zeros(1, 2, 3)), Clouds(torch.zeros(1, 3, 3))


@pytest.mark.parametrize("change, named", [
    (dict(weights=torch.tensor([-1.0])), "weights must"), (dict(weights=torch.zeros(1)), "weights must"),
    (dict(weights=torch.ones(2)), "weights must"), (dict(x=X._replace(counts=[0])), "x and y must have points"),
    (dict(x=X._replace(counts=[3])), "counts of x"), (dict(x=X._replace(normals=X.points)), "x and y must both have normals"),
    (dict(x=X._replace(normals=Y.points), y=Y._replace(normals=Y.points)), "normals must be"),
    (dict(y=Clouds(torch.full((1, 2, 3), torch.nan))), "y has"), (dict(y=Clouds(torch.zeros(2, 2, 3))), "x and y must have"),
])  # yapf: disable
def test_wrong_arguments_are_named(change, named):
    with pytest.raises(ValueError, match=named):
        chamfer(**(dict(x=X, y=Y) | change))


def test_too_few_samples_are_named():
    with pytest.raises(ConfigError, match=r"ChamferLoss\.samples"):
        ChamferLoss(samples=0)


@pytest.mark.parametrize("change", [dict(point_reduction="most"), dict(cloud_reduction="max"), dict(norm=3)])
def test_unknown_names_are_refused(change):
    with pytest.raises((ValueError, TypeError)):  # the run-time check of types is first, where it is on
        chamfer(X, Y, **change)

"""Meshes of analytic shapes and of a network: against the dense grid, known areas and volumes, and IDR's own meshes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from deep3dmap.errors import Deep3DError
from deep3dmap.geometry.meshing import NoSurfaceError, extract_surface, extract_surface_aligned, mesh_grid
from deep3dmap.geometry.meshing_grids import aligned_grid
from deep3dmap.geometry.triangles import face_areas, largest_component, signed_volume
from tests.goldens import assert_same_faces, cases

TRACES = cases("idr/meshing", "trace_(.+)/vertices")
HIGH_RESOLUTIONS = cases("idr/meshing", "highres_(.+)/vertices")


def sphere(p):
    return p.norm(dim=-1) - 0.6


def torus(p):
    return ((p[:, :2].norm(dim=-1) - 0.5)**2 + p[:, 2]**2).sqrt() - 0.2


def bumpy(p):
    return p.norm(dim=-1) - 0.55 - 0.08 * (9 * p).sin().prod(-1)


def thin_plate(p):
    q = p.abs() - torch.tensor([0.7, 0.6, 0.011])
    return q.clamp(min=0).norm(dim=-1) + q.amax(-1).clamp(max=0)


def two_spheres(p):
    small = (p - torch.tensor([0.75, 0.0, 0.0])).norm(dim=-1) - 0.05
    return torch.minimum(p.norm(dim=-1) - 0.5, small)


class Counting:
    """A field that counts the points at which it is asked."""

    def __init__(self, field):
        self.field, self.count = field, 0

    def __call__(self, points):
        self.count += len(points)
        return self.field(points)


def golden_network(z):
    """The fixture's implicit network, written out from its state: weight norm, softplus 100, encoded input, one skip."""
    config = json.loads(str(z["network_config"]))["implicit_network"]
    layers = []
    for i in range(len(config["dims"]) + 1):
        g, v, b = (torch.tensor(z[f"network_state/lin{i}.{name}"]) for name in ("weight_g", "weight_v", "bias"))
        layers.append((g * v / v.norm(dim=1, keepdim=True), b))
    octaves = 2.0**torch.arange(config["multires"])

    def field(p):
        angles = octaves[:, None] * p[:, None]
        x = encoded = torch.cat([p, torch.stack([angles.sin(), angles.cos()], 2).flatten(1)], 1)
        for i, (weight, bias) in enumerate(layers):
            if i in config["skip_in"]:
                x = torch.cat([x, encoded], 1) / 2**0.5
            x = x @ weight.T + bias
            x = torch.nn.functional.softplus(x, 100) if i + 1 < len(layers) else x
        return x[:, 0]

    return field


def same_surface(one, other):
    return torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def set_distance(a, b):
    a, b = (np.asarray(x, np.float64) for x in (a, b))
    return max(cKDTree(a).query(b)[0].max(), cKDTree(b).query(a)[0].max())


@pytest.mark.parametrize("resolution", [33, 64, 101])
@pytest.mark.parametrize("field", [torus, bumpy, thin_plate, two_spheres])
def test_coarse_to_fine_gives_the_dense_mesh(field, resolution):
    box = ((-1.0, -0.9, -0.95), (1.05, 1.0, 0.8))
    field = field if resolution > 64 or field is not thin_plate else torus  # the plate is thinner than a coarse cell
    assert same_surface(extract_surface(field, *box, resolution), extract_surface(field, *box, resolution, method="dense"))


def test_coarse_to_fine_gives_the_dense_mesh_of_a_network(goldens):
    field = golden_network(goldens("idr/meshing"))
    fine, dense = (extract_surface(field, -1.0, 1.0, 64, method=m) for m in ("coarse_to_fine", "dense"))
    assert fine[0].shape == dense[0].shape
    assert torch.equal(fine[1], dense[1])
    assert (fine[0] - dense[0]).abs().max() < 1e-5  # the network's rounding depends on how points are batched


@pytest.mark.parametrize("field", [torus, bumpy, thin_plate])
def test_coarse_to_fine_at_256_needs_a_twentieth_of_the_evaluations(field):
    counting = Counting(field)
    extract_surface(counting, -1.0, 1.0, 256)
    assert counting.count * 20 < 257**3


def test_coarse_to_fine_finds_a_surface_off_level_zero():
    meshes = [extract_surface(torus, -1.0, 1.0, 48, level=0.07, method=m) for m in ("coarse_to_fine", "dense")]
    assert same_surface(*meshes)
    assert float(signed_volume(*meshes[0])) == pytest.approx(2 * np.pi**2 * 0.5 * 0.27**2, rel=5e-3)


def test_a_field_steeper_than_promised_is_repaired_where_it_shows():

    def steep(p):
        return 3 * bumpy(p)

    promised_too_little = extract_surface(steep, -1.0, 1.0, 96, lipschitz=1.0)
    assert same_surface(promised_too_little, extract_surface(steep, -1.0, 1.0, 96, method="dense"))


def test_a_box_much_longer_than_wide_gets_cubic_cells_and_the_right_sphere():
    vertices, faces = extract_surface(lambda p: (p - torch.tensor([2.0, 0.0, 0.0])).norm(dim=-1) - 0.4, (0.0, -0.5, -0.5),
                                      (4.0, 0.5, 0.5), 160)
    assert (vertices - torch.tensor([2.0, 0.0, 0.0])).norm(dim=-1).sub(0.4).abs().max() < 4e-4
    assert float(signed_volume(vertices, faces)) == pytest.approx(4 / 3 * np.pi * 0.4**3, rel=3e-3)


def test_the_chunk_does_not_change_the_mesh():
    assert same_surface(extract_surface(torus, -1.0, 1.0, 40), extract_surface(torus, -1.0, 1.0, 40, chunk=777))


def test_the_field_is_asked_in_the_type_of_the_box():
    seen = []

    def field(p):
        seen.append(p.dtype)
        return sphere(p)

    vertices, _ = extract_surface(field, torch.full((3, ), -1.0, dtype=torch.float64), 1.0, 8)
    assert set(seen) == {torch.float64} and vertices.dtype == torch.float64


def test_a_field_without_the_surface_names_its_range():
    with pytest.raises(NoSurfaceError, match=r"between 0\.[56]\d* and 2\.\d* .* all of it is outside") as caught:
        extract_surface(lambda p: p.norm(dim=-1) + 0.5, -1.0, 1.0, 32)
    assert isinstance(caught.value, Deep3DError) and isinstance(caught.value, ValueError)
    with pytest.raises(NoSurfaceError, match="all of it is inside"):
        extract_surface(lambda p: p.norm(dim=-1) - 5, -1.0, 1.0, 32)


@pytest.mark.parametrize("field, options, message", [
    (sphere, {"chunk": 0}, "must be"), (sphere, {"lipschitz": 0.0}, "must be"),
    (lambda p: sphere(p)[:, None], {}, "one value per point"),
    (lambda p: torch.where(p[:, 0] > 0, torch.nan, p[:, 0]), {}, "not finite"),
])  # yapf: disable
def test_senseless_fields_and_options_are_refused(field, options, message):
    with pytest.raises(ValueError, match=message):
        extract_surface(field, -1.0, 1.0, 16, **options)


@pytest.mark.parametrize("case", TRACES)
@pytest.mark.parametrize("method", ["coarse_to_fine", "dense"])
def test_the_uniform_grid_gives_idr_s_mesh(goldens, case, method):
    z = goldens("idr/meshing")
    field = torus if case == "analytic" else golden_network(z)
    vertices, faces = extract_surface(field, -1.0, 1.0, int(z[f"trace_{case}/resolution"]) - 1, method=method)
    assert len(vertices) == len(z[f"trace_{case}/vertices"])
    assert set_distance(vertices, z[f"trace_{case}/vertices"]) < 1e-5
    assert_same_faces((vertices, faces), (z[f"trace_{case}/vertices"], z[f"trace_{case}/faces"]), 1e-5)


def golden_aligned_grid(z, case):
    axes = torch.tensor(z[f"highres_{case}/eigenvector_columns"]).T
    axes = axes if torch.linalg.det(axes) > 0 else axes[[0, 2, 1]]
    return aligned_grid(torch.tensor(z[f"highres_{case}/sampled_points"]), int(z[f"highres_{case}/resolution"]), axes=axes)


@pytest.mark.parametrize("case", HIGH_RESOLUTIONS)
def test_the_aligned_grid_gives_idr_s_high_resolution_mesh(goldens, case):
    """Given the reference's rounded step: edges that nearly lie in the surface magnify a difference of 1e-7 in the grid."""
    z = goldens("idr/meshing")
    grid = golden_aligned_grid(z, case)
    lower, step = (grid.axes @ grid.origin).astype(np.float32), np.float32(grid.spacing[0])
    rounded = ((lower + step) - lower).astype(np.float64)  # what numpy.arange steps by when it starts in float32
    shortest = int(np.argmin(grid.cells))
    rounded[shortest] = grid.spacing[shortest]
    vertices, faces = mesh_grid(torus if case == "analytic" else golden_network(z), replace(grid, spacing=rounded))
    assert len(vertices) == len(z[f"highres_{case}/vertices"])
    assert set_distance(vertices, z[f"highres_{case}/vertices"]) < 1e-5
    assert_same_faces((vertices, faces), (z[f"highres_{case}/vertices"], z[f"highres_{case}/faces"]), 1e-5)


@pytest.mark.parametrize("case", HIGH_RESOLUTIONS)
def test_the_largest_piece_of_the_low_resolution_mesh_has_idr_s_area(goldens, case):
    z = goldens("idr/meshing")
    field = torus if case == "analytic" else golden_network(z)
    piece = largest_component(*extract_surface(field, -1.0, 1.0, 99))
    assert float(face_areas(*piece).double().sum()) == pytest.approx(float(z[f"highres_{case}/low_res_component_area"]),
                                                                     rel=1e-4)


def test_the_aligned_mesh_of_a_turned_torus_lies_on_it():
    turn = torch.linalg.qr(torch.tensor([[1.0, 2.0, 0.5], [-0.3, 1.0, 2.0], [0.7, -1.0, 1.0]]))[0]
    vertices, faces = extract_surface_aligned(lambda p: torus(p @ turn.T), -1.0, 1.0, 64, margin=0.05,
                                              generator=torch.Generator().manual_seed(0))  # yapf: disable
    assert torus(vertices @ turn.T).abs().max() < 1e-3
    assert float(signed_volume(vertices, faces)) == pytest.approx(2 * np.pi**2 * 0.5 * 0.2**2, rel=5e-3)


def test_the_aligned_mesh_repeats_with_the_generator_s_seed():
    one, other = (extract_surface_aligned(torus, -1.0, 1.0, 20, coarse_resolution=30,
                                          generator=torch.Generator().manual_seed(3)) for _ in range(2))  # yapf: disable
    assert same_surface(one, other)

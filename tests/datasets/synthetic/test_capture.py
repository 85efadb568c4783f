import dataclasses

import igl
import numpy as np
import pytest
import torch
import trimesh

from deep3dmap.datasets.synthetic import generate_capture
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.registry import DATASETS

SMALL = dict(views=5, test_views=2, size=(40, 48), supersample=1)


def blob(subdivisions=2):
    """A lumpy coloured ball, not at the origin."""
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions)
    mesh.vertices *= (1 + 0.2 * np.sin(3 * mesh.vertices[:, [0]]) * mesh.vertices[:, [1]]) * [1.0, 1.4, 0.8]
    mesh.visual.vertex_colors = np.column_stack([(mesh.vertices * 60 + 128),
                                                 np.full(len(mesh.vertices), 255)]).astype(np.uint8)
    return mesh.apply_translation([5.0, -2.0, 3.0])


@pytest.fixture(scope="module")
def capture():
    return generate_capture(blob(), **SMALL)


@pytest.fixture(scope="module")
def noisy():
    return generate_capture(blob(), camera_noise=2.0, mask_noise=1.0, image_noise=0.05, **SMALL)


def contains(triangles, points):
    """Which points lie in any of the 2D triangles (by the signs of three areas)."""
    inside = np.zeros(len(points), bool)
    for a, b, c in triangles:
        side = [(q - p)[0] * (points - p)[:, 1] - (q - p)[1] * (points - p)[:, 0] for p, q in ((a, b), (b, c), (c, a))]
        inside |= (np.minimum.reduce(side) >= 0) | (np.maximum.reduce(side) <= 0)
    return inside


def test_masks_are_the_projections_of_the_mesh(capture):
    v, u = np.mgrid[:40, :48] + 0.5
    pixels = np.stack([u.ravel(), v.ravel()], -1)
    corners = capture.cameras.to(torch.float64).project(torch.tensor(capture.mesh.vertices))[0].numpy()
    for view in range(len(capture)):
        expected = contains(corners[view][capture.mesh.faces], pixels).reshape(40, 48)
        assert (expected != capture.masks[view].numpy()).sum() <= 1


def test_depth_leads_back_onto_the_mesh(capture):
    cameras = capture.cameras.to(torch.float64)
    for view in range(len(capture)):
        row, column = torch.nonzero(capture.masks[view], as_tuple=True)
        depth = capture.depth[view][row, column].double()
        homogeneous = torch.stack([column + 0.5, row + 0.5, torch.ones_like(depth)], -1).double()
        in_camera = (torch.linalg.inv(cameras.K[view]) @ homogeneous.T) * depth
        points = (torch.linalg.inv(cameras.rotations[view]) @ (in_camera - cameras.world_to_cam[view, :, 3:])).T
        squared = igl.point_mesh_squared_distance(points.numpy(), capture.mesh.vertices,
                                                  capture.mesh.faces.astype(np.int64))[0]
        assert np.sqrt(squared).max() < 1e-4 * capture.mesh.scale


def test_normals_are_unit_and_face_the_camera(capture):
    normals = capture.normals[capture.masks]
    assert torch.allclose(normals.norm(dim=-1), torch.ones(len(normals)))
    axes = capture.cameras.axes[:, None, None].expand_as(capture.normals)[capture.masks]
    assert ((normals * axes).sum(-1) < 0.2).all()
    assert (capture.normals[~capture.masks] == 0).all()


def test_the_mesh_fills_every_image_without_touching_its_border(capture):
    masks = capture.masks
    assert not masks[:, [0, -1]].any() and not masks[:, :, [0, -1]].any()
    rows, columns = masks.any(2).sum(1), masks.any(1).sum(1)
    assert max(rows.max() / 40, columns.max() / 48) > 0.85


def test_cameras_look_from_all_round_above_and_below():
    capture = generate_capture(blob(), views=16, test_views=0, size=(8, 8), supersample=1)
    offsets = capture.cameras.centers.double() - torch.tensor(capture.mesh.bounds.mean(0))
    azimuth = torch.atan2(offsets[:, 0], offsets[:, 2]).sort().values
    gaps = torch.diff(azimuth, append=azimuth[:1] + 2 * torch.pi)
    assert gaps.max() < np.radians(60)
    elevation = torch.rad2deg(torch.asin(offsets[:, 1] / offsets.norm(dim=-1)))
    assert elevation.min() < -20 and elevation.max() > 45


def test_test_views_look_from_between_the_views_and_differ_from_each_other():
    capture = generate_capture(blob(), views=16, test_views=4, size=(8, 8), supersample=1)
    axes = capture.cameras.axes.double()
    angles = torch.rad2deg(torch.arccos((axes @ axes.T).clamp(-1, 1))) + 360 * torch.eye(20)
    nearest_two = angles[16:, :16].sort(dim=1).values[:, :2]
    assert nearest_two.min() > 5
    assert nearest_two.max() < 30
    assert angles[16:, 16:].min() > 5


def test_the_same_seed_gives_the_same_capture_bit_for_bit(noisy):
    again = generate_capture(blob(), camera_noise=2.0, mask_noise=1.0, image_noise=0.05, **SMALL)
    for name in ("images", "masks", "depth", "normals"):
        assert torch.equal(getattr(noisy, name), getattr(again, name))
    assert torch.equal(noisy.cameras.world_to_cam, again.cameras.world_to_cam)


def test_another_seed_gives_other_noise(noisy):
    other = generate_capture(blob(), camera_noise=2.0, mask_noise=1.0, image_noise=0.05, seed=1, **SMALL)
    assert not torch.equal(noisy.images, other.images)
    assert not torch.equal(noisy.masks, other.masks)
    assert not torch.equal(noisy.cameras.world_to_cam[:5], other.cameras.world_to_cam[:5])
    assert torch.equal(noisy.depth, other.depth)


@pytest.mark.parametrize("noise,changed", [(dict(camera_noise=2.0), "cameras"), (dict(mask_noise=1.0), "masks"),
                                           (dict(image_noise=0.05), "images")])
def test_noise_changes_only_what_it_should(capture, noisy, noise, changed):
    one = generate_capture(blob(), **noise, **SMALL)
    for name in ("images", "masks", "depth", "normals"):
        assert torch.equal(getattr(one, name), getattr(noisy if name == changed else capture, name))
    cameras = noisy.cameras if changed == "cameras" else capture.cameras
    assert torch.equal(one.cameras.world_to_cam, cameras.world_to_cam)
    assert torch.equal(one.true_cameras.world_to_cam, capture.cameras.world_to_cam)
    assert torch.equal(one.cameras.K, capture.cameras.K)


def test_test_views_stay_exact(capture, noisy):
    assert torch.equal(noisy.images[5:], capture.images[5:])
    assert torch.equal(noisy.masks[5:], capture.masks[5:])
    assert torch.equal(noisy.cameras.world_to_cam[5:], capture.cameras.world_to_cam[5:])
    assert all((noisy.masks[v] != capture.masks[v]).any() for v in range(5))


def test_camera_noise_has_the_size_that_was_asked_for():
    capture = generate_capture(blob(1), views=300, test_views=0, size=(4, 4), supersample=1, camera_noise=(3.0, 0.02))
    true = capture.true_cameras.to(torch.float64)
    relative = capture.cameras.to(torch.float64).rotations @ true.rotations.transpose(1, 2)
    cosine = (relative.diagonal(dim1=1, dim2=2).sum(-1) - 1) / 2
    angle = torch.rad2deg(torch.arccos(cosine.clamp(-1, 1)))
    assert (angle**2).mean().sqrt().item() == pytest.approx(3.0, rel=0.1)
    shift = (capture.cameras.centers.double() - true.centers).norm(dim=-1)
    distance = (true.centers - torch.tensor(capture.mesh.bounds.mean(0))).norm(dim=-1)
    assert ((shift / distance)**2).mean().sqrt().item() == pytest.approx(0.02, rel=0.1)


def test_mask_noise_moves_the_outline_by_about_its_pixels():
    exact, noisy = (generate_capture(blob(), views=4, test_views=0, size=(128, 128), supersample=1, mask_noise=n)
                    for n in (0, 2))
    flipped = (exact.masks != noisy.masks).sum().item()
    inner = torch.nn.functional.max_pool2d((~exact.masks[:, None]).float(), 3, 1, 1)[:, 0] > 0
    outline = (inner & exact.masks).sum().item()
    # the mean of |x| for a normal x of deviation 2 is 1.6 pixels along the outline
    assert flipped / outline == pytest.approx(1.6, rel=0.35)
    assert (exact.masks == (exact.depth > 0)).all()


def test_light_that_moves_with_the_camera_lights_every_view_alike():
    ball = trimesh.creation.icosphere(subdivisions=4)
    fixed, moving = (generate_capture(ball, light=light, **SMALL) for light in ("fixed", "camera"))

    def brightness(capture):
        return torch.stack([i[m].float().mean() for i, m in zip(capture.images, capture.masks)])

    assert brightness(moving).std() < 1.0
    assert brightness(fixed).std() > 5.0


def test_light_that_stands_still_gives_a_point_one_colour_in_all_views():
    capture = generate_capture(blob(4), views=6, test_views=0, size=(160, 160), supersample=1)
    cameras = capture.cameras.to(torch.float64)
    points = torch.tensor(capture.mesh.vertices)
    uv, depth = cameras.project(points)
    column, row = (uv[..., 0] - 0.5).round().long(), (uv[..., 1] - 0.5).round().long()
    view = torch.arange(6)[:, None].expand_as(row)
    visible = (capture.depth[view, row, column] - depth).abs() < 0.01
    color = capture.colors(view, row, column)
    twice = visible.sum(0) >= 2
    spread = torch.where(visible[..., None], color, -1).amax(0) - torch.where(visible[..., None], color, 2).amin(0)
    assert twice.double().mean() > 0.5
    assert spread[twice].median() < 0.02


def test_the_registry_builds_a_capture_from_a_config():
    config = dict(type="SyntheticCapture", mesh="head", views=2, test_views=1, size=[32, 24], supersample=1)
    capture = DATASETS.build(config)
    assert capture.images.shape == (3, 32, 24, 3) and capture.images.dtype == torch.uint8
    assert "head" in capture.source
    assert capture.mesh.is_watertight


def test_a_mesh_file_can_be_photographed(tmp_path, capture):
    blob().export(tmp_path / "blob.ply")
    from_file = generate_capture(tmp_path / "blob.ply", **SMALL)
    assert torch.equal(from_file.masks, capture.masks)
    assert "blob.ply" in from_file.source


def test_subsets_keep_the_true_cameras(noisy):
    part = noisy.subset([4, 0])
    assert torch.equal(part.true_cameras.world_to_cam, noisy.true_cameras.world_to_cam[[4, 0]])
    assert dataclasses.replace(noisy, true_cameras=None).subset([1]).true_cameras is None


@pytest.mark.parametrize("name, content, message", [
    ("nothing.ply", None, "nothing.ply: no such mesh file"), ("bad.ply", b"not a mesh", "bad.ply: can't be read"),
    ("points.ply", trimesh.PointCloud(np.eye(3)).export(file_type="ply"), "points.ply"),
])  # yapf: disable
def test_files_that_hold_no_mesh_are_named(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        generate_capture(tmp_path / name)


@pytest.mark.parametrize("key,value", [("views", 0), ("test_views", -1), ("mask_noise", -1.0), ("image_noise", -0.1),
                                       ("camera_noise", -1.0), ("size", (0, 5)), ("light", "sun"), ("supersample", 0)])
def test_arguments_out_of_range_are_named(key, value):
    with pytest.raises(ConfigError, match=key):
        generate_capture(blob(1), **{**SMALL, key: value})

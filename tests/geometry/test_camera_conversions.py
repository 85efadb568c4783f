"""Cameras of row-vector renderers against their fixture; OpenGL's against its clip cube; round trips of every conversion."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from deep3dmap.geometry import camera_conversions as conversions
from deep3dmap.structures import Cameras, OrthographicCameras
from tests import goldens

FIXTURE = "render/cameras"
RIGS = pytest.mark.parametrize("rig", goldens.cases(FIXTURE, r"(\w+)_opencv_K"))
MODELS = pytest.mark.parametrize("model", goldens.cases(FIXTURE, r"models_(\w+)_projection"))
KINDS = pytest.mark.parametrize("kind", [Cameras, OrthographicCameras])
SIZE, PLANES = (48, 64), (2.0, 9.0)


def read(prefix):
    return goldens.tensors(goldens.read(FIXTURE), f"{prefix}_")


def ours(z):
    """The cameras of a rig of the fixture."""
    return Cameras(z["opencv_K"], torch.cat([z["opencv_R"], z["opencv_t"][..., None]], -1), tuple(z["image_size_hw"].tolist()))


def near(actual, expected, relative=1e-5):
    """Equal up to a part of the largest entry."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=relative * max(1.0, float(expected.abs().max())))


def cameras(kind, count=3):
    g = torch.Generator().manual_seed(3)
    K = torch.tensor([[60.0, 4.0, 31.0], [0.0, 55.0, 22.0], [0.0, 0.0, 1.0]]).double().repeat(count, 1, 1)
    R = torch.tensor(Rotation.random(count, rng=4).as_matrix())
    t = torch.randn(count, 3, 1, generator=g).double() + torch.tensor([0.0, 0.0, 6.0])[:, None]
    return kind(K, torch.cat([R, t], -1), SIZE)


def homogeneous(points):
    return torch.cat([points, torch.ones_like(points[..., :1])], -1)


def applied(matrices, points):
    """The points of each matrix (columns), divided by their last coordinate."""
    x = homogeneous(points) @ matrices.transpose(-1, -2)
    return x[..., :3] / x[..., 3:]


@RIGS
def test_a_rig_s_poses_and_lenses_match_the_fixture(rig):
    z = read(rig)
    views = ours(z)
    for name, value in zip(("R", "T"), conversions.to_row_vectors(views.world_to_cam)):
        near(value, z[name])
    for name, value in zip(("focal_length", "principal_point"), conversions.to_ndc(views.K, views.size)):
        near(value, z[name])
    near(views.centers, z["center"])


@RIGS
def test_a_rig_comes_back_as_the_fixture_s_opencv_cameras(rig):
    z = read(rig)
    poses = conversions.from_row_vectors(z["R"], z["T"])
    near(poses[..., :3], z["back_R"])
    near(poses[..., 3], z["back_t"])
    size = tuple(z["image_size_hw"].tolist())
    near(conversions.from_ndc(z["focal_length"], z["principal_point"], size), z["back_K"])


@RIGS
def test_a_rig_sees_points_where_the_fixture_does(rig):
    z = read(rig)
    views = ours(z)
    for i, points in enumerate(z["points"]):
        uv, depth = (value[0] for value in views[i].project(points))
        near(uv, z["opencv_uv"][i])
        near(torch.cat([uv, 1 / depth[:, None]], -1), z["points_screen"][i])
        near(torch.cat([conversions.pixels_to_ndc(uv, views.size), 1 / depth[:, None]], -1), z["points_ndc"][i])
        in_camera = points @ views.rotations[i].T + views.world_to_cam[i, :, 3]
        near(conversions.turn_axes(in_camera), z["points_view"][i])
        near(views[i].unproject(uv[None], depth[None])[0], z["points_unprojected"][i])


@RIGS
def test_a_rig_s_whole_projection_match_the_fixture(rig):
    z = read(rig)
    view = torch.eye(4).repeat(len(z["R"]), 1, 1)
    view[:, :3, :3], view[:, 3, :3] = conversions.to_row_vectors(ours(z).world_to_cam)
    projection = conversions.ndc_projection(*conversions.to_ndc(ours(z).K, ours(z).size))
    near(view @ projection.transpose(1, 2), z["full_projection"])


def lens(model, z):
    """Focal lengths, principal points, planes and kind of a camera class of the fixture."""
    principal, planes = z["principal"], tuple(z["znear_zfar"].tolist())
    if model == "fovpersp":
        return conversions.fov_focal(z["fov_deg"], z["aspect"]), torch.zeros_like(principal), planes, False
    if model == "fovortho":
        high = z["ortho_extent_xy"].expand_as(principal)
        return *conversions.box_to_ndc(-high, high), planes, True
    if model == "ortho":
        return z["ortho_focal"][:, None].expand_as(principal), principal, None, True
    return z["persp_focal"], principal, None, False


def image_size(ndc, screen):
    """Height and width of the images in which points of these coordinates are at these pixels."""
    x, y = (np.polyfit(ndc[..., k].flatten(), screen[..., k].flatten(), 1) for k in range(2))
    height, width = round(2 * y[1]), round(2 * x[1])
    assert [-x[0], -y[0]] == pytest.approx([min(height, width) / 2] * 2, rel=1e-4)
    return height, width


@MODELS
def test_a_model_s_projection_and_points_match_the_fixture(model):
    z = read("models")
    z |= {name.removeprefix(f"{model}_"): value for name, value in z.items() if name.startswith(f"{model}_")}
    focal, principal, planes, orthographic = lens(model, z)
    projection = conversions.ndc_projection(focal, principal, planes, orthographic)
    near(projection, z["projection"].transpose(1, 2))
    poses = conversions.from_row_vectors(z["R"], z["T"])
    seen = conversions.turn_axes(z["points"] @ poses[..., :3].transpose(1, 2) + poses[:, None, :, 3])
    for name in ("points_proj", "points_ndc"):
        near(applied(projection, seen), z[name])
    size = image_size(z["points_ndc"], z["points_screen"])
    near(conversions.ndc_to_pixels(z["points_ndc"][..., :2], size), z["points_screen"][..., :2])
    near(z["points_ndc"][..., 2], z["points_screen"][..., 2])


@MODELS
def test_a_model_s_cameras_are_ours(model):
    z = read("models")
    focal, principal, _, orthographic = lens(model, z)
    size = image_size(z[f"{model}_points_ndc"], z[f"{model}_points_screen"])
    kind = OrthographicCameras if orthographic else Cameras
    views = kind(conversions.from_ndc(focal, principal, size), conversions.from_row_vectors(z["R"], z["T"]), size)
    near(views.centers, z[f"{model}_center"])
    world_to_view = z[f"{model}_world_to_view"]
    for name, value in zip(("R", "T"), conversions.to_row_vectors(views.world_to_cam)):
        near(value, z[name])
    near(conversions.to_row_vectors(views.world_to_cam)[0], world_to_view[:, :3, :3])
    near(conversions.to_row_vectors(views.world_to_cam)[1], world_to_view[:, 3, :3])
    for i, points in enumerate(z["points"]):
        near(views[i].project(points)[0][0], z[f"{model}_points_screen"][i, :, :2])


@KINDS
def test_opengl_sees_points_where_our_cameras_do(kind):
    views = cameras(kind)
    world = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)).double()
    matrices = conversions.opengl_projection(views.K, SIZE, PLANES, kind.orthographic)
    clip = applied(matrices @ torch.linalg.inv(conversions.to_opengl(views.world_to_cam)), world)
    pixels = (clip[..., :2] * torch.tensor([1.0, -1.0]) + 1) / 2 * torch.tensor([64.0, 48.0])
    torch.testing.assert_close(pixels, views.project(world)[0])


@KINDS
def test_opengl_s_planes_are_at_minus_one_and_one(kind):
    matrices = conversions.opengl_projection(cameras(kind).K, SIZE, PLANES, kind.orthographic)
    at_planes = torch.tensor([[0.3, -0.2, -PLANES[0]], [0.1, 0.4, -PLANES[1]]]).double()
    torch.testing.assert_close(applied(matrices, at_planes)[..., 2], torch.tensor([-1.0, 1.0]).double().expand(3, 2))


@KINDS
def test_the_third_normalised_coordinate_runs_from_near_to_far(kind):
    K = cameras(kind).K * torch.tensor([[1.0, 0, 1], [0, 1, 1], [0, 0, 1]])
    matrices = conversions.ndc_projection(*conversions.to_ndc(K, SIZE), PLANES, kind.orthographic)
    at_planes = torch.tensor([[0.3, -0.2, PLANES[0]], [0.1, 0.4, PLANES[1]]]).double()
    torch.testing.assert_close(applied(matrices, at_planes)[..., 2], torch.tensor([0.0, 1.0]).double().expand(3, 2))


@KINDS
def test_opengl_cameras_come_back(kind):
    views = cameras(kind)
    matrices = conversions.opengl_projection(views.K, SIZE, PLANES, kind.orthographic)
    torch.testing.assert_close(conversions.from_opengl_projection(matrices, SIZE), views.K)
    torch.testing.assert_close(conversions.from_opengl(conversions.to_opengl(views.world_to_cam)), views.world_to_cam)


def test_one_camera_and_a_grid_of_cameras_are_converted():
    views = cameras(Cameras, 4)
    for shape in ((), (2, 2)):
        some = views.world_to_cam[:1].expand(4, 3, 4)[:np.prod(shape, dtype=int)].reshape(*shape, 3, 4)
        torch.testing.assert_close(conversions.from_row_vectors(*conversions.to_row_vectors(some)), some)
        torch.testing.assert_close(conversions.from_opengl(conversions.to_opengl(some)), some)


@KINDS
def test_gradients_of_conversions_agree_with_finite_differences(kind):
    views = cameras(kind, 1)
    principal, focal = torch.tensor([[0.1, -0.2]]).double(), torch.tensor([[1.5, 2.0]]).double()
    checked = {
        lambda p: conversions.to_row_vectors(p): [views.world_to_cam],
        lambda p: conversions.from_opengl(conversions.to_opengl(p)): [views.world_to_cam],
        lambda K: conversions.opengl_projection(K, SIZE, PLANES, kind.orthographic): [views.K],
        lambda f, c: conversions.ndc_projection(f, c, PLANES, kind.orthographic): [focal, principal],
        lambda f, c: conversions.to_ndc(conversions.from_ndc(f, c, SIZE), SIZE): [focal, principal],
        lambda angle: conversions.fov_focal(angle, 1.3): [torch.tensor([40.0, 100.0]).double()],
    }
    for function, inputs in checked.items():
        assert torch.autograd.gradcheck(function, [value.clone().requires_grad_() for value in inputs])


@pytest.mark.parametrize("named, call", {
    "K": lambda: conversions.to_ndc(cameras(Cameras).K, SIZE),
    "size": lambda: conversions.pixels_to_ndc(torch.zeros(1, 2), (0, 4)),
    "fov": lambda: conversions.fov_focal(torch.tensor([60.0, 180.0])),
    "fov:": lambda: conversions.fov_focal(torch.tensor([torch.nan])),
    "aspect": lambda: conversions.fov_focal(torch.tensor([60.0]), 0.0),
    "low, high": lambda: conversions.box_to_ndc(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 1.0])),
    "planes: .* 0 < near": lambda: conversions.ndc_projection(torch.ones(1, 2), torch.zeros(1, 2), (0.0, 1.0)),
    "planes": lambda: conversions.ndc_projection(torch.ones(1, 2), torch.zeros(1, 2), (1.0, 1.0), True),
    "planes:": lambda: conversions.opengl_projection(torch.eye(3), SIZE, (-1.0, 1.0)),
    "matrix": lambda: conversions.from_opengl_projection(torch.zeros(1, 4, 4), SIZE),
}.items())  # yapf: disable
def test_impossible_cameras_are_refused_by_name(named, call):
    with pytest.raises(ValueError, match=named):
        call()

"""Depth images, and images that belong to them, are seen from other views as GAN2Shape's renderer shows them."""

import numpy as np
import pytest
import torch
from torch.nn.functional import grid_sample

from deep3dmap.errors import ConfigError
from deep3dmap.registry import RENDERERS, build_part
from deep3dmap.renderers.depth_image import grids
from deep3dmap.renderers.depth_image.renderer import sweep
from tests import goldens

GOLDEN = goldens.read("gan2shape/renderer")
KINDS = goldens.cases("gan2shape/renderer", "grid_sample_im/(.*)")
YAW, YAW_SAMPLED, VIEW_YAW, VIEW_PITCH = 60.0, 40.0, 70.0, 20.0  # the fixture's sweeps, degrees
CROP = (2, 2, 3, 3)  # and the border squeezed in one of them: top, bottom, left, right


def tensor(key):
    return torch.tensor(GOLDEN[key])


def depth():
    return tensor("depth").requires_grad_()


def view():
    return tensor("view6").requires_grad_()


def images():
    return tensor("im_u8") / 255 * 2 - 1


def renderer(kind="legacy", **options):
    config = dict(type="DepthImageRenderer", size=GOLDEN["depth"].shape[-1], fov=10.0, min_depth=0.9, max_depth=1.1)
    return build_part(config | dict(align_corners=kind == "legacy") | options, RENDERERS)


def assert_near(actual, key):
    """Geometry."""
    np.testing.assert_allclose(actual.detach(), GOLDEN[key], rtol=1e-4, atol=1e-5)


def assert_map(actual, expected, tolerance=1e-5):
    """A rasterised map: a pixel on an edge may go to the neighbour."""
    assert actual.shape == expected.shape
    assert ((actual - expected).abs() > tolerance).float().mean() <= 0.005


def assert_gradient(actual, key):
    assert (actual - tensor(key)).abs().max() <= 5e-4 * tensor(key).abs().max()


def test_pinhole_matrices():
    ours = renderer()
    assert_near(ours.K[None], "K")
    assert_near(torch.linalg.inv(ours.K)[None], "inv_K")
    half = ours.reduced(2)
    assert_near(half[None], "K_down2")
    assert_near(torch.linalg.inv(half)[None], "inv_K_down2")


@pytest.mark.parametrize("numbers, rotation, translation", [(6, "rot_mat", "trans_xyz"), (5, "rot_mat_view5", "trans_view5"),
                                                            (3, "rot_mat_view3", "trans_view3")])
def test_views(numbers, rotation, translation):
    actual = grids.view_transform(view()[:, :numbers])
    assert_near(actual[0], rotation)
    assert_near(actual[1][:, None], translation)


def test_a_view_of_four_numbers_is_refused():
    with pytest.raises(ValueError, match="3, 5 or 6"):
        grids.view_transform(torch.zeros(1, 4))


def test_pixel_grids():
    size = GOLDEN["grid_pix"].shape[1:3]
    assert_near(grids.pixel_grid(*size)[None], "grid_pix")
    assert_near(grids.normalized(grids.pixel_grid(*size), *size)[None], "grid_norm")


def test_points_and_their_projection():
    ours = renderer()
    points = ours.points(depth())
    assert_near(points, "grid3d")
    assert_near(grids.projected(points, ours.K), "grid2d_of_grid3d")


@pytest.mark.parametrize("inverse, prefix", [(False, "warped"), (True, "inv_warped")])
def test_warps(inverse, prefix):
    points, pixels = renderer().warped(depth(), view(), inverse)
    assert_near(points, f"{prefix}_3d_grid")
    assert_near(pixels, f"{prefix}_2d_grid")


def test_normals():
    leaf = depth()
    normals = renderer().normals(leaf)
    assert_near(normals, "normal")
    assert_gradient(torch.autograd.grad((normals * tensor("normal_cot")).sum(), leaf)[0], "normal_grad_depth")


def test_warped_depth():
    leaves = [depth(), view()]
    warped = renderer().warped_depth(*leaves)
    assert_map(warped, tensor("warp_canon_depth"))
    gradients = torch.autograd.grad((warped * tensor("warp_cot")).sum(), leaves)
    for gradient, key in zip(gradients, ("warp_grad_depth", "warp_grad_view6")):
        assert_gradient(gradient, key)


def test_the_identity_view_moves_depth_by_half_a_pixel():
    ours, flat = renderer(), depth().detach()
    identity = torch.zeros(len(flat), 6)
    assert_map(ours.warped_depth(flat, identity), tensor("warp_identity_view"))
    ramp = 1 + 1e-3 * grids.pixel_grid(*flat.shape[1:]).sum(-1)[None]
    warped = ours.warped_depth(ramp, identity[:1])
    assert (warped - ramp)[:, :-1, :-1].numpy() == pytest.approx(1e-3, abs=2e-5)  # one pixel's slope: half in x, half in y


def test_inverse_warp_of_the_warped_depth():
    ours = renderer()
    _, pixels = ours.warped(ours.warped_depth(depth(), view()), view(), inverse=True)
    assert_map(pixels, tensor("inv_grid_of_recon"))


@pytest.mark.parametrize("kind", KINDS)
def test_sampling(kind):
    ours = renderer(kind)
    sampled = grid_sample(images(), tensor("inv_grid_of_recon"), align_corners=ours.align_corners)
    assert_near(sampled, f"grid_sample_im/{kind}")
    assert_map(ours.sampled(images(), depth(), view()), tensor(f"render_given_view/im/{kind}"))
    assert_map(ours.sampled(tensor("mask"), depth(), view(), "nearest"), tensor(f"render_given_view/mask_nearest/{kind}"))


def test_faces_of_a_grid():
    size = GOLDEN["textures_im"].shape[2:]
    np.testing.assert_array_equal(grids.grid_faces(*size)[None], GOLDEN["face_idx"])


@pytest.mark.parametrize("resolution", [1, 2])
def test_textures_of_a_grid(resolution):
    assert_near(grids.grid_textures(tensor("textures_im"), resolution), f"textures_tx{resolution}")


def test_textures_of_another_resolution_are_refused():
    with pytest.raises(ValueError, match="1 or 2, got 3"):
        grids.grid_textures(images(), 3)


@pytest.mark.parametrize("name", ["im", "mask"])
def test_textured_meshes(name):
    ours = renderer(reference_rounding=True)
    source = images() if name == "im" else tensor("mask").expand(-1, 3, -1, -1)
    points = grids.moved(ours.points(depth()), view(), ours.center)
    expected = tensor(f"render_given_view_mesh/{name}")
    assert_map(ours.drawn(source, points), expected)


def test_sweeps():
    ours, plain = renderer(reference_rounding=True), (images(), depth().detach())
    expected = tensor("render_yaw_mesh")
    assert_map(ours.turned(*plain, sweep(1, YAW, expected.shape[1]), before=-view()), expected)
    for kind in KINDS:
        expected = tensor(f"render_yaw_gs/{kind}")
        views = sweep(1, YAW_SAMPLED, expected.shape[1])
        assert_map(renderer(kind).turned(*plain, views, mesh=False), expected)


def test_sweeps_of_one_image():
    ours, plain = renderer(reference_rounding=True), (images()[:1], depth()[:1].detach())
    expected = tensor("render_view_mesh")
    views = torch.cat([sweep(1, VIEW_YAW, expected.shape[1] // 2), sweep(0, VIEW_PITCH, expected.shape[1] // 2)])
    assert_map(ours.turned(*plain, views), expected)
    expected = tensor("render_yaw_mesh_crop")
    assert_map(ours.turned(*plain, sweep(1, YAW, expected.shape[1]), crop=CROP), expected)


def test_meshes_without_the_references_rounding():
    exact, rounded = renderer(), renderer(reference_rounding=True)
    points = grids.moved(exact.points(depth()), view(), exact.center)
    assert_map(exact.drawn(images(), points), rounded.drawn(images(), points), 1e-4)


def test_a_view_after_the_sweep():
    ours, plain = renderer(), (images(), depth().detach())
    alone = ours.turned(*plain, torch.zeros(1, 6), after=view())
    assert_map(alone[:, 0], tensor("render_given_view_mesh/im"), 5e-5)


def test_depths_in_the_wrong_order_are_refused():
    with pytest.raises(ConfigError, match="min_depth < max_depth"):
        build_part(dict(type="DepthImageRenderer", size=8, min_depth=1.1, max_depth=0.9), RENDERERS)

"""Rendering, meshes and appearance of IDR, against the sphere that it starts from."""

import numpy as np
import pytest
import torch

from deep3dmap.backbones import RadianceNetwork
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.frameworks import IDR
from deep3dmap.frameworks.base import Stage
from deep3dmap.frameworks.idr.cameras import CameraPoses
from deep3dmap.geometry.meshing import NoSurfaceError
from deep3dmap.structures import Cameras
from tests.frameworks.idr.helpers import LOSSES, rays_from, small_idr


@pytest.fixture(scope="module")
def wide():
    """Wide enough for its start to be close to a sphere of radius 0.6."""
    return small_idr(width=512).eval()


def in_world(framework, scale=2.0, shift=(5.0, -3.0, 1.0)):
    """Tell a framework that the world's unit sphere is ``scale`` large and lies at ``shift``."""
    world_from_scene = torch.diag(torch.tensor([scale, scale, scale, 1.0], dtype=torch.float64))
    world_from_scene[:3, 3] = torch.tensor(shift)
    framework.setup(dict(scene_from_world=torch.linalg.inv(world_from_scene)))
    return framework


def look_at_origin(centers) -> Cameras:
    """Cameras at the given places that look at the origin, with 60 pixels focal length."""
    z = -torch.nn.functional.normalize(centers, dim=-1)
    x = torch.nn.functional.normalize(torch.linalg.cross(z, torch.tensor([0.0, 0.0, 1.0]).expand_as(z)), dim=-1)
    R = torch.stack([x, torch.linalg.cross(z, x), z], 1)
    K = torch.tensor([[60.0, 0, 24], [0, 60, 24], [0, 0, 1]]).repeat(len(centers), 1, 1)
    return Cameras(K, torch.cat([R, -R @ centers[:, :, None]], -1), (48, 48))


def test_the_mesh_of_the_start_is_a_sphere_in_the_worlds_frame_and_units(wide):
    mesh = in_world(wide, 2.0, (5.0, -3.0, 1.0)).extract_mesh(64)
    radii = np.linalg.norm(mesh.vertices - [5.0, -3.0, 1.0], axis=1)
    assert abs(radii.mean() - 2.0 * 0.6) < 0.1 and radii.std() < 0.2
    assert mesh.is_watertight and mesh.volume > 0


def test_the_mesh_has_a_colour_for_each_vertex_unless_told_otherwise(wide):
    mesh = wide.extract_mesh(24)
    colors = mesh.visual.vertex_colors
    assert mesh.visual.kind == "vertex" and colors.shape == (len(mesh.vertices), 4) and (colors[:, 3] == 255).all()
    assert colors[:, :3].std() > 0
    assert wide.extract_mesh(24, color=False).visual.kind != "vertex"


def test_a_vertexs_colour_is_what_a_ray_along_its_normal_sees(wide):
    mesh = in_world(wide, 1.0, (0.0, 0.0, 0.0)).extract_mesh(32)
    points = torch.tensor(mesh.vertices[::50], dtype=torch.float32)
    normals = torch.nn.functional.normalize(wide.geometry.gradient(points).detach(), dim=-1)
    seen = wide.predict(dict(origins=points + 0.5 * normals, directions=-normals))
    assert seen["mask"].all()
    np.testing.assert_allclose(seen["rgb"] * 255, mesh.visual.vertex_colors[::50, :3], atol=4)


def test_what_lies_beyond_the_bounding_sphere_is_not_meshed():
    framework = small_idr(radius=0.6)
    framework.geometry.sdf = lambda points: points[:, 0] - 0.3  # a half space, cut off by the sphere
    mesh = framework.extract_mesh(48, color=False)
    assert mesh.is_watertight
    assert np.linalg.norm(mesh.vertices, axis=1).max() < 1.01 and mesh.vertices[:, 0].max() < 0.31


def test_only_the_largest_component_is_kept_unless_told_otherwise():
    framework = small_idr()
    centers = torch.tensor([[0.4, 0, 0], [-0.6, 0, 0]])
    framework.geometry.sdf = lambda points: ((points[:, None] - centers).norm(dim=-1) - torch.tensor([0.4, 0.1])).amin(1)
    one, two = (framework.extract_mesh(40, color=False, largest=largest) for largest in (True, False))
    assert one.vertices[:, 0].min() > -0.1 and two.vertices[:, 0].min() < -0.6


def test_a_geometry_without_surface_is_named():
    framework = small_idr()
    framework.geometry.sdf = lambda points: torch.ones(len(points))
    with pytest.raises(NoSurfaceError, match="no surface"):
        framework.extract_mesh(16)


def test_predictions_of_the_start_are_those_of_a_sphere(wide):
    rays = rays_from((0.0, -2.5, 0.0))
    out = wide.predict(rays)
    b = (rays["origins"] * rays["directions"]).sum(-1)
    discriminant = b**2 - (2.5**2 - 0.6**2)
    clear = discriminant.abs() > 0.15  # the start is a sphere up to some hundredths
    assert torch.equal(out["mask"][clear], discriminant[clear] > 0) and out["mask"].any() and not out["mask"].all()
    hit = out["mask"] & clear
    torch.testing.assert_close(out["distance"][hit], (-b - discriminant.clamp(min=0).sqrt())[hit], atol=0.12, rtol=0)
    points = rays["origins"] + out["distance"][:, None] * rays["directions"]
    outward = torch.nn.functional.normalize(points, dim=-1)
    assert (out["normals"][hit] * outward[hit]).sum(-1).min() > 0.95


def test_rays_that_miss_show_the_background_and_nothing_else():
    out = small_idr(background=0.25).predict(rays_from((0.0, -2.5, 0.0)))
    missed = ~out["mask"]
    assert missed.any() and (out["rgb"][missed] == 0.25).all()
    assert (out["distance"][missed] == 0).all() and (out["normals"][missed] == 0).all()
    assert (out["rgb"] >= 0).all() and (out["rgb"] <= 1).all()


@pytest.mark.parametrize("chunk", [1, 7, 3])
def test_chunks_do_not_change_predictions(chunk):
    rays = rays_from((0.0, -2.5, 0.0), count=21) | dict(camera_rotation=torch.eye(3))
    whole, parts = (small_idr(chunk=c, radiance=dict(camera_light=True)).predict(rays) for c in (1000, chunk))
    for key in whole:
        torch.testing.assert_close(parts[key], whole[key], atol=1e-5, rtol=0)


def test_no_rays_give_empty_predictions():
    out = small_idr().predict(rays_from((0.0, -2.5, 0.0), count=0))
    assert out["rgb"].shape == (0, 3) and out["mask"].shape == (0, )


def test_training_mode_and_gradients_do_not_leak_into_predictions():
    framework = small_idr().train()
    first = framework(rays_from((0.0, -2.5, 0.0)), mode="predict")
    again = framework.eval()(rays_from((0.0, -2.5, 0.0)), mode="predict")
    assert torch.equal(first["rgb"], again["rgb"]) and not first["rgb"].requires_grad


def test_another_appearance_changes_colours_and_not_the_geometry():
    framework = small_idr().eval()
    rays = rays_from((0.0, -2.5, 0.0))
    before, mesh = framework.predict(rays), framework.extract_mesh(24)
    torch.manual_seed(9)
    framework.radiance = RadianceNetwork(width=16, depth=1, features=8, view_frequencies=1)
    after, painted = framework.predict(rays), framework.extract_mesh(24)
    for key in ("mask", "distance", "normals"):
        assert torch.equal(before[key], after[key])
    assert (before["rgb"] - after["rgb"])[before["mask"]].abs().mean() > 0.01
    assert np.array_equal(mesh.vertices, painted.vertices)
    assert not np.array_equal(mesh.visual.vertex_colors, painted.visual.vertex_colors)


def test_a_lamp_on_the_camera_turns_with_the_camera():
    framework = small_idr(radiance=dict(camera_light=True)).eval()
    rays = rays_from((0.0, -2.5, 0.0))
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    upright, turned = (framework.predict(rays | dict(camera_rotation=R)) for R in (torch.eye(3), turn))
    assert torch.equal(upright["mask"], turned["mask"])
    assert not torch.allclose(upright["rgb"], turned["rgb"])
    per_ray = framework.predict(rays | dict(camera_rotation=turn.expand(200, 3, 3)))
    assert torch.equal(per_ray["rgb"], turned["rgb"])


def test_a_lamp_on_the_camera_sees_the_normal_in_the_cameras_axes():
    framework = small_idr(radiance=dict(camera_light=True)).eval()
    seen = []
    framework.radiance.register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    camera = look_at_origin(torch.tensor([[1.5, 2.0, 0.5]]))
    R = camera.rotations[0]
    framework.predict(dict(origins=camera.centers, directions=camera.axes, camera_rotation=R.T))
    _, gradient, _, _, camera_normals = seen[0]
    normal = torch.nn.functional.normalize(gradient, dim=-1)[0]
    torch.testing.assert_close(camera_normals[0], R @ normal, atol=1e-5, rtol=0)


def test_without_a_known_roll_the_lamp_still_stands_behind_the_viewer():
    framework = small_idr(radiance=dict(camera_light=True)).eval()
    out = framework.predict(rays_from((0.0, -2.5, 0.0)))
    assert out["mask"].any() and out["rgb"].isfinite().all()
    assert framework.extract_mesh(16).visual.kind == "vertex"


def test_features_must_fit_together():
    with pytest.raises(ConfigError, match="geometry gives 4 features but radiance takes 8"):
        IDR(geometry=dict(width=32, depth=2, skip=[], frequencies=0, features=4),
            radiance=dict(width=16, depth=1, features=8),
            renderer=dict(type="SphereTracer"),
            losses=LOSSES)


@pytest.mark.parametrize("call, message", [
    (lambda: small_idr().setup(dict(masks=False, source="my photos")), "my photos: IDR needs a mask for every view"),
    (lambda: small_idr(train_cameras=True).setup(dict(masks=True)), "with cameras"),
])  # yapf: disable
def test_masks_and_cameras_to_train_are_needed(call, message):
    with pytest.raises(DataError, match=message):
        call()


def test_the_stage_that_fits_distances_counts_only_what_it_can():
    framework = small_idr(losses=LOSSES | dict(sdf=dict(type="SDFLoss")))
    framework.enter_stage(Stage("fit_sdf"))
    points = torch.rand(10, 3) - 0.5
    assert set(framework(dict(points=points, sdf=points[:, 0]), mode="loss")) == {"loss_eikonal", "loss_sdf"}
    framework.enter_stage(Stage("train"))
    rays = rays_from((0.0, -2.5, 0.0), 10) | dict(mask=torch.ones(10, dtype=torch.bool), rgb=torch.rand(10, 3))
    assert set(framework.train()(rays, mode="loss")) == {"loss_rgb", "loss_eikonal", "loss_mask"}


def test_fitting_distances_makes_the_shape_that_they_describe():
    framework = small_idr(losses=LOSSES | dict(sdf=dict(type="SDFLoss")))
    framework.enter_stage(Stage("fit_sdf", ("geometry.*", )))
    optimizer = torch.optim.Adam([p for p in framework.parameters() if p.requires_grad], 2e-3)
    center, generator = torch.tensor([0.2, -0.1, 0.0]), torch.Generator().manual_seed(0)
    for _ in range(150):
        points = torch.rand(512, 3, generator=generator) * 2 - 1
        losses = framework(dict(points=points, sdf=(points - center).norm(dim=-1) - 0.4), mode="loss")
        optimizer.zero_grad()
        framework.parse_losses(losses)[0].backward()
        optimizer.step()
    radii = np.linalg.norm(framework.extract_mesh(40, color=False).vertices - center.numpy(), axis=1)
    assert abs(radii.mean() - 0.4) < 0.02 and radii.std() < 0.03


@pytest.fixture
def cameras():
    return look_at_origin(torch.tensor([[2.5, 0.3, 0.4], [-0.5, 2.4, -0.3], [0.2, -2.0, 1.5]]))


def test_trained_cameras_start_as_the_given_ones(cameras):
    poses = CameraPoses(cameras.cam_to_world, cameras.K)
    uv, view = torch.rand(40, 2) * 48, torch.randint(3, (40, ))
    origins, directions, rotation = poses(view, uv)
    rays = cameras.rays(view, uv)
    torch.testing.assert_close(directions, rays.directions, atol=1e-5, rtol=0)
    torch.testing.assert_close(origins, rays.origins, atol=1e-5, rtol=0)
    torch.testing.assert_close(rotation, cameras.rotations.transpose(1, 2)[view], atol=1e-5, rtol=0)


def test_trained_cameras_come_back_in_the_world(cameras):
    framework = small_idr(train_cameras=True)
    scene_from_world = torch.diag(torch.tensor([0.5, 0.5, 0.5, 1.0], dtype=torch.float64))
    framework.setup(dict(scene_from_world=scene_from_world, cam_to_world=cameras.cam_to_world, K=cameras.K))
    world = framework.trained_cameras()
    torch.testing.assert_close(world.centers.float(), 2 * cameras.centers, atol=1e-5, rtol=0)
    torch.testing.assert_close(world.rotations.float(), cameras.rotations, atol=1e-5, rtol=0)
    assert small_idr().trained_cameras() is None


def with_cameras(cameras, **options):
    framework = small_idr(train_cameras=True, **options)
    framework.setup(dict(cam_to_world=cameras.cam_to_world, K=cameras.K, masks=True))
    return framework


def test_held_out_views_do_not_see_the_trained_cameras(cameras):
    framework = with_cameras(cameras).eval()
    rays = cameras.view_rays(1)
    held_out = dict(origins=rays.origins, directions=rays.directions, uv=rays.uv)
    trained = held_out | dict(view=torch.ones(len(rays), dtype=torch.long))
    before = [framework.predict(inputs) for inputs in (held_out, trained)]
    torch.testing.assert_close(before[0]["distance"], before[1]["distance"], atol=1e-3, rtol=0)
    with torch.no_grad():
        framework.cameras.poses.weight[1, 4:] *= 1.2
    after = [framework.predict(inputs) for inputs in (held_out, trained)]
    assert torch.equal(before[0]["distance"], after[0]["distance"])
    assert (before[1]["distance"] - after[1]["distance"]).abs().max() > 0.1


def training_rays(cameras, view: int) -> dict:
    """Rays of one view of a sphere of radius 0.6, as exact cameras see it."""
    rays = cameras.view_rays(view)
    nearest = torch.linalg.cross(rays.origins, rays.directions).norm(dim=-1)
    return dict(uv=rays.uv, view=torch.full((len(rays), ), view), mask=nearest < 0.6, rgb=torch.full((len(rays), 3), 0.5))


def test_a_step_moves_only_the_cameras_that_it_saw(cameras):
    framework = with_cameras(cameras).train()
    before = framework.cameras.poses.weight.detach().clone()
    optimizer = torch.optim.SparseAdam(framework.cameras.parameters(), 1e-2)
    framework.parse_losses(framework(training_rays(cameras, 1), mode="loss"))[0].backward()
    optimizer.step()
    moved = (framework.cameras.poses.weight - before).abs().amax(1)
    assert moved[1] > 1e-3 and moved[0] == 0 and moved[2] == 0


def test_the_gradient_of_a_camera_is_that_of_the_loss(cameras):
    """Finite differences of the mask loss, which acts through the sdf at the traced points."""
    framework = with_cameras(cameras).train()
    inputs = training_rays(cameras, 0) | dict(uniform_steps=torch.linspace(0, 1, 24), eikonal_points=torch.zeros(1, 3))

    def loss():
        return framework(inputs, mode="loss")["loss_mask"]

    weight = framework.cameras.poses.weight
    with torch.no_grad():
        weight[0, 4:] += torch.tensor([0.0, 0.1, 0.05])  # so that the silhouettes disagree
    loss().backward()
    gradient = weight.grad.to_dense()[0, 4:]
    direction = gradient / gradient.norm()
    values = []
    for step in (-0.01, 0.01):
        with torch.no_grad():
            weight[0, 4:] += step * direction
            values.append(float(loss()))
            weight[0, 4:] -= step * direction
    difference = (values[1] - values[0]) / 0.02
    assert 0.5 < difference / float(gradient.norm()) < 2.0

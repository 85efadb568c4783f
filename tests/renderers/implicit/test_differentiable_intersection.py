import torch
from torch.nn.functional import normalize

from deep3dmap.backbones import SDFNetwork
from deep3dmap.frameworks.idr.published import geometry_config
from deep3dmap.renderers import differentiable_intersection
from tests.goldens import assert_near, tensors, text


def load(golden, *names):
    return [torch.from_numpy(golden[n]) for n in names]


def rotation_of(quaternion):
    """Rotation matrices of quaternions (w, x, y, z): columns are the rotated axes."""
    w, x, y, z = normalize(quaternion, dim=1).unbind(1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), 2 * (x * y + w * z), 1 - 2 * (x * x + z * z),
        2 * (y * z - w * x), 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)
    ]
    return torch.stack(rows, 1).view(-1, 3, 3)


def rays_of(uv, intrinsics, pose):
    """Origins and unit directions (b n, 3) of pixels seen by cameras whose poses are quaternion and position."""
    pixel = torch.cat([uv, torch.ones_like(uv[..., :1])], -1)
    in_camera = torch.linalg.solve(intrinsics[:, None, :3, :3], pixel[..., None])
    directions = normalize((rotation_of(pose[:, :4])[:, None] @ in_camera)[..., 0], dim=-1)
    return pose[:, None, 4:].expand_as(directions).reshape(-1, 3), directions.reshape(-1, 3)


def test_points_and_their_gradients_are_the_references(goldens):
    golden = goldens("idr/sample_network")
    names = [
        "surface_output", "surface_sdf_values", "surface_points_grad", "surface_dists", "surface_cam_loc", "surface_ray_dirs"
    ]
    inputs = [x.squeeze(1) if x.shape[1] == 1 else x for x in load(golden, *names)]
    tracked = {"surface_output": 0, "surface_points_grad": 2, "cam_loc": 4, "ray_dirs": 5}
    for i in tracked.values():
        inputs[i].requires_grad_()
    points = differentiable_intersection(*inputs)
    torch.testing.assert_close(points, *load(golden, "points"), atol=1e-5, rtol=0)
    (points * load(golden, "cotangent")[0]).sum().backward()
    for name, i in tracked.items():
        expected = torch.from_numpy(golden[f"vjp_{name}"]).view_as(inputs[i])
        assert_near(inputs[i].grad, expected, 1e-4, name)


def test_inside_a_network_weights_and_poses_get_the_references_gradients(goldens):
    golden = goldens("idr/sample_network")
    network = SDFNetwork(**geometry_config(text(golden, "net/config")))
    network.load_state_dict(tensors(golden, "net/state/"))
    uv, intrinsics, pose, mask, distance, cotangent = load(golden, "net/uv", "net/intrinsics", "net/pose7", "net/mask",
                                                           "net/dists", "net/cotangent")
    pose.requires_grad_()
    origins, directions = (x[mask] for x in rays_of(uv, intrinsics, pose))
    traced = origins + distance[mask, None] * directions
    sdf, gradient, _ = network.sdf_and_gradient(traced)
    points = differentiable_intersection(sdf, sdf.detach(), gradient.detach(), distance[mask], origins, directions)
    torch.testing.assert_close(points, torch.from_numpy(golden["net/points"]), atol=1e-5, rtol=0)
    (points * cotangent).sum().backward()
    assert_near(pose.grad, torch.from_numpy(golden["net/pose7_grad"]), 1e-3)
    for name, parameter in network.named_parameters():
        assert_near(parameter.grad, torch.from_numpy(golden[f"net/grad/{name}"]), 1e-4, name)


def test_the_point_moves_with_a_growing_sphere():
    # |x| - r at distance 3 - r along the axis: the point's derivative by r is -1 in distance
    radius = torch.tensor(0.5, requires_grad=True)
    origin, direction, traced = torch.tensor([[0.0, 0, -3]]), torch.tensor([[0.0, 0, 1]]), torch.tensor([[0.0, 0, -0.5]])
    sdf = traced.norm(dim=1) - radius
    points = differentiable_intersection(sdf, sdf.detach(), normalize(traced, dim=1), torch.tensor([2.5]), origin, direction)
    torch.testing.assert_close(points, traced)
    points[0, 2].backward()
    torch.testing.assert_close(radius.grad, torch.tensor(-1.0))


def test_a_least_slope_bounds_the_gradient_of_a_grazing_ray_and_no_other():
    sdf = torch.zeros(3, requires_grad=True)
    normals, directions = torch.tensor([[0.0, 0.0, -1.0]] * 3), torch.tensor([[1.0, 0.0, 0.01], [0.8, 0.0, 0.6],
                                                                              [1.0, 0.0, -0.01]])
    points = differentiable_intersection(sdf, sdf.detach(), normals, torch.ones(3), torch.zeros(3, 3), directions, 0.2)
    torch.testing.assert_close(points, directions)
    points[:, 0].sum().backward()
    torch.testing.assert_close(sdf.grad, torch.tensor([1 / 0.2, 0.8 / 0.6, -1 / 0.2]))

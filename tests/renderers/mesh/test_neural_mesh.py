"""Neural re-rendering computes what Kato et al.'s renderer does: images, and the approximate gradients of each."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from deep3dmap.renderers.depth_image.grids import grid_faces
from deep3dmap.renderers.mesh import FaceCubes, MeshRenderer, NeuralMeshRasterizer, NeuralMeshRenderer, VertexColors, blending
from deep3dmap.renderers.mesh.nearest_face import PixelRule, select_nearest
from deep3dmap.renderers.mesh.neural_edges import edge_gradients
from deep3dmap.renderers.mesh.neural_mesh import far_depth
from deep3dmap.renderers.mesh.selection import RasterSettings, Triangles, pixel_centers
from deep3dmap.renderers.mesh.triangles import cross
from deep3dmap.structures import Cameras, Meshes
from tests import goldens

FLIP = torch.tensor([1.0, -1.0, 1.0])  # the fixture's image coordinates have y up
NEAR, FAR, EPSILON, BACKGROUND = 0.1, 100.0, 1e-3, (0.2, 0.4, 0.6)  # the fixture's settings


def assert_map(actual, expected, tolerance=1e-5, share=0.005):
    """A rasterised map; a pixel on an edge may go to the neighbour."""
    expected = torch.as_tensor(expected)
    assert actual.shape == expected.shape
    different = (actual - expected).abs() > tolerance
    assert different.float().mean() <= share, (actual - expected).abs().max()


def assert_gradient(actual, expected):
    expected = torch.as_tensor(expected)
    assert (actual - expected).abs().max() <= 5e-4 * expected.abs().max()


def draw(golden, prefix):
    """The fixture's triangles, their textures, and images of them."""
    corners, textures = (torch.tensor(golden[key][0], requires_grad=True) for key in ("faces", "textures"))
    index = torch.arange(len(corners))
    triangles = Triangles(corners * FLIP, torch.zeros_like(index), index)
    background = torch.tensor(BACKGROUND)
    meshes = Meshes.pack([corners.detach().flatten(0, 1)], [torch.arange(3 * len(corners)).view(-1, 3)])

    def paint(fragments):
        colors = FaceCubes(textures, EPSILON).sample(fragments, meshes)
        color, alpha = blending.hard_blend(colors, fragments, background)
        return fragments.to_images(color, background), fragments.to_images(alpha)

    anti_aliasing = prefix == "aa"
    renderer = NeuralMeshRenderer(dict(type="NeuralMeshRasterizer", near=NEAR, far=FAR, fill_back=False),
                                  dict(type="MeshShader", background=BACKGROUND), anti_aliasing, EPSILON)  # yapf: disable
    images = renderer.draw(triangles, (1, *golden[f"{prefix}/alpha"].shape[1:]), paint)
    depth = far_depth(images.fragments, FAR, anti_aliasing)
    return corners, textures, {"rgb": images.color.permute(0, 3, 1, 2), "alpha": images.alpha, "depth": depth}


@pytest.mark.parametrize("prefix", ["noaa", "aa"])
def test_images_and_approximate_gradients(prefix):
    golden = goldens.read("gan2shape/rasteriser")
    corners, textures, images = draw(golden, prefix)
    for name, image in images.items():
        assert_map(image, golden[f"{prefix}/{name}"])
        loss = (image * torch.tensor(golden[f"{prefix}/{name}_cot"])).sum()
        leaves = [corners, textures] if name == "rgb" else [corners]
        gradients = torch.autograd.grad(loss, leaves, retain_graph=True)
        for gradient, leaf in zip(gradients, ("faces", "textures")):
            assert_gradient(gradient, golden[f"{prefix}/{name}_grad_{leaf}"][0])


def test_lens_distortion():
    golden = goldens.read("gan2shape/rasteriser")
    points, size = torch.tensor(golden["projection/points"][0]), int(golden["projection/orig_size"][0])
    pose = torch.cat([torch.eye(3), torch.tensor(golden["projection/t"][0].T)], 1)[None]
    cameras = Cameras(torch.tensor(golden["projection/K"]), pose, (size, size))
    meshes = Meshes.pack([points], [torch.arange(len(points)).view(-1, 3)])
    triangles = NeuralMeshRasterizer(distortion=golden["projection/dist"][0].tolist()).triangles(meshes, cameras)
    expected = torch.tensor(golden["projection/out"][0])
    torch.testing.assert_close(triangles.corners.flatten(0, 1) * FLIP, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pixel, distance", [(7, 1.5), (4, 1.5), (2, 3.5)])
def test_an_edge_is_pulled_by_what_moving_it_to_a_pixel_would_change(pixel, distance):
    """A row of pixels and a face whose right edge is upright: gain over distance, shared by the lever rule."""
    size = 12
    left, right, row = 1.0, 5.5, 5  # pixels
    corners = torch.tensor([[right, 0.0, 1.0], [right, 10.0, 1.0], [left, 5.0, 1.0]]).double()
    corners[:, :2] = (2 * corners[:, :2] + 1 - size) / size
    owner = torch.full((1, size, size), -1)
    owner[0, row, int(left):int(right) + 1] = 0
    image = (owner >= 0).double()[..., None]
    upstream = torch.zeros_like(image)
    beyond = pixel > right
    upstream[0, row, pixel] = -2 if beyond else 2  # to be covered, or uncovered
    gradient = edge_gradients(image, upstream, corners[None], owner, epsilon=0.0)[0]
    needed = distance * 2 / size / 0.5  # the edge's middle moves half as much as either end alone
    expected = 2 / needed * (-1 if beyond else 1)
    assert gradient[:2, 0].numpy() == pytest.approx(expected)
    assert gradient[:, 2].abs().max() == 0


@pytest.fixture
def scene():
    """Two triangles of a soup, the first partly before the second, seen in float64."""
    vertices = torch.tensor([[-0.9, -0.8, 2.0], [0.8, -0.6, 2.4], [-0.1, 0.9, 2.2], [-0.5, -0.9, 3.0], [0.9, 0.1, 3.1],
                             [0.1, 0.95, 2.9]]).double()  # yapf: disable
    meshes = Meshes.pack([vertices], [torch.tensor([[0, 1, 2], [3, 4, 5]])])
    K = torch.tensor([[[20.0, 0, 12], [0, 20, 10], [0, 0, 1]]]).double()
    return meshes, Cameras(K, torch.eye(3, 4)[None].double(), (20, 24))


def test_depth_has_its_exact_gradient(scene):
    meshes, cameras = scene
    renderer = NeuralMeshRenderer(anti_aliasing=False)
    seen = renderer(meshes, cameras).alpha.detach()
    weights = torch.rand(seen.shape, generator=torch.Generator().manual_seed(0)).double() * seen

    def loss(vertices):
        images = renderer(meshes.with_vertices(vertices), cameras)
        return (images.depth * weights).sum()

    vertices = meshes.vertices.clone().requires_grad_()
    gradient, = torch.autograd.grad(loss(vertices), vertices)
    move = torch.rand(vertices.shape, generator=torch.Generator().manual_seed(1)).double() - 0.5
    step = 1e-6
    with torch.no_grad():
        slope = (loss(vertices + step * move) - loss(vertices - step * move)) / (2 * step)
    assert (gradient * move).sum().item() == pytest.approx(slope.item(), rel=1e-5)


def test_colors_inside_a_face_do_not_move_it(scene):
    """Colours are interpolated from vertices, but pixels far from the outline whose change would not help pull at nothing."""
    meshes, cameras = scene
    one = Meshes.pack([meshes.vertices[:3]], [meshes.faces[:1]])  # so that no outline meets another face
    vertices = one.vertices.clone().requires_grad_()
    colors = torch.rand(3, 3, generator=torch.Generator().manual_seed(0)).double()
    renderer = NeuralMeshRenderer(shader=dict(type="MeshShader", shading="none"), anti_aliasing=False)
    images = renderer(one.with_vertices(vertices), cameras, VertexColors(colors))
    inside = avg_pool2d(images.alpha[:, None].detach(), 5, 1, 2)[:, 0] == 1  # two pixels from the outline
    assert inside.any()
    darker, brighter = (torch.autograd.grad(sign * images.color[inside].sum(), vertices, retain_graph=True)[0]
                        for sign in (1, -1))
    assert darker.abs().max() == 0  # uncovered pixels would be white
    assert brighter[:, :2].abs().max() > 0 and brighter[:, 2].abs().max() > 0


def test_silhouettes_pull_a_triangle_over_a_target(scene):
    """Away from the target every derivative of a hard silhouette is zero; the approximate gradient leads there."""
    meshes, cameras = scene
    one = Meshes.pack([meshes.vertices[:3]], [meshes.faces[:1]])
    renderer = NeuralMeshRenderer()
    target = renderer(one, cameras).alpha.detach()
    vertices = (one.vertices * 0.5 + torch.tensor([0.15, -0.1, 1.1])).requires_grad_()
    optimizer = torch.optim.Adam([vertices], lr=0.02)
    errors = []
    for _ in range(60):
        error = (renderer(one.with_vertices(vertices), cameras).alpha - target).abs().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.15 * errors[0]


def test_near_and_far_drop_pixels(scene):
    meshes, cameras = scene
    depth = NeuralMeshRenderer(anti_aliasing=False)(meshes, cameras).depth
    for near, far in ((0.1, 2.3), (2.3, 100.0)):
        rasterizer = dict(type="NeuralMeshRasterizer", near=near, far=far)
        limited = NeuralMeshRenderer(rasterizer, anti_aliasing=False)(meshes, cameras)
        shown = limited.alpha > 0
        assert ((limited.depth > near) & (limited.depth < far))[shown].all()
        wanted = (depth > near) & (depth < far)
        assert shown[wanted].all() and limited.depth[wanted].numpy() == pytest.approx(depth[wanted].numpy())


def test_faces_are_seen_from_behind_unless_told_otherwise(scene):
    meshes, cameras = scene
    turned = Meshes(meshes.vertices, meshes.faces.flip(1), meshes.vertex_counts, meshes.face_counts)
    front, back = (NeuralMeshRenderer(dict(type="NeuralMeshRasterizer", fill_back=False))(m, cameras)
                   for m in (turned, meshes))
    both = NeuralMeshRenderer()(meshes, cameras)
    assert back.alpha.max() == 0
    torch.testing.assert_close(both.alpha, front.alpha)
    torch.testing.assert_close(both.depth, front.depth)


def test_agrees_with_the_default_renderer(scene):
    meshes, cameras = scene
    ours, plain = NeuralMeshRenderer(anti_aliasing=False)(meshes, cameras), MeshRenderer()(meshes, cameras)
    for a, b in ((ours.color, plain.color), (ours.alpha, plain.alpha), (ours.depth, plain.depth)):
        assert ((a - b).abs() > 1e-6).float().mean() <= 0.005


def test_its_rasteriser_does_in_the_default_renderer(scene):
    images = MeshRenderer(dict(type="NeuralMeshRasterizer"))(*scene)
    torch.testing.assert_close(images.alpha, MeshRenderer()(*scene).alpha)


def test_an_empty_mesh_shows_the_background(scene):
    empty = Meshes.pack([torch.zeros(0, 3).double()], [torch.zeros(0, 3, dtype=torch.int64)])
    images = NeuralMeshRenderer()(empty, scene[1])
    assert images.alpha.max() == 0 and images.color.min() == 1 and images.depth.max() == 0


@pytest.mark.parametrize("options, message", [(dict(near=2.0, far=1.0), "near and far"),
                                              (dict(distortion=(1.0, )), "5 coeff")])
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        NeuralMeshRasterizer(**options)


def reference_selection(triangles, size, rule, cull):
    """The face of each pixel, -1 where there is none: every triangle against every pixel."""
    corners = triangles.corners.double()
    points = pixel_centers(torch.arange(math.prod(size)), size)
    a, b, c = (corners[:, None, i, :2] - points for i in range(3))
    weights = torch.stack([cross(b, c), cross(c, a), cross(a, b)], -1)
    total = weights.sum(-1, keepdim=True)
    depth = 1 / (weights / total / corners[:, None, :, 2]).sum(-1)
    seen = (weights / total >= 0).all(-1) & (depth > rule.near) & (depth < rule.far)
    seen &= (total[..., 0] < 0) if cull else (total[..., 0] != 0)
    seen &= triangles.image[:, None] == torch.arange(math.prod(size)) // (size[1] * size[2])
    nearest = torch.where(seen, depth, math.inf).min(0)
    return torch.where(nearest.values < math.inf, nearest.indices, -1)


@pytest.mark.parametrize("cull", [False, True])
def test_the_compiled_selection_equals_a_plain_one(cull):
    generator = torch.Generator().manual_seed(0)
    size, count = (2, 17, 23), 60
    corners = torch.rand(count, 3, 3, generator=generator).double() * torch.tensor([3.0, 3.0, 2.0]) - torch.tensor(
        [1.5, 1.5, -0.5])
    corners[0] = corners[0, 0]  # a point
    corners[1, 2] = corners[1, 1]  # a line
    corners[2, :, :2] *= 1e4  # covers all
    triangles = Triangles(corners, torch.arange(count) % 2, torch.arange(count))
    rule = PixelRule(near=0.6, far=2.2)
    pixel, slots = select_nearest(triangles, size, RasterSettings(cull_backfaces=cull), rule)
    face = torch.full((math.prod(size), ), -1).index_put((pixel, ), slots[:, 0])
    assert len(face.unique()) > 10
    np.testing.assert_array_equal(face, reference_selection(triangles, size, rule, cull))


def test_a_grid_whose_edges_meet_pixel_centers_has_no_holes():
    size, cells = (1, 16, 16), 8
    vertices = torch.tensor([[2 * x / cells - 1, 2 * y / cells - 1, 1.0] for y in range(cells + 1) for x in range(cells + 1)])
    vertices[:, :2] += 1 / 16  # grid lines run through the centres
    triangles = Triangles(vertices.double()[grid_faces(cells + 1, cells + 1)], torch.zeros(2 * cells**2, dtype=torch.int64),
                          torch.arange(2 * cells**2))
    pixel, _ = select_nearest(triangles, size, RasterSettings(), PixelRule())
    assert len(pixel) == math.prod(size)


@pytest.mark.parametrize("options, message", [(dict(epsilon=0.0), "epsilon"),
                                              (dict(rasterizer=dict(type="FastRasterizer")), "FastRasterizer"),
                                              (dict(shader=dict(type="MeshShader", blending="softmax")), "softmax")])
def test_parts_that_do_not_go_together_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        NeuralMeshRenderer(**options)

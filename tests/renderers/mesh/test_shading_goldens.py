"""Shaders, blending and textures compute what PyTorch3D's do, gradients included."""

import numpy as np
import pytest
import torch

from deep3dmap.renderers.mesh import FaceGrids, Fragments, Lights, Material, MeshRenderer, UVTexture, VertexColors, blending
from deep3dmap.structures import Meshes
from tests import goldens
from tests.renderers.mesh.mesh_goldens import camera_of

CAMERAS = goldens.files("render/shader_*")
SHADERS = [(camera, shader) for camera in CAMERAS for shader in goldens.cases(f"render/shader_{camera}", r"(.*)_image")
           if "depth" not in shader]


def tensors(rows):
    return [torch.tensor(row) for row in rows]


def mesh_of(golden, vertices):
    return Meshes.pack([vertices], [torch.tensor(golden["faces"].astype(np.int64))])


def light_of(golden, shader: str) -> Lights:
    if shader.endswith("_amb"):
        return Lights(ambient=(1.0, 1.0, 1.0))
    kind, key = ("direction", "dir_light") if shader.endswith("_dir") else ("location", "point_light")
    where, ambient, diffuse, specular = tensors(golden[key])
    return Lights(**{kind: where}, ambient=ambient, diffuse=diffuse, specular=specular)


def shading_of(shader: str) -> tuple[str, str]:
    """Shading and blending that a fixture's name stands for."""
    if shader == "silhouette":
        return "none", "sigmoid"
    shading = next(name for name in ("phong", "gouraud", "flat") if name in shader)
    return shading, "softmax" if shader.startswith("soft") else "hard"


@pytest.mark.parametrize("camera, shader", SHADERS)
def test_shaders(camera, shader):
    golden = goldens.read(f"render/shader_{camera}")
    shading, blend = shading_of(shader)
    sigma, gamma = golden["sigma_gamma"].tolist()
    rasterizer = dict(type="FastRasterizer", faces_per_pixel=int(golden[f"{shader}_faces_per_pixel"]),
                      blur_radius=float(golden[f"{shader}_blur_radius"]))  # yapf: disable
    renderer = MeshRenderer(rasterizer, dict(type="MeshShader", shading=shading, blending=blend, sigma=sigma, gamma=gamma,
                                             background=golden["background"].tolist()))  # yapf: disable
    vertices, colors = (torch.tensor(golden[key], requires_grad=True) for key in ("verts", "vert_colors"))
    ambient, diffuse, specular, shininess = tensors(golden["material"])
    images = renderer(mesh_of(golden, vertices), camera_of(golden), VertexColors(colors), light_of(golden, shader),
                      Material(ambient, diffuse, specular, float(shininess[0])))  # yapf: disable
    image = torch.cat([images.color, images.alpha[..., None]], -1)[0]
    expected, upstream = torch.tensor(golden[f"{shader}_image"]), torch.tensor(golden["upstream"])
    if expected.dim() == 2:
        image, upstream = image[..., 3], upstream[..., 3]
    different = ((image - expected).abs() > 1e-3).view(*expected.shape[:2], -1).any(-1)
    assert different.float().mean() <= 0.005
    leaves = {"verts": vertices, "colors": colors}
    leaves = {name: leaf for name, leaf in leaves.items() if f"{shader}_grad_{name}" in golden.files}
    for name, gradient in zip(leaves, torch.autograd.grad((image * upstream).sum(), list(leaves.values()))):
        reference = torch.tensor(golden[f"{shader}_grad_{name}"])
        # without a safe mask: a pixel on an edge may differ, and softmax divides depths by gamma
        assert (gradient - reference).abs().max() <= 5e-3 * reference.abs().max(), name


@pytest.mark.parametrize("camera", CAMERAS)
def test_depths_and_projection(camera):
    golden = goldens.read(f"render/shader_{camera}")
    cameras, vertices = camera_of(golden), torch.tensor(golden["verts"])
    pixels, depth = cameras.project(vertices)
    np.testing.assert_allclose(pixels[0], golden["screen"][:, :2], atol=1e-4)
    np.testing.assert_allclose(depth[0], golden["view"][:, 2], atol=1e-5)
    np.testing.assert_allclose(cameras.centers, golden["center"], atol=1e-5)
    mesh = mesh_of(golden, vertices)
    if "softphong_frag_zbuf" in golden.files:
        k = golden["softphong_frag_zbuf"].shape[-1]
        blur = float(next(golden[key] for key in golden.files if key.startswith("softphong_") and key.endswith("blur_radius")))
        fragments = MeshRenderer(dict(type="FastRasterizer", faces_per_pixel=k, blur_radius=blur)).rasterizer(mesh, cameras)
        dense = fragments.dense()
        same = dense.face.view(golden["softphong_frag_pix_to_face"].shape).numpy() == golden["softphong_frag_pix_to_face"]
        assert same.mean() >= 0.995
        for actual, key, tolerance in ((dense.depth, "zbuf", 1e-3), (dense.distance, "dists", 1e-5)):
            error = np.abs(actual.view(same.shape).numpy() - golden[f"softphong_frag_{key}"])[same]
            assert (error > tolerance).mean() <= 0.005


@pytest.mark.parametrize("camera", [c for c in CAMERAS if "softdepth_image" in goldens.read(f"render/shader_{c}").files])
def test_depth_images(camera):
    golden = goldens.read(f"render/shader_{camera}")
    blur, k = float(golden["softphong_point_blur_radius"]), int(golden["softphong_point_faces_per_pixel"])
    renderer = MeshRenderer(dict(type="FastRasterizer", faces_per_pixel=k, blur_radius=blur))
    fragments = renderer.rasterizer(mesh_of(golden, torch.tensor(golden["verts"])), camera_of(golden))
    far = float(golden["harddepth_image"].max())
    hard = fragments.to_images(torch.where(fragments.hit[:, 0], fragments.depth[:, 0], far), far)[0]
    assert (np.abs(hard.numpy() - golden["harddepth_image"]) > 1e-3).mean() <= 0.005
    depth = fragments.to_images(blending.soft_depth(fragments, float(golden["sigma_gamma"][0]), far), far)[0]
    assert (np.abs(depth.numpy() - golden["softdepth_image"]) > 1e-3 * far).mean() <= 0.005


def fragments_of(golden, prefix: str = "") -> Fragments:
    """Stored fragments, all pixels listed."""
    face = torch.tensor(golden[f"{prefix}pix_to_face"].astype(np.int64))
    face = face if face.dim() == 4 else face[None]
    n, h, w, k = face.shape
    depth, distance = (torch.tensor(golden[prefix + key]).view(-1, k).requires_grad_() for key in ("zbuf", "dists"))
    barycentric = torch.tensor(golden[f"{prefix}bary"]).view(-1, k, 3).requires_grad_()
    return Fragments(torch.arange(n * h * w), face.view(-1, k), barycentric, depth, distance, (n, h, w))


@pytest.mark.parametrize("fragments_name", ["mesh", "rand"])
@pytest.mark.parametrize("mode, tolerance", [("softmax", 2e-3), ("sigmoid", 5e-6), ("hard", 5e-6)])
def test_blending(fragments_name, mode, tolerance):
    golden = goldens.read("render/blend")
    upstream = torch.tensor(golden[f"{fragments_name}_upstream"]).flatten(0, 2)
    for i, (sigma, gamma, *background, near, far) in enumerate(golden["params_sigma_gamma_bg_znear_zfar"].tolist()):
        fragments = fragments_of(golden, f"{fragments_name}_")
        colors = torch.tensor(golden[f"{fragments_name}_colors"]).flatten(0, 2).requires_grad_()
        back = torch.tensor(background)
        if mode == "softmax":
            color, alpha = blending.softmax_blend(colors, fragments, back, sigma, gamma, near, far)
        elif mode == "sigmoid":
            color, alpha = blending.sigmoid_blend(colors, fragments, back, sigma)
        else:
            color, alpha = blending.hard_blend(colors, fragments, back)
        image = torch.cat([color, alpha[:, None]], -1)
        prefix = f"{fragments_name}_p{i}_{mode}_"
        expected = torch.tensor(golden[f"{prefix}image"]).flatten(0, 2)
        used = fragments.hit[:, 0] if mode == "sigmoid" else torch.ones(len(image), dtype=torch.bool)
        assert (image - expected)[used].abs().max() <= tolerance
        leaves = {"colors": colors, "dists": fragments.distance, "zbuf": fragments.depth}
        leaves = {name: leaf for name, leaf in leaves.items() if f"{prefix}grad_{name}" in golden.files}
        gradients = torch.autograd.grad((image * upstream).sum(), list(leaves.values()), allow_unused=True)
        for name, gradient in zip(leaves, gradients):
            reference = torch.tensor(golden[f"{prefix}grad_{name}"]).flatten(0, 2)
            gradient = torch.zeros_like(reference) if gradient is None else gradient
            error = ((gradient - reference).flatten(1).abs().amax(1))[used].max()
            assert error <= 2e-3 * reference.abs().max().clamp(min=1e-6), f"{prefix}grad_{name}"


UV_CASES = goldens.cases("render/textures", r"(uv_.*)_texels")


@pytest.mark.parametrize("case", UV_CASES)
def test_uv_textures(case):
    golden = goldens.read("render/textures")
    corners, padding, mode = case.split("_")[1:]
    image, uv = torch.tensor(golden["map"])[None].requires_grad_(), torch.tensor(golden["verts_uvs"]).requires_grad_()
    texture = UVTexture(image, uv, torch.tensor(golden["faces_uvs"].astype(np.int64)), mode, padding, corners == "ac1")
    assert_texels(golden, case, texture, {"map": image, "uvs": uv})


def test_vertex_colors():
    golden = goldens.read("render/textures")
    colors = torch.tensor(golden["vertex_colors"]).requires_grad_()
    assert_texels(golden, "vertex", VertexColors(colors), {"colors": colors})


def test_face_grids():
    golden = goldens.read("render/textures")
    colors = torch.tensor(golden["atlas_atlas"]).requires_grad_()
    assert_texels(golden, "atlas", FaceGrids(colors), {"atlas": colors})


def assert_texels(golden, case, texture, leaves):
    """Colours of the stored fragments, and gradients to what the texture holds and to barycentric coordinates."""
    fragments = fragments_of(golden)
    mesh = mesh_of(golden, torch.tensor(golden["verts_ndc"]))
    texels = texture.sample(fragments, mesh)
    expected = torch.tensor(golden[f"{case}_texels"]).flatten(0, 1)
    assert (texels - expected)[fragments.hit].abs().max() <= 1e-5
    upstream = torch.where(fragments.hit[..., None], torch.tensor(golden["upstream"]).flatten(0, 1), 0)
    leaves = leaves | {"bary": fragments.barycentric}
    for name, leaf in leaves.items():
        if f"{case}_grad_{name}" in golden.files:
            reference = torch.tensor(golden[f"{case}_grad_{name}"]).reshape(leaf.shape)
            gradient, = torch.autograd.grad((texels * upstream).sum(), leaf, retain_graph=True)
            assert (gradient - reference).abs().max() <= 1e-5 * reference.abs().max().clamp(min=1), name


def test_attributes_of_corners():
    golden = goldens.read("render/textures")
    fragments, attributes = fragments_of(golden), torch.tensor(golden["interp_attrs"]).requires_grad_()
    values = fragments.interpolate(attributes)
    assert (values - torch.tensor(golden["interp_out"]).flatten(0, 1)).abs().max() <= 1e-5
    loss = (values * torch.tensor(golden["interp_upstream"]).flatten(0, 1)).sum()
    for gradient, key in zip(torch.autograd.grad(loss, [attributes, fragments.barycentric]), ("attrs", "bary")):
        reference = torch.tensor(golden[f"interp_grad_{key}"]).reshape(gradient.shape)
        assert (gradient - reference).abs().max() <= 1e-5 * reference.abs().max().clamp(min=1)


@pytest.mark.parametrize("blend", ["hard", "softmax"])
def test_textured_box(blend):
    golden = goldens.read("render/textured_render")
    prefix = "hardphong" if blend == "hard" else "softphong"
    expected = torch.tensor(golden[f"{prefix}_image"])
    background = expected[expected[..., 3] == 0][0, :3].tolist()
    renderer = MeshRenderer(shader=dict(type="MeshShader", blending=blend, background=background))
    vertices, image = torch.tensor(golden["verts"]).requires_grad_(), torch.tensor(golden["map"])[None].requires_grad_()
    texture = UVTexture(image, torch.tensor(golden["verts_uvs"]), torch.tensor(golden["faces_uvs"].astype(np.int64)))
    images = renderer(mesh_of(golden, vertices), camera_of(golden), texture, Lights(location=torch.tensor(golden["light"])))
    rendered = torch.cat([images.color, images.alpha[..., None]], -1)[0]
    assert ((rendered - expected).abs().amax(-1) > 1e-3).float().mean() <= 0.005
    loss = (rendered * torch.tensor(golden[f"{prefix}_upstream"])).sum()
    for gradient, key in zip(torch.autograd.grad(loss, [vertices, image]), ("verts", "map")):
        reference = torch.tensor(golden[f"{prefix}_grad_{key}"]).reshape(gradient.shape)
        assert (gradient - reference).abs().max() <= 5e-3 * reference.abs().max(), key

from functools import partial

import numpy as np
import pytest
import torch

from deep3dmap.datasets.captures.formats import load_capture
from deep3dmap.datasets.readers import idr
from deep3dmap.errors import DataError
from deep3dmap.frameworks.idr.cameras import CameraPoses
from deep3dmap.io.images import write_image, write_mask
from tests.goldens import read

read_capture = partial(load_capture, format="idr")


def write_files(folder, images, masks, entries, cameras="cameras.npz"):
    for i, image in enumerate(images):
        write_image(folder / "image" / f"{i:06d}.png", torch.as_tensor(image))
    for i, mask in enumerate(masks):
        write_mask(folder / "mask" / f"{i:03d}.png", torch.as_tensor(mask))
    np.savez(folder / cameras, **entries)


@pytest.fixture
def golden(goldens, tmp_path):
    """The reference's made-up scan, and its arrays."""
    z = goldens("idr/dataset")
    entries = {f"world_mat_{i}": matrix for i, matrix in enumerate(z["world_mats"])}
    entries |= {f"scale_mat_{i}": z["scale_mat"] for i in range(len(z["world_mats"]))}
    write_files(tmp_path, z["images"], [], entries)
    for i, mask in enumerate(z["mask_images"]):
        write_image(tmp_path / "mask" / f"{i:03d}.png", torch.from_numpy(mask))
    return z


def reference_rays(z, view):
    """Directions and origin after IDR's convention (integer pixel centres), from the reference's own matrices."""
    K, pose = z["intrinsics"][view][:3, :3].astype(float), z["pose"][view].astype(float)
    uv1 = np.concatenate([z["uv"], np.ones((len(z["uv"]), 1))], 1)
    directions = np.linalg.solve(K, uv1.T).T @ pose[:3, :3].T
    return directions / np.linalg.norm(directions, axis=1, keepdims=True), pose[:3, 3]


@pytest.mark.parametrize("view", range(len(read("idr/dataset")["images"])))
def test_rays_are_those_of_the_reference(golden, tmp_path, view):
    cameras = read_capture(tmp_path).scene_cameras
    uv = torch.from_numpy(golden["uv"]).double() + 0.5
    rays = cameras.rays(torch.full((len(uv), ), view), uv)
    directions, origin = reference_rays(golden, view)
    np.testing.assert_allclose(rays.directions, directions, atol=2e-6)
    np.testing.assert_allclose(rays.origins, np.broadcast_to(origin, (len(uv), 3)), atol=1e-5)


def test_colours_and_masks_are_those_of_the_reference(golden, tmp_path):
    capture = read_capture(tmp_path)
    rgb = capture.images.flatten(1, 2).float() / 255
    np.testing.assert_allclose(rgb * 2 - 1, golden["rgb"], atol=1e-6)
    np.testing.assert_array_equal(capture.masks.flatten(1), golden["object_mask"])


def test_poses_that_are_trained_start_at_the_references(golden, tmp_path):
    cameras = read_capture(tmp_path).scene_cameras
    poses = CameraPoses(cameras.cam_to_world, cameras.K).poses.weight.detach()
    np.testing.assert_allclose(poses, golden["pose_init_quat"], atol=1e-5)


def test_the_scene_is_the_unit_sphere_that_scale_mat_maps_to_the_world(golden, tmp_path):
    capture = read_capture(tmp_path)
    np.testing.assert_allclose(torch.linalg.inv(capture.scene_from_world), golden["scale_mat"], rtol=1e-10, atol=1e-10)
    assert capture.images.dtype == torch.uint8 and capture.cameras.K.dtype == torch.float64


@pytest.mark.parametrize("case", range(len(read("idr/load_K_Rt_from_P")["P"])))
def test_projection_matrices_of_any_sign_give_the_rays_of_the_reference(goldens, tmp_path, case):
    z = goldens("idr/load_K_Rt_from_P")
    world = np.concatenate([z["P"][case], [[0, 0, 0, 1]]])
    write_files(tmp_path, [np.zeros((6, 8, 3), np.uint8)], [], dict(world_mat_0=world))
    cameras = read_capture(tmp_path).cameras
    pixels = np.array([[0.0, 0.0], [7.0, 5.0], [300.0, 900.0]])
    rays = cameras.rays(torch.zeros(3, dtype=torch.long), torch.from_numpy(pixels) + 0.5)
    directions, origin = reference_rays({"intrinsics": z["intrinsics"], "pose": z["pose"], "uv": pixels}, case)
    np.testing.assert_allclose(rays.directions, directions, atol=1e-5)
    np.testing.assert_allclose(rays.origins[0], origin, rtol=1e-5, atol=1e-5)
    assert (cameras.K[0].diagonal() > 0).all()


@pytest.mark.parametrize("name", ["cameras_linear_init.npz", "cameras_sphere.npz"])
def test_another_file_of_cameras_is_chosen_by_name(make_capture, tmp_path, name):
    capture = make_capture()
    idr.write(capture, tmp_path / "scan")
    with np.load(tmp_path / "scan" / "cameras.npz") as z:
        entries = dict(z)
    shift = np.eye(4)
    shift[0, 3] = 0.25
    np.savez(tmp_path / "scan" / name, **{k: v @ shift if k.startswith("world") else v for k, v in entries.items()})
    moved = read_capture(tmp_path / "scan", cameras=name).cameras.centers
    torch.testing.assert_close(moved, capture.cameras.centers - torch.tensor([0.25, 0, 0]))
    torch.testing.assert_close(read_capture(tmp_path / "scan").cameras.centers, capture.cameras.centers)


def test_the_name_that_neus_uses_is_found(make_capture, tmp_path):
    idr.write(make_capture(), tmp_path / "scan")
    (tmp_path / "scan" / "cameras.npz").rename(tmp_path / "scan" / "cameras_sphere.npz")
    assert idr.detect(tmp_path / "scan") and len(read_capture(tmp_path / "scan")) == 5


def test_a_capture_without_scale_mat_is_not_normalised_yet(make_capture, tmp_path):
    capture = make_capture()
    world = np.concatenate([capture.cameras.projections, np.tile([[[0, 0, 0, 1]]], (5, 1, 1))], 1)
    write_files(tmp_path, capture.images, [], {f"world_mat_{i}": w for i, w in enumerate(world)})
    assert torch.equal(read_capture(tmp_path).scene_from_world, torch.eye(4, dtype=torch.float64))


def edited(folder, make_capture, change):
    """A written capture whose npz entries ``change`` edits."""
    idr.write(make_capture(normalised=True), folder)
    with np.load(folder / "cameras.npz") as z:
        entries = dict(z)
    change(entries)
    np.savez(folder / "cameras.npz", **entries)
    return folder


@pytest.mark.parametrize("change, message", [
    (lambda e: e.pop("world_mat_4"), "5 images .* but 4 world_mat_i"),
    (lambda e: e.update(world_mat_5=e["world_mat_4"], scale_mat_5=e["scale_mat_4"]), "5 images .* but 6 world_mat_i"),
    (lambda e: e.pop("world_mat_2"), "world_mat_2 is missing"),
    (lambda e: e.pop("scale_mat_3"), "scale_mat_3 is missing|4 scale_mat_i"),
    (lambda e: e.update(world_mat_1=np.eye(3)), "world_mat_1: expected numbers of shape"),
    (lambda e: e.update(world_mat_1=np.full((4, 4), "x")), "world_mat_1: expected numbers"),
    (lambda e: e.update(world_mat_1=np.array([None, {}])), "pickled objects are never read"),
    (lambda e: e.update(world_mat_1=np.zeros((4, 4))), "world_mat_1: not the projection matrix"),
    (lambda e: e.update(world_mat_1=np.full((4, 4), np.inf)), "world_mat_1: not the projection matrix"),
    (lambda e: e.update(world_mat_1=np.zeros((1000, 1000))), "too large"),
    (lambda e: e.update(scale_mat_0=np.diag([1.0, 2.0, 3.0, 1.0])), "scale_mat_0 is not a similarity"),
    (lambda e: e.update(scale_mat_2=2 * e["scale_mat_2"] - np.diag([0, 0, 0, 1.0])), "scale_mat_2 differs"),
    (lambda e: [e.pop(k) for k in list(e) if k.startswith("world")], "holds no world_mat_0"),
])
def test_wrong_entries_are_named(make_capture, tmp_path, change, message):
    with pytest.raises(DataError, match=message) as error:
        read_capture(edited(tmp_path / "scan", make_capture, change))
    assert "cameras.npz" in str(error.value)


def test_masks_that_pair_with_other_images_are_noticed_by_their_numbers(make_capture, tmp_path):
    idr.write(make_capture(), tmp_path / "scan")
    (tmp_path / "scan" / "mask" / "view_004.png").rename(tmp_path / "scan" / "mask" / "view_005.png")
    with pytest.raises(DataError, match=r"view_005\.png: is paired with .*view_004\.png"):
        read_capture(tmp_path / "scan")

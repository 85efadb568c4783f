from dataclasses import replace

import numpy as np
import pytest
import torch

from deep3dmap.datasets.captures.formats import load_capture, save_capture
from deep3dmap.datasets.captures.scene import FolderCapture, load_scene, normalize, resize
from deep3dmap.datasets.readers import idr, transforms
from deep3dmap.errors import ConfigError, DataError
from tests.datasets.scenes import CENTER, NAMES, RADIUS, SIZE, sphere_capture, write_sphere


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_sphere(tmp_path_factory.mktemp("scene") / "sphere")


def sphere_in_scene(capture):
    """Where the true sphere's centre comes to lie, and its radius there."""
    S = capture.scene_from_world.numpy()
    return S[:3, :3] @ CENTER + S[:3, 3], RADIUS * np.cbrt(np.linalg.det(S[:3, :3]))


@pytest.mark.parametrize("how", ["auto", "hull"])
def test_the_hull_puts_the_object_into_the_middle_of_the_unit_sphere(how):
    center, radius = sphere_in_scene(normalize(sphere_capture(), how))
    assert np.linalg.norm(center) < 0.12
    assert 0.65 < radius < 1 and np.linalg.norm(center) + radius < 1


def test_idrs_way_puts_the_object_into_the_unit_sphere():
    center, radius = sphere_in_scene(normalize(sphere_capture(), "masks"))
    assert radius > 0.3 and np.linalg.norm(center) + radius < 1


def test_the_number_of_masks_that_must_hold_a_point_may_be_given_for_idrs_way_alone(folder, monkeypatch):
    given = []
    monkeypatch.setattr("deep3dmap.geometry.normalization.normalization_from_masks",
                        lambda masks, projections, minimal_views: given.append(minimal_views) or torch.eye(4).double())
    load_scene(str(folder), "masks", minimal_views=5)
    assert given == [5]
    with pytest.raises(ConfigError, match="minimal_views=5.*'hull'"):
        load_scene(str(folder), "hull", minimal_views=5)


def test_cameras_alone_put_what_they_look_at_into_the_unit_sphere():
    capture = normalize(replace(sphere_capture(), masks=None), "auto")
    assert np.linalg.norm(capture.scene_from_world.numpy()[:3, 3]) < 0.5
    assert (capture.scene_cameras.centers.norm(dim=-1) > 1).all()


def test_a_given_normalisation_wins_and_is_left_as_it_is():
    given = torch.diag(torch.tensor([0.25, 0.25, 0.25, 1.0], dtype=torch.float64))
    capture = sphere_capture(given)
    for how in ("auto", "given"):
        assert torch.equal(normalize(capture, how).scene_from_world, given)
    assert not torch.equal(normalize(capture, "hull").scene_from_world, given)


def test_a_box_comes_to_lie_inside_the_unit_sphere():
    capture = normalize(sphere_capture(), [[0, 0, 0], [2, 4, 4]])
    corners = torch.tensor([[0, 0, 0, 1], [2, 4, 4, 1], [1, 2, 2, 1.0]], dtype=torch.float64)
    radii = (corners @ capture.scene_from_world.T)[:, :3].norm(dim=-1)
    torch.testing.assert_close(radii, torch.tensor([1, 1, 0]) / torch.tensor(1.1, dtype=torch.float64), atol=1e-9, rtol=0)


@pytest.mark.parametrize("box", [[[0, 0, 0]], [[0, 0, 0], [1, 1]], [[1, 1, 1], [0, 0, 0]], [["a", 0, 0], [1, 1, 1]]])
def test_a_box_that_is_none_is_refused(box):
    with pytest.raises(ConfigError, match=r"a box is \[\[x, y, z\], \[x, y, z\]\]"):
        normalize(sphere_capture(), box)


def test_an_unknown_normalisation_is_refused_with_the_nearest_known():
    with pytest.raises(ConfigError, match="did you mean 'hull'"):
        normalize(sphere_capture(), "hul")


@pytest.mark.parametrize("how", ["hull", "masks"])
def test_a_normalisation_by_masks_needs_masks(how):
    with pytest.raises(DataError, match="needs masks"):
        normalize(replace(sphere_capture(), masks=None), how)


def test_held_out_views_do_not_take_part_in_the_normalisation(folder, tmp_path):
    broken = sphere_capture()
    masks = broken.masks.clone()
    masks[:2] = masks[:2].roll(10, 2)
    idr.write(replace(broken, masks=masks), tmp_path / "broken")
    ours, theirs = (load_scene(str(f), "hull").capture.scene_from_world for f in (folder, tmp_path / "broken"))
    assert torch.equal(ours, theirs)


def test_views_called_test_are_held_out_by_default(folder):
    scene = load_scene(str(folder))
    assert scene.train.names == NAMES[2:] and scene.test.names == NAMES[:2]


@pytest.mark.parametrize("name", ["test", "view"])
@pytest.mark.parametrize("count,held_out", [(15, ()), (16, (4, 12)), (20, (4, 12))])
def test_where_names_do_not_tell_every_8th_view_is_held_out_of_many(name, count, held_out, tmp_path):
    capture = replace(sphere_capture().subset([k % 7 for k in range(count)]), masks=None)
    idr.write(replace(capture, names=tuple(f"{name}{k:02}" for k in range(count))), tmp_path / "x")
    scene = load_scene(str(tmp_path / "x"))
    assert scene.test_views == held_out and len(scene.train_views) == count - len(held_out)


def test_a_scene_says_which_views_are_held_out_and_why(folder):
    assert load_scene(str(folder)).split == "5 views to train on, 2 held out: test_000, test_001 (the views named test*)"


@pytest.mark.parametrize("asked, held_out", [(["view_001", "view_003"], (3, 5)), ("view_002", (4, )), (3, (1, 4)), (0, ()),
                                             (["view_003.png", "image/view_001.png", "view_001"], (3, 5))])  # yapf: disable
def test_views_are_held_out_by_name_with_or_without_folder_and_ending_or_every_nth(folder, asked, held_out):
    scene = load_scene(str(folder), test_views=asked)
    assert tuple(sorted(scene.test_views)) == held_out and set(scene.train_views) == set(range(7)) - set(held_out)


def test_of_views_of_one_name_in_two_folders_the_one_is_held_out_that_is_asked_for(tmp_path):
    transforms.write(sphere_capture(), tmp_path)
    text = (tmp_path / "transforms.json").read_text()
    for place, name in {"a/000": NAMES[0], "b/000": NAMES[1]}.items():
        (tmp_path / place).parent.mkdir()
        (tmp_path / "images" / f"{name}.png").rename(tmp_path / f"{place}.png")
        text = text.replace(f"images/{name}.png", f"{place}.png")
    (tmp_path / "transforms.json").write_text(text)
    assert load_scene(str(tmp_path), test_views="a/000").test.names == ("a/000", )
    with pytest.raises(DataError, match="'a/000'"):
        load_scene(str(tmp_path), test_views="000")


def test_a_name_with_a_point_in_it_is_one_name(tmp_path):
    idr.write(replace(sphere_capture(), names=tuple(f"a{k}.5" for k in range(7))), tmp_path / "x")
    assert load_scene(str(tmp_path / "x"), test_views=["a2.5"]).test_views == (2, )


@pytest.mark.parametrize("asked, error, message", [(1, ConfigError, "n of at least 2"), (-2, ConfigError, "n of at least 2"),
                                                   (["view_04"], DataError, "did you mean .*'view_004'"),
                                                   (list(NAMES[1:]), DataError, "1 of 7 views to train on")])  # yapf: disable
def test_held_out_views_that_are_not_there_or_leave_too_few_are_refused(folder, asked, error, message):
    with pytest.raises(error, match=message):
        load_scene(str(folder), test_views=asked)


def test_a_single_photograph_is_not_said_to_be_held_out(folder, tmp_path):
    save_capture(load_capture(folder).subset([0]), tmp_path / "one", "idr")
    with pytest.raises(DataError, match="1 of 1 views to train on; at least 2 are needed"):
        load_scene(str(tmp_path / "one"), test_views=None)


def test_a_pixels_ray_of_the_resized_capture_is_the_full_size_ones():
    capture = sphere_capture()
    half = resize(capture, 0.5)
    assert half.images.shape == (7, 24, 32, 3) and half.masks.shape == (7, 24, 32)
    uv = torch.tensor([[0.5, 0.5], [10.5, 3.5], [31.5, 23.5]], dtype=torch.float64)
    view = torch.tensor([0, 3, 6])
    small, full = half.cameras.rays(view, uv), capture.cameras.rays(view, 2 * uv)
    torch.testing.assert_close(small.directions, full.directions)
    torch.testing.assert_close(small.origins, full.origins)


def test_a_size_that_does_not_divide_keeps_the_ray_of_a_corner():
    capture = sphere_capture()
    small = resize(capture, 0.3)
    corner = torch.tensor([[small.cameras.size[1], small.cameras.size[0]]], dtype=torch.float64)
    ours = small.cameras.rays(torch.tensor([2]), corner)
    theirs = capture.cameras.rays(torch.tensor([2]), torch.tensor([[SIZE[1], SIZE[0]]], dtype=torch.float64))
    torch.testing.assert_close(ours.directions, theirs.directions)


def test_resized_colours_are_means_and_masks_majorities():
    capture = sphere_capture()
    half = resize(capture, 0.5)
    assert half.images[4, 5, 7].tolist() == [14, 10, 4]  # means 14.5 and 10.5, rounded to even
    share = capture.masks[0].reshape(24, 2, 32, 2).float().mean((1, 3))
    assert torch.equal(half.masks[0], share > 0.5)


def test_a_scene_at_scale_one_keeps_its_truth_and_a_smaller_one_drops_it():
    capture = replace(sphere_capture(), depth=torch.ones(7, *SIZE), true_cameras=sphere_capture().cameras)
    assert resize(capture, 1.0).depth is not None
    small = resize(capture, 0.5)
    assert small.depth is None and small.true_cameras.size == small.cameras.size


@pytest.mark.parametrize("scale", [0.0, 1.5, -1])
def test_a_scale_out_of_range_is_refused(scale):
    with pytest.raises(ConfigError, match="above 0 and at most 1"):
        resize(sphere_capture(), scale)


def test_the_same_arguments_give_the_same_scene(folder):
    assert load_scene(str(folder), test_views=2) is load_scene(dict(type="FolderCapture", path=str(folder)), test_views=2)
    assert load_scene(str(folder), test_views=2) is not load_scene(str(folder), test_views=3)


def test_a_scene_knows_exact_cameras_from_a_second_file(folder, tmp_path):
    write_sphere(tmp_path / "x")
    entries = dict(np.load(tmp_path / "x" / "cameras.npz"))
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    np.savez(tmp_path / "x" / "rough.npz", **{k: m @ turn if k.startswith("world") else m for k, m in entries.items()})
    scene = load_scene(str(tmp_path / "x"), reader=dict(cameras="rough.npz", true_cameras="cameras.npz"))
    exact = sphere_capture().cameras
    torch.testing.assert_close(scene.capture.true_cameras.centers, exact.centers)
    torch.testing.assert_close(scene.capture.cameras.centers, exact.centers * torch.tensor([-1.0, -1.0, 1.0]).double())


def test_the_readers_options_belong_to_folders(folder):
    with pytest.raises(ConfigError, match="write cameras into it"):
        load_scene(dict(type="FolderCapture", path=str(folder)), reader=dict(cameras="cameras.npz"))
    with pytest.raises(ConfigError, match="unknown option 'camera'"):
        load_scene(str(folder), reader=dict(camera="cameras.npz"))


def test_exact_cameras_are_needed_for_every_view(tmp_path):
    write_sphere(tmp_path / "x")
    entries = dict(np.load(tmp_path / "x" / "cameras.npz"))
    entries["world_mat_2"] = np.zeros((4, 4))
    np.savez(tmp_path / "x" / "broken.npz", **entries)
    with pytest.raises(DataError, match="broken.npz holds no proper camera for the view"):
        FolderCapture(str(tmp_path / "x"), true_cameras="broken.npz")


def test_the_temple_is_normalised_from_its_own_masks(real_data):
    scene = load_scene(str(real_data / "temple_sparse_ring"), test_views=["templeSR0004", "templeSR0012"], scale=0.25)
    assert len(scene.train_views) == 14
    box = torch.tensor([[-0.073568, 0.021728, -0.012445], [0.028855, 0.181892, 0.062736]], dtype=torch.float64)
    S = scene.capture.scene_from_world  # Middlebury's own bounds of the temple
    corners = box @ S[:3, :3].T + S[:3, 3]
    assert corners.norm(dim=-1).max() < 1.15 and corners.mean(0).norm() < 0.25

import itertools

import pytest
import torch

from deep3dmap.datasets.captures.ray_batches import RayBatches, Views
from deep3dmap.datasets.readers import idr
from deep3dmap.engine.batches import build_source
from deep3dmap.errors import ConfigError
from deep3dmap.registry import DATASETS
from tests.datasets.scenes import SIZE, sphere_capture, write_sphere


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return dict(capture=str(write_sphere(tmp_path_factory.mktemp("rays") / "sphere")))


def draw(dataset, step=0, seed=0, **share):
    return dataset.batch(step, torch.Generator().manual_seed(seed), **share)


def pixels(batch):
    return (batch["uv"] - 0.5).round().long().unbind(-1)


def test_colours_and_masks_are_those_of_the_photographs_pixels(scene):
    batch, capture = draw(RayBatches(scene, rays=500)), sphere_capture()
    column, row = pixels(batch)
    expected = torch.stack([column, row, batch["view"] + 2], -1) / 255  # what the made photographs show
    torch.testing.assert_close(batch["rgb"], expected.float())
    assert torch.equal(batch["mask"], capture.masks[batch["view"] + 2, row, column])
    assert batch["mask"].any() and not batch["mask"].all()


def test_a_point_of_each_ray_is_projected_to_the_rays_pixel(scene):
    dataset = RayBatches(scene, rays=200)
    batch = draw(dataset)
    points = batch["origins"] + 3.0 * batch["directions"]
    uv, depth = dataset.capture.scene_cameras.project(points.double())
    which = torch.arange(200)
    torch.testing.assert_close(uv[batch["view"], which].float(), batch["uv"], atol=1e-3, rtol=0)
    assert (depth[batch["view"], which] > 0).all()
    torch.testing.assert_close(batch["directions"].norm(dim=-1), torch.ones(200))


def test_the_cameras_rotation_takes_its_z_axis_to_the_viewing_direction(scene):
    dataset = RayBatches(scene, rays=50)
    batch = draw(dataset)
    axes = dataset.capture.scene_cameras.axes.float()[batch["view"]]
    torch.testing.assert_close(batch["camera_rotation"] @ torch.tensor([0.0, 0.0, 1.0]), axes)


def test_only_training_views_are_drawn_and_all_of_them(scene):
    assert draw(RayBatches(scene, rays=500))["view"].unique().tolist() == [0, 1, 2, 3, 4]


def test_focussed_rays_lie_in_or_near_the_mask(scene):
    border = 0.05
    dataset = RayBatches(scene, rays=1000, focus=0.7, border=border)
    batch = draw(dataset)
    column, row = pixels(batch)
    reach = round(border * SIZE[1])
    near = torch.zeros(1000, dtype=torch.bool)
    for k in range(1000):
        patch = dataset.capture.masks[batch["view"][k],
                                      max(row[k] - reach, 0):row[k] + reach + 1,
                                      max(column[k] - reach, 0):column[k] + reach + 1]
        near[k] = patch.any()
    assert near[:700].all() and not near[700:].all()


def test_rays_without_focus_cover_the_image_evenly(scene):
    column, row = pixels(draw(RayBatches(scene, rays=20_000)))
    for values, size in ((column, SIZE[1]), (row, SIZE[0])):
        counts = torch.bincount(values, minlength=size)
        assert counts.min() > 0.6 * 20_000 / size and counts.max() < 1.4 * 20_000 / size


def test_data_without_masks_take_every_pixel_for_the_object(tmp_path):
    from dataclasses import replace
    idr.write(replace(sphere_capture(), masks=None), tmp_path / "x")
    dataset = RayBatches(dict(capture=str(tmp_path / "x"), normalization="cameras"), rays=64, focus=0.5)
    assert draw(dataset)["mask"].all() and dataset.info()["masks"] is False


@pytest.mark.parametrize("views_per_batch", [None, 1])
def test_the_processes_shares_make_the_whole_batch(scene, views_per_batch):
    dataset = RayBatches(scene, rays=101, views_per_batch=views_per_batch, focus=0.5)
    whole = draw(dataset, step=3)
    shares = [draw(dataset, step=3, rank=rank, world=3) for rank in range(3)]
    assert [len(s["view"]) for s in shares] == [34, 34, 33]
    for key in whole:
        together = torch.empty_like(whole[key])
        for rank, share in enumerate(shares):
            together[rank::3] = share[key]
        assert torch.equal(together, whole[key]), key


def test_an_epoch_of_single_views_passes_each_view_once_in_another_order(scene):
    dataset = RayBatches(scene, rays=8, views_per_batch=1)
    epochs = []
    for epoch in range(4):
        batches = [draw(dataset, step=epoch * len(dataset) + k) for k in range(len(dataset))]
        assert all(len(b["view"].unique()) == 1 for b in batches)
        epochs.append([int(b["view"][0]) for b in batches])
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in epochs)
    assert len({tuple(order) for order in epochs}) > 1


def test_the_order_of_single_views_is_the_runs_own_and_the_same_again_for_its_seed(scene):

    def order(seed):
        cfg = dict(type="RayBatches", scene=scene, rays=2, views_per_batch=1)
        return [int(b["view"][0]) for b in itertools.islice(build_source(cfg, None, seed=seed)(0), 20)]

    assert order(3) == order(3)
    assert len({tuple(order(seed)) for seed in range(4)}) == 4
    assert order(3)[5:10] != order(4)[:5]  # nor is it the neighbour's, an epoch later


def test_the_generator_alone_decides_the_draw(scene):
    dataset = RayBatches(scene, rays=64, focus=0.5)
    torch.manual_seed(1)
    first = draw(dataset, seed=5)
    torch.manual_seed(2)
    again, other = draw(dataset, seed=5), draw(dataset, seed=6)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["uv"], other["uv"])


@pytest.mark.parametrize("wrong", [dict(rays=0), dict(views_per_batch=2), dict(focus=1.5)])
def test_numbers_out_of_range_are_refused(scene, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        DATASETS.build(dict(type="RayBatches", scene=scene, **wrong))


def test_a_framework_gets_the_training_cameras_in_the_scenes_frame(scene):
    dataset = RayBatches(scene)
    info = dataset.info()
    assert info["names"] == [f"view_{k:03d}" for k in range(5)] and info["size"] == list(SIZE)
    center = torch.tensor([*dataset.capture.cameras.centers[2], 1.0], dtype=torch.float64)
    torch.testing.assert_close(info["cam_to_world"][2, :, 3].double(), (info["scene_from_world"] @ center)[:3])


def test_a_view_has_its_photographs_pixels_row_by_row(scene):
    views, capture = Views(scene, split="test"), sphere_capture()
    item = views.item(1)
    assert item["name"] == "test_001" and item["split"] == "test" and item["size"] == SIZE
    torch.testing.assert_close(item["rgb"], capture.images[1].reshape(-1, 3).float() / 255)
    assert torch.equal(item["mask"], capture.masks[1].flatten())
    assert "view" not in item


def test_a_views_rays_are_those_that_training_draws(scene):
    dataset, views = RayBatches(scene, rays=300), Views(scene, split="train")
    batch = draw(dataset)
    column, row = pixels(batch)
    for k in range(0, 300, 50):
        item = views.item(int(batch["view"][k]))
        at = row[k] * SIZE[1] + column[k]
        torch.testing.assert_close(item["directions"][at], batch["directions"][k], atol=1e-6, rtol=0)
        torch.testing.assert_close(item["camera_rotation"], batch["camera_rotation"][k])
        assert torch.equal(item["uv"][at], batch["uv"][k]) and item["view"][at] == batch["view"][k]


def test_training_views_carry_their_index_among_the_training_views(scene):
    views = Views(dict(scene, test_views=["view_000", "view_002"]), split="all")
    by_name = {views.item(k)["name"]: views.item(k) for k in range(len(views))}
    assert {name: int(item["view"][0]) for name, item in by_name.items() if "view" in item} == {
        "test_000": 0, "test_001": 1, "view_001": 2, "view_003": 3, "view_004": 4}  # yapf: disable


def test_a_smaller_views_rays_meet_the_same_pixels_of_the_photograph(scene):
    views = Views(scene, split="train")
    item = views.item(2, scale=0.25)
    assert item["size"] == (12, 16) and len(item["rgb"]) == 12 * 16
    rays = views.cameras.rays(torch.full((12 * 16, ), 2), item["uv"])  # uv are the photograph's, not the small picture's
    torch.testing.assert_close(rays.directions, item["directions"], atol=1e-6, rtol=0)
    assert item["uv"][0].tolist() == [2.0, 2.0]


@pytest.mark.parametrize("split, test_views, count", [("train", None, 5), ("test", None, 2), ("all", None, 7), ("test", 0, 0)])
def test_a_split_has_its_views(scene, split, test_views, count):
    assert len(Views(dict(scene, test_views=test_views), split=split)) == count


def test_some_of_the_training_views_are_chosen_evenly(scene):
    views = Views(scene, split="all", train_views=2)
    assert [views.item(k)["name"] for k in range(len(views))] == ["view_000", "view_002", "test_000", "test_001"]


@pytest.mark.parametrize("call, message", [
    (lambda scene: Views(scene, split="val"), "must be one of train, test, all"),
    (lambda scene: Views(scene).item(0, scale=0.0), "above 0"),
])  # yapf: disable
def test_an_unknown_split_and_a_scale_out_of_range_are_refused(call, message, scene):
    with pytest.raises(ConfigError, match=message):
        call(scene)

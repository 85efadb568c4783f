"""What each writer writes, its reader reads back; values in test_fuzz_readers.py."""

import pytest
import torch

from deep3dmap.datasets.captures.formats import load_capture, save_capture
from deep3dmap.errors import DataError
from deep3dmap.io.images import write_image, write_mask

WRITTEN = [("idr", {}), ("middlebury", {}), ("transforms", {}), ("colmap", {"binary": True}), ("colmap", {"binary": False})]
IDS = ["idr", "middlebury", "transforms", "colmap-bin", "colmap-txt"]
MASK_FILES = [w for w in WRITTEN if w[0] != "transforms"]


def assert_same(read, written):
    assert torch.equal(read.images, written.images) and read.names == written.names
    torch.testing.assert_close(read.cameras.K, written.cameras.K, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(read.cameras.world_to_cam, written.cameras.world_to_cam, rtol=1e-10, atol=1e-10)
    assert read.cameras.size == written.cameras.size
    assert (read.masks is None) == (written.masks is None)
    assert written.masks is None or torch.equal(read.masks, written.masks)


@pytest.mark.parametrize("format", ["transforms", "colmap"])
def test_skew_is_refused_by_formats_that_cannot_store_it(make_capture, tmp_path, format):
    with pytest.raises(DataError, match="skew of the camera of view 'view_000'"):
        save_capture(make_capture(skew=True), tmp_path / "new", format)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("format", ["transforms", "colmap"])
def test_skew_that_is_rounding_does_not_keep_a_capture_from_being_written(make_capture, tmp_path, format):
    capture = make_capture()
    capture.cameras.K[:, 0, 1] = 1e-5 * capture.cameras.K[:, 0, 0]  # moves no pixel by more than 2e-4
    save_capture(capture, tmp_path / "new", format)
    assert load_capture(tmp_path / "new").cameras.K == pytest.approx(capture.cameras.K, abs=1e-3)


@pytest.mark.parametrize("format, options", WRITTEN, ids=IDS)
def test_the_capture_says_where_it_comes_from(make_capture, tmp_path, format, options):
    save_capture(make_capture(), tmp_path / "new", format, **options)
    source = load_capture(tmp_path / "new").source
    assert str(tmp_path / "new") in source and "5 views of 16x12 with masks" in source


@pytest.mark.parametrize("format, options", WRITTEN, ids=IDS)
def test_views_are_chosen_by_name_in_the_order_asked_for(make_capture, tmp_path, format, options):
    capture = make_capture()
    save_capture(capture, tmp_path / "new", format, **options)
    assert_same(load_capture(tmp_path / "new", ["view_003", "view_001.png"]), capture.subset([3, 1]))


@pytest.mark.parametrize("views, message", [(["view_00"], "did you mean 'view_00"), (["zzz"], "known are: view_000"),
                                            ([], "at least one"), (["view_001", "view_001.png"], "only once")])
def test_views_that_are_not_there_are_refused(make_capture, tmp_path, views, message):
    save_capture(make_capture(), tmp_path / "new", "middlebury")
    with pytest.raises(DataError, match=message):
        load_capture(tmp_path / "new", views)


@pytest.mark.parametrize("format, options", WRITTEN, ids=IDS)
def test_a_writer_leaves_other_captures_alone(make_capture, tmp_path, format, options):
    (tmp_path / "precious.png").touch()
    with pytest.raises(DataError, match="not an empty folder"):
        save_capture(make_capture(), tmp_path, format, **options)
    assert [p.name for p in tmp_path.iterdir()] == ["precious.png"]


@pytest.mark.parametrize("format, options", WRITTEN, ids=IDS)
@pytest.mark.parametrize("names", [("b", "a", "e", "d", "c"), ("x/0", "y/0", "x/1", "../../up", ""), tuple("AabcZ")])
def test_views_keep_their_order_whatever_their_names(make_capture, tmp_path, format, options, names):
    capture = make_capture()
    object.__setattr__(capture, "names", names)
    save_capture(capture, tmp_path / "in" / "new", format, **options)
    read = load_capture(tmp_path / "in" / "new")
    assert torch.equal(read.images, capture.images)
    torch.testing.assert_close(read.cameras.world_to_cam, capture.cameras.world_to_cam)
    assert len(set(read.names)) == 5
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("format, options", WRITTEN, ids=IDS)
def test_images_of_two_sizes_are_refused_with_both_names(make_capture, tmp_path, format, options):
    save_capture(make_capture(masks=False), tmp_path / "new", format, **options)
    second = next((tmp_path / "new").rglob("view_001.png"))
    write_image(second, torch.zeros(10, 16, 3, dtype=torch.uint8))
    with pytest.raises(DataError) as error:
        load_capture(tmp_path / "new")
    assert "view_001.png" in str(error.value) and "16x10" in str(error.value) and "16x12" in str(error.value)
    if format in ("idr", "middlebury"):
        assert "view_000.png" in str(error.value)


@pytest.mark.parametrize("format, options", WRITTEN, ids=IDS)
def test_a_missing_image_is_named(make_capture, tmp_path, format, options):
    save_capture(make_capture(masks=False), tmp_path / "new", format, **options)
    next((tmp_path / "new").rglob("view_002.png")).unlink()
    with pytest.raises(DataError, match="4 images" if format == "idr" else r"view_002\.png"):
        load_capture(tmp_path / "new")


@pytest.mark.parametrize("format, options", MASK_FILES, ids=[i for i in IDS if i != "transforms"])
def test_a_missing_mask_is_reported(make_capture, tmp_path, format, options):
    save_capture(make_capture(), tmp_path / "new", format, **options)
    masks = tmp_path / "new" / ("mask" if format == "idr" else "masks")
    (masks / "view_002.png").unlink()
    with pytest.raises(DataError, match="4 masks but 5 images" if format == "idr" else r"no mask for the image view_002\.png"):
        load_capture(tmp_path / "new")


@pytest.mark.parametrize("format, options", MASK_FILES, ids=[i for i in IDS if i != "transforms"])
def test_a_mask_of_another_size_is_named_with_its_image(make_capture, tmp_path, format, options):
    save_capture(make_capture(), tmp_path / "new", format, **options)
    folder = tmp_path / "new" / ("mask" if format == "idr" else "masks")
    write_mask(folder / "view_002.png", torch.ones(6, 8, dtype=torch.bool))
    with pytest.raises(DataError, match=r"view_002\.png: mask is 8x6 but its image .*view_002\.png is 16x12"):
        load_capture(tmp_path / "new")


FAULTS = dict(nan="finite", mirrored="mirrored|determinant", singular="invertible|singular", focal="focal lengths|mirrored")
BROKEN = [(f, o, fault) for f, o in WRITTEN for fault in FAULTS
          if (f, fault) not in [("colmap", "mirrored"), ("colmap", "singular")]]


@pytest.mark.parametrize("format, options, fault", BROKEN)
def test_a_camera_that_is_none_is_refused(make_capture, tmp_path, format, options, fault):
    capture = make_capture(normalised=True)
    K, pose = capture.cameras.K, capture.cameras.world_to_cam
    if fault == "nan":
        pose[1, 0, 3] = torch.nan
    elif fault == "mirrored":
        pose[1, :, :] = torch.diag(torch.tensor([-1.0, 1, 1], dtype=torch.float64)) @ pose[1]
    elif fault == "singular":
        pose[1, :, :3] = 0
    else:
        K[1, 0, 0] = -K[1, 0, 0]
    save_capture(capture, tmp_path / "new", format, **options)
    with pytest.raises(DataError, match=FAULTS[fault]) as error:
        load_capture(tmp_path / "new")
    assert str(tmp_path / "new") in str(error.value)

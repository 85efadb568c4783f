"""Damage that the fuzz, or a look at the readers, found once: each kept as a case of its own."""

import io
import json
import struct
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from deep3dmap.datasets.captures.formats import load_capture, save_capture
from deep3dmap.datasets.captures.scene import load_scene
from deep3dmap.datasets.readers import colmap, idr
from deep3dmap.errors import DataError
from deep3dmap.io.images import read_image
from tests.datasets.scenes import sphere_capture


def peak_mebibytes(work) -> float:
    """By how much the process grows while it works, in MiB, at its highest."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pytest.skip("needs Linux to measure memory")

    def value(key):
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith(key))

    before = value("VmRSS")
    work()
    return value("VmHWM") - before


def refused(folder, message):
    with pytest.raises(DataError, match=message):
        load_capture(folder)


@pytest.mark.parametrize("file", ["cameras", "images"])
@pytest.mark.parametrize("count", [10**6, 2**40, 2**63, 2**64 - 1])
def test_a_count_that_the_file_cannot_hold_costs_nothing(make_capture, tmp_path, file, count):
    save_capture(make_capture(), tmp_path / "a", "colmap")
    path = tmp_path / "a" / "sparse" / "0" / f"{file}.bin"
    path.write_bytes(struct.pack("<Q", count) + path.read_bytes()[8:])
    assert peak_mebibytes(lambda: refused(tmp_path / "a", f"{file}.bin: is cut short or damaged")) < 50


@pytest.mark.parametrize("shape", [(10**12, ), (2**40, 2**40), (4, 4, 10**9)])
def test_an_array_that_claims_to_be_huge_costs_nothing(make_capture, tmp_path, shape):
    save_capture(make_capture(), tmp_path / "a", "idr")
    header = str({"descr": "<f8", "fortran_order": False, "shape": shape}).encode()
    with zipfile.ZipFile(tmp_path / "a" / "cameras.npz", "w") as archive:
        archive.writestr("world_mat_0.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header)
    assert peak_mebibytes(lambda: refused(tmp_path / "a", "world_mat_0: expected numbers of shape")) < 50


def test_an_entry_that_unpacks_to_a_gigabyte_is_not_unpacked(make_capture, tmp_path):
    save_capture(make_capture(), tmp_path / "a", "idr")
    with zipfile.ZipFile(tmp_path / "a" / "cameras.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("world_mat_0.npy", "w") as entry:
            for _ in range(200):
                entry.write(bytes(1 << 20))
    assert peak_mebibytes(lambda: refused(tmp_path / "a", "world_mat_0 is too large")) < 50


def test_bytes_after_the_last_record_are_damage(make_capture, tmp_path):
    save_capture(make_capture(), tmp_path / "a", "colmap")
    path = tmp_path / "a" / "sparse" / "0" / "images.bin"
    data = path.read_bytes()
    path.write_bytes(struct.pack("<Q", 4) + data[8:])  # the fifth view would be lost in silence
    refused(tmp_path / "a", r"images\.bin: \d+ bytes follow the last record")


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("file", ["cameras", "images"])
def test_a_number_that_is_given_twice_is_damage(make_capture, tmp_path, binary, file):
    save_capture(make_capture(), tmp_path / "a", "colmap", binary=binary)
    path = tmp_path / "a" / "sparse" / "0" / (file + (".bin" if binary else ".txt"))
    data = path.read_bytes()
    at = data.index(struct.pack("<I", 2), 12) if binary else data.index(b"\n2 ") + 1
    path.write_bytes(data[:at] + (struct.pack("<I", 1) if binary else b"1") + data[at + (4 if binary else 1):])
    refused(tmp_path / "a", "id 1;")


def test_a_view_of_colmaps_text_whose_line_of_points_is_lost_does_not_hide_the_next_one(make_capture, tmp_path):
    save_capture(make_capture(), tmp_path / "a", "colmap", binary=False)
    path = tmp_path / "a" / "sparse" / "0" / "images.txt"
    path.write_text(path.read_text().replace("\n\n", "\n", 1))
    refused(tmp_path / "a", r"images\.txt: image 1: the line after it must list its points")


@pytest.mark.parametrize("name", ["world_mat_00.npy", "world_mat_0.npy"])
@pytest.mark.filterwarnings("ignore:Duplicate name")  # which is what is meant
def test_a_matrix_that_is_there_twice_is_damage(make_capture, tmp_path, name):
    save_capture(make_capture(), tmp_path / "a", "idr")
    matrix = io.BytesIO()
    np.save(matrix, np.eye(4))
    with zipfile.ZipFile(tmp_path / "a" / "cameras.npz", "a") as archive:
        archive.writestr(name, matrix.getvalue())
    refused(tmp_path / "a", "world_mat_0 occurs twice")


def test_a_key_that_stands_twice_in_json_is_damage(make_capture, tmp_path):
    save_capture(make_capture(), tmp_path / "a", "transforms")
    path = tmp_path / "a" / "transforms.json"
    path.write_text('{"w": 17, ' + path.read_text().lstrip("{"))
    refused(tmp_path / "a", "duplicate key 'w'")


@pytest.mark.parametrize("value", [[1, [2]], [0, [0]], {"a": 1}, "yes", 10**400, float("nan")])
def test_odd_values_of_lens_keys_are_refused_by_name(make_capture, tmp_path, value):
    save_capture(make_capture(), tmp_path / "a", "transforms")
    path = tmp_path / "a" / "transforms.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rolling_shutter": value}))
    refused(tmp_path / "a", "'rolling_shutter' .* not supported")


@pytest.mark.parametrize("value", [0, False, None, [], [0, 0, 0.0], ""])
def test_lens_keys_that_carry_no_information_are_ignored(make_capture, tmp_path, value):
    save_capture(make_capture(), tmp_path / "a", "transforms")
    path = tmp_path / "a" / "transforms.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rolling_shutter": value}))
    assert len(load_capture(tmp_path / "a")) == 5


@pytest.mark.parametrize("depth", [50, 200, 900, 100_000])
def test_lists_in_lists_in_lists_are_refused(make_capture, tmp_path, depth):
    save_capture(make_capture(), tmp_path / "a", "transforms")
    path = tmp_path / "a" / "transforms.json"
    path.write_text(path.read_text().replace('"fl_x": 20.0', '"fl_x": ' + "[" * depth + "20" + "]" * depth))
    refused(tmp_path / "a", "expected a number|can't be read as JSON")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_distortion_that_is_no_number_is_refused_in_every_format(make_capture, tmp_path, value):
    save_capture(make_capture(), tmp_path / "a", "colmap", binary=False)
    path = tmp_path / "a" / "sparse" / "0" / "cameras.txt"
    path.write_text(path.read_text().replace("1 PINHOLE", "1 OPENCV", 1).replace("\n", f" {value} 0 0 0\n", 1))
    refused(tmp_path / "a", "distortion parameters must be finite")


@pytest.mark.parametrize("format", ["idr", "middlebury", "transforms", "colmap"])
@pytest.mark.parametrize("focal, message", [(1e-5, "focal lengths must be positive"), (1e12, "too large")])
def test_lenses_that_leave_single_precision_are_refused(make_capture, tmp_path, format, focal, message):
    capture = make_capture()
    capture.cameras.K[1, [0, 1], [0, 1]] = focal
    save_capture(capture, tmp_path / "a", format)
    refused(tmp_path / "a", message)


def test_messages_do_not_repeat_a_damaged_file(make_capture, tmp_path):
    save_capture(make_capture(), tmp_path / "a", "colmap", binary=False)
    (tmp_path / "a" / "sparse" / "0" / "images.txt").write_text("[" * 10**6)
    with pytest.raises(DataError) as error:
        load_capture(tmp_path / "a")
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("format, file, text", [("middlebury", "a_par.txt", "0\n"),
                                                ("colmap", "sparse/0/images.txt", "# none\n")])
def test_a_file_of_no_views_is_named(make_capture, tmp_path, format, file, text):
    save_capture(make_capture(), tmp_path / "a", format, **({"binary": False} if format == "colmap" else {}))
    (tmp_path / "a" / file).write_text(text)
    refused(tmp_path / "a", f"{file}: holds no views")


def test_a_camera_millions_of_radii_away_is_no_view_of_the_object(tmp_path):
    similarity = torch.diag(torch.tensor([1e8, 1e8, 1e8, 1.0], dtype=torch.float64))
    idr.write(replace(sphere_capture(similarity), masks=None), tmp_path / "a")
    with pytest.raises(DataError,
                       match="the camera of view 'test_000' is more than .* as far away as the unit sphere is wide"):
        load_scene(str(tmp_path / "a"), test_views=["test_000", "test_001"])


def test_middleburys_names_may_hold_spaces(make_capture, tmp_path):
    capture = make_capture(masks=False)
    save_capture(capture, tmp_path / "a", "middlebury")
    path = tmp_path / "a" / "a_par.txt"
    path.write_text(path.read_text().replace("view_001.png", "my view 1.png"))
    (tmp_path / "a" / "view_001.png").rename(tmp_path / "a" / "my view 1.png")
    read = load_capture(tmp_path / "a")
    assert read.names[1] == "my view 1" and torch.equal(read.images, capture.images)


def test_masks_that_lie_in_subfolders_alone_are_found(tmp_path):
    capture = sphere_capture()
    colmap.write(capture, tmp_path / "a", binary=False)
    model = tmp_path / "a" / "sparse" / "0" / "images.txt"
    for name in capture.names:
        for kind in ("images", "masks"):
            (tmp_path / "a" / kind / "left").mkdir(exist_ok=True)
            (tmp_path / "a" / kind / f"{name}.png").rename(tmp_path / "a" / kind / "left" / f"{name}.png")
        model.write_text(model.read_text().replace(f" {name}.png", f" left/{name}.png"))
    assert torch.equal(load_capture(tmp_path / "a").masks, capture.masks)


@pytest.mark.parametrize("kind", ["EPS", "GIF", "PDF", "ICO"])
def test_a_file_of_another_kind_than_photographs_is_opened_by_no_other_program(tmp_path, kind):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", format=kind)
    with pytest.raises(DataError, match="a.png: can't be read as an image"):
        read_image(tmp_path / "a.png")


def test_an_image_without_pixels_is_refused(tmp_path):
    (tmp_path / "a.ppm").write_bytes(b"P6 0 0 255\n")
    with pytest.raises(DataError, match=r"a\.ppm"):
        read_image(tmp_path / "a.ppm")


def test_a_photograph_elsewhere_that_is_missing_is_named_with_the_entry_that_wants_it(make_capture, tmp_path):
    save_capture(make_capture(masks=False), tmp_path / "a", "middlebury")
    path = tmp_path / "a" / "a_par.txt"
    path.write_text(path.read_text().replace("view_001.png", "/dev/zero"))
    refused(tmp_path / "a", r"/dev/zero: no such image file; it belongs to .*a_par\.txt: image 2")

import numpy as np
import pytest
import torch

from deep3dmap.datasets.captures.formats import detect_format, load_capture, save_capture, scan_capture
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.io.images import write_image


@pytest.fixture
def photos(tmp_path):
    for i in range(3):
        write_image(tmp_path / "holiday" / f"{i}.jpg", torch.zeros(4, 4, 3, dtype=torch.uint8))
    return tmp_path / "holiday"


@pytest.mark.parametrize("content", ["nothing", "a text"])
def test_a_folder_without_a_capture_lists_what_was_looked_for(tmp_path, content):
    if content == "a text":
        (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError) as error:
        detect_format(tmp_path)
    for looked_for in ("cameras.npz", "_par.txt", "transforms.json", "cameras.bin"):
        assert looked_for in str(error.value)


def test_a_folder_of_captures_names_them(make_capture, tmp_path):
    save_capture(make_capture(), tmp_path / "scan65", "idr")
    with pytest.raises(DataError, match="contains some: .*scan65"):
        load_capture(tmp_path)


@pytest.fixture
def two_formats(make_capture, tmp_path):
    save_capture(make_capture(), tmp_path / "both", "idr")
    save_capture(make_capture(), tmp_path / "new", "transforms")
    (tmp_path / "new" / "images").rename(tmp_path / "both" / "images")
    (tmp_path / "new" / "transforms.json").rename(tmp_path / "both" / "transforms.json")
    return tmp_path / "both"


def test_two_formats_in_one_folder_are_refused_by_name(two_formats):
    with pytest.raises(DataError, match="2 formats, idr and transforms.*format='idr'"):
        load_capture(two_formats)


@pytest.mark.parametrize("format, words", [("idr", "IDR/NeuS"), ("transforms", "NeRF/Instant-NGP")])
def test_the_format_can_be_said(two_formats, format, words):
    assert load_capture(two_formats, format=format).source.startswith(words)


def test_an_unknown_format_names_the_nearest(photos):
    with pytest.raises(ConfigError, match="no data format 'transform': did you mean 'transforms'"):
        load_capture(photos, format="transform")


def test_an_unknown_option_names_those_of_the_format(make_capture, tmp_path):
    save_capture(make_capture(), tmp_path / "scan", "idr")
    with pytest.raises(ConfigError, match="unknown option 'camera' .*'idr'; it has cameras"):
        load_capture(tmp_path / "scan", camera="cameras.npz")
    save_capture(make_capture(), tmp_path / "set", "middlebury")
    with pytest.raises(ConfigError, match="'middlebury'; it has none"):
        load_capture(tmp_path / "set", split="train")


def test_options_reach_the_reader(make_capture, tmp_path):
    save_capture(make_capture(), tmp_path / "scan", "idr")
    with pytest.raises(DataError, match=r"other\.npz: no such npz file"):
        load_capture(tmp_path / "scan", cameras="other.npz")


def test_a_data_set_is_found_by_name(make_capture, tmp_path, monkeypatch):
    monkeypatch.setenv("DEEP3DMAP_DATA", str(tmp_path))
    save_capture(make_capture(), tmp_path / "mine", "middlebury")
    assert len(load_capture("mine")) == 5


def test_a_scan_reads_no_pixels(make_capture, tmp_path):
    save_capture(make_capture(), tmp_path / "set", "middlebury")
    for image in (tmp_path / "set").glob("*.png"):
        image.write_bytes(b"")
    name, scan = scan_capture(tmp_path / "set")
    assert name == "middlebury" and len(scan.frames) == 5


@pytest.mark.parametrize("name, format", [("temple_sparse_ring", "middlebury"), ("fox", "transforms")])
def test_real_captures_are_recognised(real_data, name, format):
    assert detect_format(real_data / name) == format


def test_a_converted_capture_projects_to_the_same_pixels(make_capture, tmp_path):
    save_capture(make_capture(), tmp_path / "a", "colmap")
    save_capture(load_capture(tmp_path / "a"), tmp_path / "b", "idr")
    points = torch.from_numpy(np.random.default_rng(0).normal(size=(20, 3)) * 0.3)
    expected, _ = make_capture().cameras.project(points)
    torch.testing.assert_close(load_capture(tmp_path / "b").cameras.project(points)[0], expected, rtol=0, atol=1e-9)

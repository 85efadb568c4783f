import pytest
import torch

from deep3dmap.datasets.captures.check import check_capture
from deep3dmap.datasets.captures.formats import load_capture, save_capture
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.io.images import write_image, write_mask


@pytest.fixture
def folder(make_capture, tmp_path):
    save_capture(make_capture(), tmp_path / "set", "middlebury")
    return tmp_path / "set"


def test_a_sound_capture_has_no_errors_and_no_warnings(folder):
    report = check_capture(folder)
    assert report.ok and report.errors == [] and report.warnings == []


def test_the_facts_are_those_of_the_capture(folder, make_capture):
    report, capture = check_capture(folder), make_capture()
    assert (report.format, report.views, report.size, report.masked_views) == ("middlebury", 5, (12, 16), 5)
    assert report.mask_coverage == pytest.approx(capture.masks.float().mean().item())
    assert report.focal == pytest.approx((14.5, 24))
    distances = capture.cameras.centers.norm(dim=1)  # they look at the origin, up to the masks' middle
    assert report.distances == pytest.approx((distances.min().item(), distances.max().item()), rel=0.05)


def test_the_text_holds_facts_and_findings(folder):
    write_mask(folder / "masks" / "view_001.png", torch.ones(12, 16, dtype=torch.bool))
    text = check_capture(folder).to_text()
    for part in (str(folder), "middlebury", "16x12", "5 of 5", "14.5 to 24 px", "warning: ",
                 "view_001.png: the mask covers the whole image", "can be used; 0 errors, 1 warning"):
        assert part in text


def test_every_mismatched_mask_is_listed(folder):
    for i in (1, 3):
        write_mask(folder / "masks" / f"view_{i:03d}.png", torch.ones(6, 8, dtype=torch.bool))
    errors = check_capture(folder).errors
    assert len(errors) == 2 and "view_001.png: mask is 8x6" in errors[0] and "view_003.png: mask is 8x6" in errors[1]


def test_faults_of_different_kinds_are_all_listed(folder):
    (folder / "view_000.png").write_bytes(b"damaged")
    (folder / "masks" / "view_001.png").unlink()
    write_image(folder / "view_002.png", torch.zeros(6, 8, 3, dtype=torch.uint8))
    file = folder / "set_par.txt"
    lines = file.read_text().splitlines()
    fields = lines[4].split()
    fields[10] = "nan"
    file.write_text("\n".join([*lines[:4], " ".join(fields), lines[5]]))
    report = check_capture(folder)
    told = ("view_000.png: can't be read", "no mask for the image view_001.png", "view_002.png is 8x6 but",
            "view_002.png: mask is 16x12", "image 4 (view_003.png): the camera holds values that are not finite")
    for part in told:
        assert any(part in e for e in report.errors), part
    assert not report.ok and "can't be used; 5 errors" in report.to_text()


def test_what_it_calls_unreadable_is_unreadable_and_the_other_way_round(folder, make_capture, tmp_path):
    assert check_capture(folder).ok and len(load_capture(folder)) == 5
    (folder / "view_004.png").unlink()
    assert not check_capture(folder).ok
    with pytest.raises(DataError):
        load_capture(folder)


def test_a_folder_without_a_capture_or_that_does_not_exist_is_an_error_in_the_report(tmp_path):
    report = check_capture(tmp_path)
    assert not report.ok and "Looked for" in report.errors[0] and "none found" in report.to_text()
    assert "no data" in check_capture(tmp_path / "nothing").errors[0]


def test_an_unknown_option_is_the_callers_fault(folder):
    with pytest.raises(ConfigError):
        check_capture(folder, split="train")


def test_alpha_that_is_opaque_everywhere_counts_as_no_masks(make_capture, tmp_path):
    capture = make_capture()
    capture.masks[:] = True
    save_capture(capture, tmp_path / "set", "transforms")
    report = check_capture(tmp_path / "set")
    assert report.mask_coverage is None and "masks         none" in report.to_text()
    assert len(report.warnings) == 1 and report.warnings[0].startswith("no masks")


def test_every_wrong_lens_is_an_error_once(make_capture, tmp_path):
    save_capture(make_capture(), tmp_path / "set", "transforms")
    file = tmp_path / "set" / "transforms.json"
    file.write_text(file.read_text().replace('"w": 16', '"w": 16, "is_fisheye": true'))
    file.write_text(file.read_text().replace('"fl_x"', '"unused"'))
    report = check_capture(tmp_path / "set")
    assert sum("is_fisheye" in e for e in report.errors) == len(report.errors) == 5  # frames have their own focal lengths


def test_the_temple_is_sound_but_has_one_pose_twice(real_data):
    report = check_capture(real_data / "temple_sparse_ring")
    assert report.ok and report.masked_views == 16 and 0.19 < report.mask_coverage < 0.29
    assert 0.49 < report.distances[0] < report.distances[1] < 0.65  # depths of its box, say its notes
    assert report.warnings == ["the cameras of templeSR0001 and templeSR0011 have the same pose"]

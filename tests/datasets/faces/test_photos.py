"""A user's own pictures: which faces are found in them, what they are called, and what is said of the rest."""

import json

import numpy as np
import pytest
from PIL import Image

from deep3dmap.datasets import FacePhotos
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.visualization.video import write_video

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
LARGE, SMALL = [10.0, 5.0, 40.0, 35.0], [2.0, 2.0, 8.0, 9.0]


def save(path, faces=(LARGE, ), pixels=PIXELS, **options):
    """A picture, and beside it the boxes of its faces."""
    Image.fromarray(pixels).save(path, **options)
    path.with_suffix(".json").write_text(json.dumps(faces))
    return path


def given(source, **options) -> FacePhotos:
    return FacePhotos(str(source), detector="given", **options)


def names(photos: FacePhotos) -> list[str]:
    return [photos[k]["name"] for k in range(len(photos))]


def test_every_face_of_a_picture_is_an_item_with_the_whole_picture_largest_first(tmp_path):
    photos = given(save(tmp_path / "party.png", [SMALL, LARGE]))
    assert names(photos) == ["party_1", "party_2"]
    assert [photos[k]["box"].tolist() for k in range(2)] == [LARGE, SMALL]
    assert all((photos[k]["img"] == PIXELS).all() for k in range(2))


def test_a_folders_pictures_are_named_by_their_stems_except_those_that_would_clash(tmp_path):
    save(tmp_path / "a.png")
    save(tmp_path / "b.png", [LARGE, SMALL])
    assert names(given(tmp_path)) == ["a", "b_1", "b_2"]
    save(tmp_path / "b_1.png")
    assert names(given(tmp_path)) == ["a", "b.png_1", "b.png_2", "b_1.png"]


def test_a_whole_name_that_clashes_with_a_stem_is_no_name_either(tmp_path):
    for name in ("a.png", "b.jpg", "b.png", "b.png.png"):
        Image.fromarray(PIXELS).save(tmp_path / name)
    assert names(FacePhotos(str(tmp_path), detector="none")) == ["a", "b.jpg", "b.png", "b.png.png"]


def test_a_folder_goes_on_past_pictures_without_faces_and_damaged_ones_and_names_them(tmp_path):
    save(tmp_path / "good.png")
    save(tmp_path / "nobody.png", [])
    save(tmp_path / "outside.png", [[70, 5, 90, 25]])
    (tmp_path / "broken.png").write_bytes((tmp_path / "good.png").read_bytes()[:100])
    photos = given(tmp_path)
    assert names(photos) == ["good"]
    assert [next(name for name in ("broken", "nobody", "outside") if name in note) for note in photos.notes] == [
        "broken", "nobody", "outside"]  # yapf: disable


def test_keys_of_given_faces_that_no_picture_of_the_folder_has_are_noted(tmp_path):
    save(tmp_path / "a.png")
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"a.png": [LARGE], "a.jpg": [LARGE]}))
    note, = given(tmp_path, given=str(boxes)).notes
    assert "boxes.json" in note and "a.jpg" in note
    assert not given(tmp_path / "a.png", given=str(boxes)).notes


def test_notes_on_many_pictures_are_counted(tmp_path):
    save(tmp_path / "z.png")
    for k in range(25):
        save(tmp_path / f"{k:02d}.png", [])
    notes = given(tmp_path).notes
    assert len(notes) == 21 and "5" in notes[-1]


@pytest.mark.parametrize("faces, named", [
    ([], "a.png"),
    ([[70, 5, 90, 25]], "60x40"),
    ([[5, -30, 25, -1]], "60x40"),
    ([[5, 5, 7, 25]], "60x40"),
    ([[-1e6, -1e6, 1e6, 1e6]], "60x40"),
])
def test_a_single_picture_without_a_face_in_it_is_an_error(tmp_path, faces, named):
    with pytest.raises(DataError, match=named):
        given(save(tmp_path / "a.png", faces))


def test_a_face_half_outside_is_kept(tmp_path):
    assert given(save(tmp_path / "a.png", [[-15, 5, 15, 35]]))[0]["box"].tolist() == [-15, 5, 15, 35]


@pytest.mark.parametrize("height, width", [(500, 1), (1, 500), (1, 1)])
def test_a_picture_with_too_few_pixels_for_a_face_is_an_error(tmp_path, height, width):
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=f"a.png.*{width}x{height}"):
        FacePhotos(str(tmp_path / "a.png"), detector="none")


def test_a_damaged_picture_and_an_empty_folder_are_errors_that_name_them(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(DataError, match="broken.png"):
        given(tmp_path / "broken.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty"):
        given(tmp_path / "empty")
    with pytest.raises(DataError, match="missing"):
        given(tmp_path / "missing.png")


def test_a_folder_without_any_face_is_an_error_that_lists_its_pictures(tmp_path):
    save(tmp_path / "a.png", [])
    save(tmp_path / "b.png", [])
    with pytest.raises(DataError, match="(?s)a.png.*b.png"):
        given(tmp_path)


def test_a_picture_is_turned_as_its_exif_orientation_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn clockwise
    photos = given(save(tmp_path / "a.png", exif=exif))
    assert (photos[0]["img"] == np.rot90(PIXELS, -1)).all()


GREY = PIXELS[..., 0]


@pytest.mark.parametrize("name, picture, expected", [
    ("grey.png", Image.fromarray(GREY), np.repeat(GREY[..., None], 3, -1)),
    ("deep.png", Image.fromarray(GREY.astype(np.uint16) * 257), np.repeat(GREY[..., None], 3, -1)),
    ("alpha.png", Image.fromarray(np.dstack([PIXELS, GREY])), PIXELS),
    ("tiny.png", Image.fromarray(PIXELS[:20, :20]), PIXELS[:20, :20]),
    ("print.tif", Image.fromarray(255 - PIXELS).convert("CMYK"), None),
])
def test_pictures_of_all_kinds_become_eight_bit_rgb(tmp_path, name, picture, expected):
    picture.save(tmp_path / name)
    image = FacePhotos(str(tmp_path / name), detector="none")[0]["img"]
    assert image.dtype == np.uint8 and image.shape[2] == 3
    assert expected is None or (image == expected).all()


def test_of_a_video_every_so_many_th_frame_is_taken_and_named_by_its_number(tmp_path):
    frames = [np.full((32, 48, 3), 20 * k, np.uint8) for k in range(10)]
    write_video(frames, tmp_path / "clip.mp4")
    photos = FacePhotos(str(tmp_path / "clip.mp4"), detector="none", every=4)
    assert names(photos) == ["clip_000000", "clip_000004", "clip_000008"]
    for k in (2, 0, 1, 1):  # in any order
        assert abs(photos[k]["img"].mean() - 80 * k) < 8


def test_a_file_that_is_no_video_is_an_error_that_names_it(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"nothing")
    with pytest.raises(DataError, match="clip.mp4"):
        FacePhotos(str(tmp_path / "clip.mp4"), detector="none")


def test_an_unknown_detector_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="harr"):
        FacePhotos(str(save(tmp_path / "a.png")), detector="harr")

"""A folder of pictures as items of one size."""

import numpy as np
import pytest
from PIL import Image

from deep3dmap.datasets import ImageFolder
from deep3dmap.errors import ConfigError, DataError


@pytest.fixture
def folder(tmp_path):
    """A square picture, and one in a subfolder whose middle square is white, its sides black."""
    Image.fromarray(np.full((6, 6, 3), (10, 20, 30), np.uint8)).save(tmp_path / "b.png")
    wide = np.zeros((8, 16, 3), np.uint8)
    wide[:, 4:12] = 255
    (tmp_path / "a").mkdir()
    Image.fromarray(wide).save(tmp_path / "a" / "c.png")
    return tmp_path


def test_items_are_the_middle_squares_in_one_size(folder):
    first, second = list(map(ImageFolder(str(folder), 4).__getitem__, range(2)))
    assert (first["name"], second["name"]) == ("a/c.png", "b.png")
    assert first["img"].shape == (4, 4, 3) and (first["img"] == 255).all()
    assert (second["img"] == (10, 20, 30)).all()


def test_pictures_are_turned_as_their_exif_says(folder):
    picture = Image.fromarray(np.concatenate([np.zeros((4, 8, 3), np.uint8), np.full((4, 8, 3), 255, np.uint8)]))
    exif = picture.getexif()
    exif[0x0112] = 3  # upside down
    picture.save(folder / "d.png", exif=exif)
    item = ImageFolder(str(folder), 8, first=-1)[0]
    assert item["name"] == "d.png" and item["img"][0].min() == 255 and item["img"][-1].max() == 0


def test_some_can_be_held_out(folder):
    assert [len(ImageFolder(str(folder), 4, **part)) for part in (dict(), dict(last=-1), dict(first=-1))] == [2, 1, 1]


@pytest.mark.parametrize("options, error, problem", [
    (dict(size=7), DataError, "b.png: the picture has 6x6 pixels, fewer than size=7"),
    (dict(size=4, first=5), ConfigError, "first=5 and last=None leave none of the 2 pictures"),
])
def test_pictures_that_do_not_suit_are_refused(folder, options, error, problem):
    with pytest.raises(error, match=problem):
        ImageFolder(str(folder), **options)


def test_an_empty_folder_and_a_damaged_picture_are_refused(folder):
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no pictures"):
        ImageFolder(str(folder / "empty"), 4)
    (folder / "b.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="b.png: can't be read as an image"):
        ImageFolder(str(folder), 4)

"""The one way in which damaged files become errors."""

import json
import os

import pytest

from deep3dmap.datasets.captures.formats import detect_format, load_capture
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.io.images import image_files
from deep3dmap.io.reading import exists, is_file, printable, reaching, read_bytes, reading, short


@pytest.mark.parametrize("raised", [OSError(28, "No space left on device"), ValueError("odd"), KeyError(3), RecursionError(),
                                    EOFError(), MemoryError()])  # yapf: disable
def test_whatever_a_decoder_raises_names_the_file(tmp_path, raised):
    (tmp_path / "a.bin").touch()
    with pytest.raises(DataError, match=r"a\.bin: can't be read as a cube \(.+\); "):
        with reading(tmp_path / "a.bin", "a cube"):
            raise raised


@pytest.mark.parametrize("raised", [ConfigError("mine"), KeyboardInterrupt(), SystemExit()])
def test_errors_with_a_message_of_their_own_and_interruptions_pass(tmp_path, raised):
    (tmp_path / "a.bin").touch()
    with pytest.raises(type(raised)):
        with reading(tmp_path / "a.bin", "a cube"):
            raise raised


def test_a_pipe_is_no_file_to_wait_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe: no such model file"):
        read_bytes(tmp_path / "pipe", "a model")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "a/b"])
def test_names_that_no_file_can_have_are_no_files(tmp_path, name):
    (tmp_path / "a").touch()
    assert not is_file(tmp_path / name) and not exists(tmp_path / name)


def test_a_refusal_of_the_file_system_names_what_it_refused(tmp_path):
    with pytest.raises(DataError, match="xxx: File name too long"):
        with reaching(tmp_path):
            (tmp_path / ("x" * 300)).stat()


@pytest.mark.parametrize("name", ["~nobody_of_this_name/set", "x" * 5000, "a\0b", "half \udcff a character"])
def test_a_folder_that_cannot_be_is_named_in_words_that_can_be_printed(name):
    with pytest.raises(DataError) as error:
        detect_format(name)
    assert str(error.value).encode() and name[:5] in str(error.value)


def test_a_photograph_whose_name_is_no_text_is_refused(tmp_path):
    (tmp_path / os.fsdecode(b"a\xff.png")).touch()
    with pytest.raises(DataError, match=r"a\\udcff\.png: the file's name"):
        image_files(tmp_path)


def test_half_a_character_in_a_path_is_refused(tmp_path):
    frame = dict(file_path="\ud800.png", transform_matrix=[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    (tmp_path / "transforms.json").write_text(json.dumps(dict(fl_x=5, frames=[frame])))
    with pytest.raises(DataError, match="file_path: expected the path of a file") as error:
        load_capture(tmp_path)
    assert str(error.value).encode()


def test_long_words_are_shown_by_their_beginning():
    assert short("abc") == "abc" and short("x" * 10**6) == "x" * 60 + "..."


def test_what_is_no_text_is_shown_escaped():
    assert printable("a\udcff é") == "a\\udcff é"

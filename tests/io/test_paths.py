from pathlib import Path

import pytest

from deep3dmap.errors import DataError
from deep3dmap.io.paths import data_root, resolve_data


@pytest.fixture
def root(tmp_path, monkeypatch):
    (tmp_path / "sets" / "temple_sparse_ring").mkdir(parents=True)
    monkeypatch.setenv("DEEP3DMAP_DATA", str(tmp_path / "sets"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "sets"


def test_a_name_means_a_folder_under_the_root_that_the_environment_says(root):
    assert data_root() == root
    assert resolve_data("temple_sparse_ring") == root / "temple_sparse_ring"


@pytest.mark.parametrize("value", [None, ""])
def test_the_root_is_data_in_the_working_folder_by_default(monkeypatch, value):
    monkeypatch.delenv("DEEP3DMAP_DATA", raising=False)
    if value is not None:
        monkeypatch.setenv("DEEP3DMAP_DATA", value)
    assert data_root() == Path("data")


def test_an_existing_path_wins_over_a_name(root, tmp_path):
    (tmp_path / "temple_sparse_ring").mkdir()
    assert resolve_data("temple_sparse_ring").resolve() == tmp_path / "temple_sparse_ring"


def test_missing_data_say_where_was_looked_and_how_to_get_them(root):
    with pytest.raises(DataError) as error:
        resolve_data("bunny")
    text = str(error.value)
    assert "'bunny'" in text and str(root / "bunny") in text
    assert "deep3dmap download NAME" in text and "DEEP3DMAP_DATA" in text


@pytest.mark.parametrize("name", ["temple_sparsering", "sets/temple_sparse_rin"])
def test_a_misspelt_name_suggests_the_folder(root, name):
    with pytest.raises(DataError, match="Did you mean .*temple_sparse_ring"):
        resolve_data(name)


def test_an_empty_name_is_not_the_root_itself(root):
    with pytest.raises(DataError):
        resolve_data("")


def test_a_root_that_does_not_exist_is_no_crash(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEP3DMAP_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="nowhere"):
        resolve_data("temple")

"""Meshes in folders: their names in the layout, and what is refused because nothing says which file is meant."""

import pytest

from deep3dmap.datasets.shapes.sdf_samples.finding import find_meshes
from deep3dmap.errors import DataError


@pytest.fixture
def folder(tmp_path):
    """Makes empty files below a folder."""

    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return make


def names(found):
    return {str(mesh.shape): mesh.path.name for mesh in found.meshes}


def test_the_folders_name_class_and_id(folder):
    root = folder("chair/one/models/model_normalized.obj", "chair/two/model.ply", "lamp/three.stl", "four.off")
    assert names(find_meshes(root, "d")) == {
        "d/chair/one": "model_normalized.obj", "d/chair/two": "model.ply",
        "d/lamp/three": "three.stl", "d/shapes/four": "four.off",
    }  # yapf: disable


def test_a_given_class_makes_the_first_folder_the_id(folder):
    root = folder("one/model.obj", "two/deep/model.obj", "three.GLB")
    expected = {"d/cup/one": "model.obj", "d/cup/two": "model.obj", "d/cup/three": "three.GLB"}
    assert names(find_meshes(root, "d", "cup")) == expected


def test_a_single_file_is_a_data_set(folder):
    assert names(find_meshes(folder("a.ply", "b.ply") / "b.ply", "d")) == {"d/shapes/b": "b.ply"}


def test_other_files_and_hidden_ones_are_no_meshes(folder):
    root = folder("a.ply", "a.mtl", "a.png", "notes.txt", ".b.ply", ".git/c.ply", "points.xyz")
    assert names(find_meshes(root, "d")) == {"d/shapes/a": "a.ply"}


def test_files_of_the_same_id_are_refused_and_the_others_found(folder):
    found = find_meshes(folder("a.ply", "a.obj", "b.ply", "c/one/x.obj", "c/one/y.obj"), "d")
    assert names(found) == {"d/shapes/b": "b.ply"}
    assert "2 files have this shape's name" in found.refused["d/shapes/a"] and "a.obj, a.ply" in found.refused["d/shapes/a"]
    assert "c/one/x.obj" in found.refused["d/c/one"]


def test_a_missing_folder_and_one_without_meshes_are_reported(folder, tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        find_meshes(tmp_path / "nowhere", "d")
    with pytest.raises(DataError, match=r"no mesh.*\.obj, \.off, \.ply"):
        find_meshes(folder("a.txt"), "d")


@pytest.mark.parametrize("name, reason", [("a\\b.ply", "backslash"), ("c\\d/e.ply", "backslash"),
                                          (b"bad\xff.ply".decode("utf-8", "surrogateescape"), "UTF-8")])  # yapf: disable
def test_a_name_that_a_split_can_not_hold_is_refused_and_the_others_found(folder, name, reason):
    found = find_meshes(folder("a.ply", name), "d")
    assert names(found) == {"d/shapes/a": "a.ply"} and [reason in each for each in found.refused.values()] == [True]


def test_samples_that_were_written_into_the_folder_are_no_meshes(folder):
    root = folder("a.ply", "out/SdfSamples/d/shapes/a.npz", "out/SurfaceSamples/d/shapes/a.ply", "SurfaceSamples/b.ply")
    assert names(find_meshes(root, "d")) == {"d/shapes/a": "a.ply", "d/SurfaceSamples/b": "b.ply"}

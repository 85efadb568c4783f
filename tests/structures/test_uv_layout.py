"""UV layouts of faces."""

import numpy as np
import pytest
import torch

from deep3dmap.errors import ConfigError, DataError
from deep3dmap.io.images import write_mask
from deep3dmap.structures import uv_layout
from deep3dmap.structures.uv_layout import UVLayout


@pytest.mark.parametrize("size", [128, 256])
def test_the_landmarks_of_the_shipped_layout_are_different_vertices(size):
    layout = UVLayout.load("ict", size)
    flat = layout.landmarks @ (1, size)
    assert len(np.unique(flat)) == 68
    assert np.isin(flat, layout.indices).all()


@pytest.mark.parametrize("size", [128, 256])
def test_the_mean_face_looks_at_the_viewer_with_its_chin_down(size):
    layout = UVLayout.load("ict", size)
    maps = torch.zeros(3, size * size)
    maps[:, layout.indices] = torch.from_numpy(layout.canonical.T.copy())
    marks = layout.landmark_points(maps.view(3, size, size))
    nose, chin, right_jaw, left_jaw = marks[30], marks[8], marks[0], marks[16]
    assert nose[2] > marks[[0, 8, 16, 36, 45], 2].max()
    assert chin[1] > nose[1]
    assert right_jaw[0] < nose[0] < left_jaw[0]
    a, b, c = (layout.canonical[layout.triangles[:, k]] for k in range(3))
    assert (np.cross(b - a, c - a)[:, 2] > 0).mean() > 0.9


def test_triangles_cover_each_square_of_four_pixels_once():
    layout = UVLayout.load("ict", 128)
    x, y = layout.indices % 128, layout.indices // 128
    (ax, ay), (bx, by), (cx, cy) = ((x[layout.triangles[:, k]], y[layout.triangles[:, k]]) for k in range(3))
    doubled = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    assert set(doubled.tolist()) == {1}
    face = np.zeros((128, 128), bool)
    face.flat[layout.indices] = True
    corners = face[:-1, :-1].astype(int) + face[:-1, 1:] + face[1:, :-1] + face[1:, 1:]
    assert len(layout.triangles) == 2 * (corners == 4).sum() + (corners == 3).sum()


def test_vertices_and_landmarks_are_the_maps_pixels():
    layout = UVLayout.load("ict", 128)
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    maps = torch.stack([x, y, x + 1000 * y])[None].expand(2, -1, -1, -1)
    assert torch.equal(layout.landmark_points(maps)[1, :, :2], torch.from_numpy(layout.landmarks).float())
    assert torch.equal(
        layout.vertices(maps)[0, :, 0].long() + 128 * layout.vertices(maps)[0, :, 1].long(), torch.from_numpy(layout.indices))


def test_a_size_that_is_not_there_names_those_that_are():
    with pytest.raises(ConfigError, match="128.*256"):
        UVLayout.load("ict", 64)


@pytest.fixture
def authors_files(tmp_path):
    indices = np.array([300, 301, 556, 557])
    np.savetxt(tmp_path / "face_ind.txt", indices)
    np.savetxt(tmp_path / "uv_kpt_ind.txt", np.stack([np.full(68, 44.0), np.full(68, 1.0)]))
    np.save(tmp_path / "canonical_vertices.npy", np.arange(12.0).reshape(4, 3))
    write_mask(tmp_path / "uv_weight_mask.png", torch.ones(256, 256, dtype=torch.bool))
    return tmp_path


def test_the_authors_files_are_read_from_a_folder(authors_files):
    layout = UVLayout.load(str(authors_files))
    assert layout.indices.tolist() == [300, 301, 556, 557]
    assert layout.landmarks[0].tolist() == [44, 1]
    assert layout.weights.max() == 1
    assert sorted(map(sorted, layout.triangles.tolist())) == [[0, 1, 3], [0, 2, 3]]


def test_the_authors_files_that_do_not_belong_together_are_refused(authors_files):
    np.save(authors_files / "canonical_vertices.npy", np.zeros((3, 3)))
    with pytest.raises(DataError, match=authors_files.name):
        UVLayout.load(str(authors_files))


def test_a_missing_file_of_the_authors_is_named(authors_files):
    (authors_files / "uv_kpt_ind.txt").unlink()
    with pytest.raises(DataError, match=r"uv_kpt_ind\.txt"):
        UVLayout.load(str(authors_files))


def test_where_the_authors_layout_is_to_be_had_and_put_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEP3DMAP_DATA", str(tmp_path))
    uv_layout._load.cache_clear()
    with pytest.raises(DataError, match=f"YadiraF/PRNet.* {tmp_path}/prnet_uv") as error:
        UVLayout.load("bfm")
    assert "deep3dmap download" not in str(error.value)

"""DeepSDF's layout: what is written reads back, so does what the reference's code wrote, and damaged files are named."""

import json
import zipfile

import numpy as np
import pytest

from deep3dmap.datasets.shapes.sdf_samples import layout
from deep3dmap.datasets.shapes.sdf_samples.layout import ShapeName
from deep3dmap.errors import DataError

A, B = ShapeName("set", "chairs", "a"), ShapeName("set", "lamps", "b")


@pytest.fixture
def rows():
    """20,000 points in the cube with their distance to a ball of radius 0.5."""
    points = np.random.default_rng(0).uniform(-1, 1, (20_000, 3))
    return np.column_stack([points, np.linalg.norm(points, axis=1) - 0.5])


def by_value(rows):
    return rows[np.lexsort(rows.T)]


def written(tmp_path, rows):
    return layout.write_samples(tmp_path / "a.npz", rows[:, :3], rows[:, 3], seed=0)


def test_written_samples_are_read_back_parted_by_sign(tmp_path, rows):
    samples = layout.read_samples(written(tmp_path, rows))
    assert (samples.positive[:, 3] > 0).all() and (samples.negative[:, 3] <= 0).all()
    both = np.concatenate([samples.positive, samples.negative])
    np.testing.assert_array_equal(by_value(both), by_value(rows.astype(np.float32)))


def test_the_file_is_what_the_references_loader_expects_and_mapped_when_shuffled(tmp_path, rows):
    with np.load(written(tmp_path, rows)) as file:
        assert file["pos"].dtype == file["neg"].dtype == np.float32
        assert file["pos"].shape[1] == file["neg"].shape[1] == 4
    samples = layout.read_samples(written(tmp_path, rows))
    assert samples.shuffled and isinstance(samples.positive, np.memmap) and not samples.positive.flags.writeable


def test_any_run_of_rows_of_a_written_file_is_a_random_sample(tmp_path, rows):
    samples = layout.read_samples(written(tmp_path, rows[np.argsort(rows[:, 0])]))  # handed over from left to right
    assert abs(samples.positive[:2000, 0].mean()) < 4 * rows[:, 0].std() / 2000**0.5


def test_the_seed_decides_the_order(tmp_path, rows):
    first, again, other = (layout.write_samples(tmp_path / f"{i}.npz", rows[:, :3], rows[:, 3], seed).read_bytes()
                           for i, seed in enumerate((1, 1, 2)))
    assert first == again != other


def test_a_compressed_file_reads_the_same(tmp_path, rows):
    samples = layout.read_samples(written(tmp_path, rows))
    np.savez_compressed(tmp_path / "c.npz", pos=samples.positive, neg=samples.negative, shuffled=True)
    compressed = layout.read_samples(tmp_path / "c.npz")
    assert compressed.shuffled
    np.testing.assert_array_equal(compressed.positive, samples.positive)


def test_rows_that_are_not_numbers_are_dropped_from_the_references_files(tmp_path, goldens):
    fixture = goldens("deepsdf/sampling")
    np.savez(tmp_path / "r.npz", pos=fixture["nan_file_pos"], neg=fixture["file_neg"])
    samples = layout.read_samples(tmp_path / "r.npz")
    good = fixture["nan_file_pos"][~np.isnan(fixture["nan_file_pos"][:, 3])]
    assert not samples.shuffled and len(good) < len(fixture["nan_file_pos"])
    np.testing.assert_array_equal(samples.positive, good)


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.999])
def test_a_truncated_file_is_named(tmp_path, rows, cut):
    path = written(tmp_path, rows)
    data = path.read_bytes()
    path.write_bytes(data[:int(cut * len(data))])
    with pytest.raises(DataError, match=r"a\.npz.*can't be read"):
        layout.read_samples(path)


def test_an_array_that_is_shorter_than_its_header_says_is_named(tmp_path, rows):
    path = written(tmp_path, rows)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data[:len(data) // 2 // 16 * 16] if name == "pos.npy" else data)
    with pytest.raises(DataError, match=r"a\.npz.*its size differs"):
        layout.read_samples(path)


@pytest.mark.parametrize("name, shape", [("pos", (8, 3)), ("neg", (8, )), ("neg", (4, 8))])
def test_arrays_of_another_shape_are_named(tmp_path, name, shape):
    arrays = dict(pos=np.ones((8, 4), np.float32), neg=-np.ones((8, 4), np.float32)) | {name: np.ones(shape, np.float32)}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=rf"a\.npz.*'{name}' must hold rows of four"):
        layout.read_samples(tmp_path / "a.npz")


def test_a_file_without_neg_is_named_with_what_it_holds(tmp_path):
    np.savez(tmp_path / "a.npz", pos=np.ones((8, 4)), points=np.ones(3))
    with pytest.raises(DataError, match=r"a\.npz.*lacks 'neg'.*points, pos"):
        layout.read_samples(tmp_path / "a.npz")


def test_samples_without_negatives_are_an_error_unless_allowed(tmp_path):
    np.savez(tmp_path / "a.npz", pos=np.ones((8, 4), np.float32), neg=np.zeros((0, 4), np.float32))
    with pytest.raises(DataError, match=r"a\.npz: has no negative samples.*8 positive"):
        layout.read_samples(tmp_path / "a.npz")
    assert len(layout.read_samples(tmp_path / "a.npz", need_both=False).positive) == 8


def test_samples_without_negatives_or_that_are_not_numbers_are_not_written(tmp_path, rows):
    with pytest.raises(DataError, match="no negative"):
        layout.write_samples(tmp_path / "a.npz", rows[:, :3], np.abs(rows[:, 3]) + 1, seed=0)
    assert not (tmp_path / "a.npz").exists()
    with pytest.raises(DataError, match="1 of 20000"):
        layout.write_samples(tmp_path / "a.npz", rows[:, :3], np.where(np.arange(20_000) == 3, np.nan, rows[:, 3]), seed=0)


def test_a_normalisation_comes_back_and_undoes_itself(tmp_path):
    saved = layout.Normalization(np.array([1.0, -2.0, 3.0]), 0.25)
    read = layout.read_normalization(layout.write_normalization(tmp_path / "n.npz", saved))
    points = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(read.apply(points), (points + [1, -2, 3]) * 0.25)
    np.testing.assert_allclose(read.undo(read.apply(points)), points)


@pytest.mark.parametrize("arrays", [
    dict(offset=np.zeros(2), scale=1.0),
    dict(offset=np.zeros(3), scale=0.0),
    dict(offset=np.full(3, np.nan), scale=1.0),
    dict(offset=np.zeros(3), scale="1")
])
def test_a_normalisation_that_is_none_is_named(tmp_path, arrays):
    np.savez(tmp_path / "n.npz", **arrays)
    with pytest.raises(DataError, match=r"n\.npz: must hold 'offset'"):
        layout.read_normalization(tmp_path / "n.npz")


def test_a_split_comes_back_and_no_name_may_stand_twice(tmp_path):
    assert layout.read_split(layout.write_split(tmp_path / "s.json", [A, B])) == [A, B]
    assert json.loads((tmp_path / "s.json").read_text()) == {"set": {"chairs": ["a"], "lamps": ["b"]}}
    with pytest.raises(DataError, match="same name.*set/chairs/a"):
        layout.write_split(tmp_path / "s.json", [A, B, A])


@pytest.mark.parametrize("text, words", [
    ('{"set": {"chairs": ["a", "b", "a"]}}', "more than once.*set/chairs/a"),
    ('{"set": {"chairs": ["a"], "chairs": ["a"]}}', "more than once.*set/chairs/a"),
    ('{"set": {"chairs": []}}', "names no shapes"),
    ('{"set": ["a"]}', "can't be read as a split"),
    ('{"set": {"chairs": {"a": 1}}}', "can't be read as a split"),
    ('["a"]', "can't be read as a split"),
    ('{"set": {"chairs": ["a"', "can't be read as a split"),
    ('{"set": {"chairs": ["../a"]}}', "can't be the name of a file"),
    ('{"set": {"": ["a"]}}', "can't be the name of a file"),
])  # yapf: disable
def test_a_split_that_is_none_is_named(tmp_path, text, words):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(DataError, match=rf"s\.json.*{words}"):
        layout.read_split(tmp_path / "s.json")


def test_missing_samples_are_counted_and_named(tmp_path, rows):
    layout.write_samples(layout.samples_path(tmp_path, A), rows[:, :3], rows[:, 3], seed=0)
    assert layout.find_samples(tmp_path, [A]) == [tmp_path / "SdfSamples" / "set" / "chairs" / "a.npz"]
    with pytest.raises(DataError, match="1 of 2 shapes.*set/lamps/b"):
        layout.find_samples(tmp_path, [A, B])


def test_all_shapes_of_a_root_are_found(tmp_path, rows):
    with pytest.raises(DataError, match="holds no samples"):
        layout.all_shapes(tmp_path)
    for shape in (B, A):
        layout.write_samples(layout.samples_path(tmp_path, shape), rows[:, :3], rows[:, 3], seed=0)
    assert layout.all_shapes(tmp_path) == [A, B]


def test_data_sources_are_gathered_and_contradictions_told(tmp_path):
    layout.add_data_source(tmp_path, "one", "meshes")
    path = layout.add_data_source(tmp_path, "two", "/else")
    assert set(json.loads(path.read_text())) == {"one", "two"}
    with pytest.raises(DataError, match="'two' comes from /else"):
        layout.add_data_source(tmp_path, "two", "/other")


def test_a_split_is_sought_from_here_and_below_the_samples(tmp_path):
    path = layout.write_split(tmp_path / "splits" / "a.json", [ShapeName("d", "c", "x")])
    assert layout.split_path(tmp_path, "splits/a.json") == layout.split_path("elsewhere", path) == path
    with pytest.raises(DataError, match=f"splits/b.json: no such split file.*{tmp_path}"):
        layout.split_path(tmp_path, "splits/b.json")


def test_a_data_source_may_be_named_by_another_path(tmp_path, monkeypatch):
    (tmp_path / "meshes").mkdir()
    (tmp_path / "link").symlink_to("meshes")
    layout.add_data_source(tmp_path, "d", tmp_path / "meshes")
    monkeypatch.chdir(tmp_path / "meshes")
    before = (tmp_path / layout.SOURCES).read_text()
    for name in (".", "../meshes", "../link"):
        layout.add_data_source(tmp_path, "d", name)
        assert (tmp_path / layout.SOURCES).read_text() == before

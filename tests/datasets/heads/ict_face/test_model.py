import numpy as np
import pytest

from deep3dmap.datasets.heads.ict_face import ICTFaceModel
from deep3dmap.errors import DataError
from tests.datasets.heads.ict_face.made import made_arrays


@pytest.fixture
def broken(tmp_path):
    """Writes the made model with some of its arrays changed (None: left out)."""

    def write(**changes):
        arrays = {name: array for name, array in (made_arrays() | changes).items() if array is not None}
        np.savez(tmp_path / "model.npz", **arrays)
        return tmp_path / "model.npz"

    return write


def test_a_head_is_the_mean_plus_its_weighted_modes_and_expressions(model):
    arrays = {name: array.astype(np.float64) for name, array in made_arrays().items() if array.dtype.kind == "f"}
    expected = arrays["mean"] + 0.5 * arrays["identity"][0] - 2 * arrays["identity"][1] + 0.25 * arrays["expression"][2]
    np.testing.assert_allclose(model.vertices([0.5, -2.0], [0, 0, 0.25]), expected, atol=1e-5)


def test_expressions_go_by_name_too(model):
    np.testing.assert_array_equal(model.vertices(expression={"jawOpen": 0.25}), model.vertices(expression=[0, 0, 0.25]))


def test_without_coefficients_it_is_the_mean(model):
    np.testing.assert_array_equal(model.vertices(), model.mean)


def test_parts_are_chosen_by_their_names(model):
    counts = np.bincount(made_arrays()["triangle_part"])
    assert len(model.faces("mouth_socket", "eyeball_left")) == counts[2] + counts[5]
    assert len(model.faces()) == counts.sum()


@pytest.mark.parametrize("options, message", [
    (dict(identity=[0.0] * 4), r"identity coefficients: at most 3 numbers"),
    (dict(identity=[0.0, np.nan]), "identity coefficients must be finite numbers; number 1 is not"),
    (dict(expression=np.ones((1, 1))), r"expression weights: at most 5 numbers .* shape \(1, 1\)"),
    (dict(expression={"jawOpened": 1.0}), "'jawOpened': did you mean 'jawOpen'"),
    (dict(expression={"jawOpen": np.inf}), "must be finite"),
])
def test_impossible_coefficients_are_refused(model, options, message):
    with pytest.raises(DataError, match=message):
        model.vertices(**options)


def test_an_unknown_part_is_answered_with_the_nearest(model):
    with pytest.raises(DataError, match="no part 'mouth': did you mean 'mouth_socket'"):
        model.faces("mouth")


@pytest.mark.parametrize("changes, message", [
    (dict(identity=None, uv=None), "it lacks 'identity' and holds .*mean"),
    (dict(mean=np.zeros((5, 2), np.float32)), r"'mean' must hold floating-point numbers of shape \('V', 3\), .*\(5, 2\)"),
    (dict(identity=np.zeros((3, 7, 3), np.float32)), r"'identity' must hold .* it holds float32 of shape .3, 7, 3."),
    (dict(expression_names=np.array(["jawOpen"])), r"'expression_names' must hold words of shape \(5,\)"),
    (dict(triangles=made_arrays()["triangles"].astype(float)), "'triangles' must hold integers"),
    (dict(triangles=made_arrays()["triangles"] + 1), r"'triangles' refers to entries 1 to (\d+), but 'mean' has entries 0"),
    (dict(triangle_part=made_arrays()["triangle_part"] - 1), "'triangle_part' refers to entries -1 to"),
    (dict(landmarks68=np.zeros(5, np.int32)), "'landmarks68' must hold integers of shape \\(68,\\)"),
    (dict(mean=np.full_like(made_arrays()["mean"], np.nan)), "'mean' has .* values that are not finite"),
    (dict(identity=np.full_like(made_arrays()["identity"], np.inf)), "'identity' has .* values that are not finite"),
])  # yapf: disable
def test_a_file_of_another_layout_is_refused_by_the_array_that_is_wrong(broken, changes, message):
    with pytest.raises(DataError, match=message):
        ICTFaceModel.load(broken(**changes))


@pytest.mark.parametrize("write, message", [
    (lambda path: path.write_bytes(b"PK\3\4 not a zip"), "model.npz: can't be read as an ICT face model"),
    (lambda path: np.savez(path, **made_arrays() | dict(part_names=np.array(["face", None], object))),
     "model.npz: can't be read as an ICT face model"),
    (lambda path: None, "model.npz: no such ICT face model file"),
])  # yapf: disable
def test_what_is_no_npz_needs_pickle_or_is_not_there_is_refused(tmp_path, write, message):
    write(tmp_path / "ict_face_model.npz")
    with pytest.raises(DataError, match=message):
        ICTFaceModel.load(tmp_path)


def test_a_name_stands_for_the_folder_of_that_data_set(model_file, tmp_path, monkeypatch):
    monkeypatch.setenv("DEEP3DMAP_DATA", str(tmp_path))
    with pytest.raises(DataError, match="download"):
        ICTFaceModel.load()
    (tmp_path / "ict_face").symlink_to(model_file.parent)
    assert len(ICTFaceModel.load().mean) > 0


def test_the_real_model_has_the_published_size_and_its_landmarks_on_the_face(real_model):
    assert real_model.identity.shape == (100, 17202, 3) and len(real_model.expression_names) == 57
    landmarks = real_model.mean[real_model.landmarks68]
    nose, chin, eye_corners = landmarks[30], landmarks[8], landmarks[[36, 45]]
    assert nose[2] > landmarks[:, 2].max() - 1 and chin[1] < nose[1] < eye_corners[0, 1]
    np.testing.assert_allclose(np.linalg.norm(eye_corners[1] - eye_corners[0]), 8.9, atol=0.1)  # as its notes say: centimetres


def test_the_real_left_blink_moves_lids_on_the_subjects_left_only(real_model):
    moved = np.linalg.norm(real_model.vertices(expression={"eyeBlink_L": 1.0}) - real_model.mean, axis=1)
    assert moved[real_model.mean[:, 0] > 1].max() > 0.5 and moved[real_model.mean[:, 0] < -1].max() < 0.05

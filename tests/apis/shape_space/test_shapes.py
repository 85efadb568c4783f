"""A look into a space of balls and ellipsoids."""

import csv

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from deep3dmap.apis.shape_space.codes import load_shape_space, read_code, write_code
from deep3dmap.apis.shape_space.shapes import interpolate_shapes, mesh_shapes, plot_codes, sample_shapes
from deep3dmap.cli.app import main
from deep3dmap.engine.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from deep3dmap.errors import CheckpointError, DataError
from deep3dmap.frameworks import DeepSDF
from deep3dmap.geometry.meshing import NoSurfaceError
from tests.shapes_fixture import NORMALIZATION, SHAPES, full_name

LOW = dict(resolution=48, device="cpu", log=lambda line: None)


@pytest.fixture(scope="module")
def space(shape_checkpoint):
    return load_shape_space(shape_checkpoint, "cpu")


def half_edges(mesh: trimesh.Trimesh) -> np.ndarray:
    return (mesh.bounds[1] - mesh.bounds[0]) / 2


def write_other(checkpoint, target, **changes):
    """The checkpoint with other entries."""
    save_checkpoint(load_checkpoint(find_checkpoint(checkpoint)) | changes, target)
    return target


def test_training_shapes_are_written_in_their_own_frame(shape_checkpoint, tmp_path):
    written = mesh_shapes(shape_checkpoint, tmp_path, ["ball_50", "made/long/long_y"], **LOW)
    assert list(written.meshes) == [full_name("ball_50"), full_name("long_y")]
    for name in ("ball_50", "long_y"):
        mesh = trimesh.load_mesh(tmp_path / f"{full_name(name)}.ply")
        np.testing.assert_allclose(half_edges(mesh), np.array(SHAPES[name]) / NORMALIZATION.scale, atol=0.12)
        np.testing.assert_allclose(mesh.bounds.mean(0), -NORMALIZATION.offset, atol=0.08)


def test_their_normalised_frame_can_be_kept(shape_checkpoint, tmp_path):
    written = mesh_shapes(shape_checkpoint, tmp_path, ["long_x"], keep_normalization=True, **LOW)
    mesh = trimesh.load_mesh(written.meshes[full_name("long_x")])
    np.testing.assert_allclose(mesh.bounds, [[-0.7, -0.35, -0.35], [0.7, 0.35, 0.35]], atol=0.03)


def test_a_short_name_that_is_unknown_is_told_the_nearest_short_names(space):
    with pytest.raises(DataError, match="'ball_71'.*did you mean 'ball_70'"):
        space.code_of("ball_71")


def test_a_code_without_a_surface_is_told_and_the_others_are_written(shape_checkpoint, tmp_path, monkeypatch):
    told, content = [], load_checkpoint(find_checkpoint(shape_checkpoint))
    broken = content["state_dict"]["codes.weight"].clone()
    broken[0] = find_empty(load_shape_space(shape_checkpoint, "cpu"))
    other = write_other(shape_checkpoint, tmp_path / "other.pth",
                        state_dict=content["state_dict"] | {"codes.weight": broken})  # yapf: disable
    names = load_shape_space(other, "cpu").names
    written = mesh_shapes(other, tmp_path / "out", names[:2], **LOW | dict(log=told.append))
    assert written.empty == names[:1] and list(written.meshes) == names[1:2]
    assert names[0] in told[0]


def find_empty(space) -> torch.Tensor:
    """A code far away, whose distances have one sign on a grid."""
    points = torch.cartesian_prod(*[torch.linspace(-1, 1, 20)] * 3)
    codes = 100 * torch.randn(200, space.decoder.code_length, generator=torch.Generator().manual_seed(0))
    values = torch.stack([space.decoder.field(code)(points) for code in codes])
    return codes[int((values.amin(1) > 0).int().argmax())]


def test_the_ends_of_an_interpolation_are_the_shapes_themselves(shape_checkpoint, space, tmp_path):
    written = interpolate_shapes(shape_checkpoint, "ball_30", "long_z", tmp_path, steps=3, **LOW)
    for step, name in (("step_0", "ball_30"), ("step_2", "long_z")):
        own = space.extract_mesh(48, shape=name, normalized=True)
        np.testing.assert_allclose(trimesh.load_mesh(written.meshes[step], process=False).vertices, own.vertices, atol=1e-6)
        torch.testing.assert_close(read_code(written.codes[step], 4), space.code_of(name), atol=0, rtol=0)


def test_the_ball_in_the_middle_has_a_radius_between(shape_checkpoint, tmp_path):
    written = interpolate_shapes(shape_checkpoint, "ball_30", "ball_70", tmp_path, steps=3, **LOW)
    radii = [np.cbrt(trimesh.load_mesh(written.meshes[f"step_{k}"]).volume * 3 / (4 * np.pi)) for k in range(3)]
    assert radii[0] == pytest.approx(0.3, abs=0.02) and radii[2] == pytest.approx(0.7, abs=0.02)
    assert 0.4 < radii[1] < 0.65


def test_an_interpolations_picture_shows_every_step(shape_checkpoint, tmp_path):
    picture = np.array(Image.open(
        interpolate_shapes(shape_checkpoint, "ball_30", "ball_70", tmp_path, steps=4, **LOW).picture))
    covered = [(part < 240).any(-1).sum() for part in np.array_split(picture[30:], 4, axis=1)]
    assert covered[-1] > 2 * covered[0] > 0  # one camera for all: radius 0.7 against 0.3


def test_dots_in_names_stay_in_the_titles(shape_checkpoint, tmp_path, monkeypatch):
    seen, content = [], load_checkpoint(find_checkpoint(shape_checkpoint))
    names = ["made/ball/ball.v2", *content["info"]["shapes"][1:]]
    other = write_other(shape_checkpoint, tmp_path / "other.pth", info=content["info"] | dict(shapes=names))
    write_code(tmp_path / "a.b.npz", load_shape_space(other, "cpu").code_of("ball.v2"))
    monkeypatch.setattr("deep3dmap.apis.shape_space.shapes.shape_grid",
                        lambda meshes, titles, columns: seen.extend(titles) or np.zeros((4, 4, 3), np.uint8))
    interpolate_shapes(other, "made/ball/ball.v2", tmp_path / "a.b.npz", tmp_path / "out", steps=3, **LOW)
    assert seen == ["ball.v2", "0.5", "a.b"]


def test_codes_come_from_files_of_either_kind(shape_checkpoint, space, tmp_path):
    code = space.code_of("ball_60")
    write_code(tmp_path / "a.npz", code)
    torch.save(code[None, None].clone(), tmp_path / "b.pth")  # the authors' shape
    written = interpolate_shapes(shape_checkpoint,
                                 tmp_path / "a.npz",
                                 str(tmp_path / "b.pth"),
                                 tmp_path / "out",
                                 steps=2,
                                 **LOW)
    for step in ("step_0", "step_1"):
        assert half_edges(trimesh.load_mesh(written.meshes[step])) == pytest.approx(0.6, abs=0.03)


def test_unknown_shapes_are_refused_with_the_nearest_names(shape_checkpoint, tmp_path):
    for call in (lambda: interpolate_shapes(shape_checkpoint, "made/ball/ball_31", "ball_40", tmp_path / "out"),
                 lambda: mesh_shapes(shape_checkpoint, tmp_path / "out", ["ball_40", "made/ball/ball_31"])):
        with pytest.raises(DataError, match="ball_31.*made/ball/ball_30"):
            call()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("array, message", [
    (np.zeros(5, np.float32), "5 entries.*have 4"),
    (np.zeros((2, 4), np.float32), "no code of one shape"),
    (np.zeros(4, np.int64), "no code of one shape"),
    (np.float32(1), "no code of one shape"),
    (np.array([0, 1, np.nan, 0], np.float32), "not finite"),
])  # yapf: disable
def test_files_of_other_codes_are_refused(shape_checkpoint, tmp_path, array, message):
    np.savez(tmp_path / "a.npz", code=array)
    torch.save(torch.from_numpy(np.array(array)), tmp_path / "b.pth")
    for name in ("a.npz", "b.pth"):
        with pytest.raises(DataError, match=f"{name}.*{message}"):
            interpolate_shapes(shape_checkpoint, tmp_path / name, "ball_30", tmp_path / "out")


def test_missing_and_foreign_files_of_codes_are_refused(shape_checkpoint, tmp_path):
    np.savez(tmp_path / "other.npz", latent=np.zeros(4))
    torch.save(dict(code=torch.zeros(4)), tmp_path / "table.pth")
    for name, error, message in (("none.npz", DataError, "no such"), ("other.npz", DataError, "'code'"),
                                 ("none.pth", CheckpointError, "no such"), ("table.pth", DataError, "no code of one shape")):
        with pytest.raises(error, match=f"{name}.*{message}"):
            interpolate_shapes(shape_checkpoint, "ball_30", tmp_path / name, tmp_path / "out")


def drawn_codes(checkpoint, folder, **options) -> np.ndarray:
    written = sample_shapes(checkpoint, folder, 3, **LOW | dict(resolution=24), **options)
    return np.stack([read_code(path, 4) for path in written.codes.values()])


def test_draws_repeat_with_their_seed_and_differ_without(shape_checkpoint, tmp_path):
    first, again, other = (drawn_codes(shape_checkpoint, tmp_path / str(k), seed=seed) for k, seed in enumerate((0, 0, 1)))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).min() > 0


@pytest.mark.parametrize("prior", ["empirical", "diagonal", "paper"])
def test_draws_of_every_prior_give_meshes_and_a_picture(shape_checkpoint, tmp_path, prior):
    written = sample_shapes(shape_checkpoint, tmp_path, 3, prior=prior, **LOW)
    assert len(written.meshes) + len(written.empty) == 3 and written.meshes
    for path in written.meshes.values():
        assert len(trimesh.load_mesh(path).faces) > 100
    assert (np.array(Image.open(written.picture)) < 200).mean() > 0.05


# --- the map --------------------------------------------------------------------------------------------------------------


def read_table(path) -> tuple[list[dict], np.ndarray]:
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return rows, np.array([[float(v) for k, v in row.items() if k.startswith("component_")] for row in rows])


def test_the_maps_table_holds_the_principal_coordinates(shape_checkpoint, space, tmp_path):
    picture, table = plot_codes(shape_checkpoint, tmp_path / "deep" / "codes.png")
    rows, found = read_table(table)
    assert [row["name"] for row in rows] == space.names and {row["group"] for row in rows} == {"training"}
    codes = space.codes.weight.detach().double().numpy()
    left, sizes, _ = np.linalg.svd(codes - codes.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(found), np.abs(left * sizes), atol=1e-5)
    np.testing.assert_allclose([float(row["norm"]) for row in rows], np.linalg.norm(codes, axis=1), rtol=1e-5)
    assert len(np.unique(np.array(Image.open(picture)).reshape(-1, 3), axis=0)) > 10


def test_fitted_codes_lie_beside_those_of_training(shape_checkpoint, space, tmp_path):
    write_code(tmp_path / "codes" / "made" / "new.npz", space.code_of("ball_40"))
    torch.save(space.code_of("long_x")[None, None].clone(), tmp_path / "codes" / "old.pth")
    rows, found = read_table(plot_codes(shape_checkpoint, tmp_path / "map.png", fitted=tmp_path / "codes")[1])
    assert [(row["name"], row["group"]) for row in rows[8:]] == [("made/new", "fitted"), ("old", "fitted")]
    expected = [space.names.index(full_name(name)) for name in ("ball_40", "long_x")]
    np.testing.assert_array_equal(found[8:], found[expected])


def test_a_folder_without_codes_and_a_map_that_is_no_png_are_refused(shape_checkpoint, tmp_path):
    with pytest.raises(DataError, match="holds no codes"):
        plot_codes(shape_checkpoint, tmp_path / "map.png", fitted=tmp_path)
    with pytest.raises(DataError, match="gone: no such folder"):
        plot_codes(shape_checkpoint, tmp_path / "map.png", fitted=tmp_path / "gone")
    with pytest.raises(DataError, match=r"map\.pdf.*\.png"):
        plot_codes(shape_checkpoint, tmp_path / "map.pdf")


def test_checkpoints_without_codes_are_refused(shape_checkpoint, tmp_path):
    content = load_checkpoint(find_checkpoint(shape_checkpoint))
    other = write_other(shape_checkpoint, tmp_path / "other.pth", info=content["info"] | dict(shapes=[]))
    with pytest.raises(CheckpointError, match=r"other\.pth.*named shapes"):
        plot_codes(other, tmp_path / "codes.png")


def test_a_place_that_cannot_be_written_is_named(shape_checkpoint, tmp_path):
    (tmp_path / "file").write_text("")
    for call in (lambda: mesh_shapes(shape_checkpoint, tmp_path / "file" / "out", ["ball_30"]),
                 lambda: interpolate_shapes(shape_checkpoint, "ball_30", "ball_40", tmp_path / "file"),
                 lambda: sample_shapes(shape_checkpoint, tmp_path / "file"),
                 lambda: plot_codes(shape_checkpoint, tmp_path / "file" / "codes.png")):
        with pytest.raises(DataError, match="file.*"):
            call()


@pytest.mark.parametrize("words", [["interpolate", "ball_30", "ball_70"], ["sample"], ["mesh", "--all"]])
def test_a_command_fails_when_no_code_has_a_surface(shape_checkpoint, tmp_path, monkeypatch, words):

    def nothing(*args, **options):
        raise NoSurfaceError("nothing is there")

    monkeypatch.setattr(DeepSDF, "extract_mesh", nothing)
    verb, *rest = words
    assert main(["shape", verb, str(shape_checkpoint), *rest, "-o", str(tmp_path)]) == 1


def test_the_commands_write_what_they_say(shape_checkpoint, tmp_path, capsys):
    run, small = str(shape_checkpoint), ["--resolution", "24"]
    calls = {"mesh": [run, "--shapes", "ball_70", "-o", f"{tmp_path}/a", *small],
             "interpolate": [run, "ball_30", "ball_70", "--steps", "2", "-o", f"{tmp_path}/b", *small],
             "sample": [run, "--count", "1", "--prior", "paper", "-o", f"{tmp_path}/c", *small],
             "codes": [run, "-o", f"{tmp_path}/map.png"]}  # yapf: disable
    assert [main(["shape", verb, *words]) for verb, words in calls.items()] == [0] * 4
    files = ("a/made/ball/ball_70.ply", "b/interpolation.png", "b/meshes/step_1.ply", "c/samples.png", "c/codes/sample_0.npz",
             "map.png", "map.csv")  # yapf: disable
    assert [name for name in files if not (tmp_path / name).is_file()] == []
    assert "ball_70.ply" in capsys.readouterr().out

"""New shapes from a space of balls and ellipsoids: a ball of a radius that it was not trained on, seen in several ways."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from deep3dmap.apis.shape_space.codes import load_shape_space, read_code
from deep3dmap.apis.shape_space.fit import FAILED, FITTED, REFUSED, SKIPPED, final_loss, fit_shapes
from deep3dmap.apis.shape_space.inputs import IDENTITY, Frames, ShapeInput, find_inputs, observe, shared_frame
from deep3dmap.cli import app as cli
from deep3dmap.datasets.shapes.sdf_samples.layout import Normalization, write_normalization, write_samples
from deep3dmap.errors import CheckpointError, ConfigError, DataError
from deep3dmap.frameworks.deepsdf.observations import Observations, free_space
from deep3dmap.io.mesh_files import load_mesh
from tests.shapes_fixture import NORMALIZATION, full_name, write_shapes

RADIUS = 0.63  # normalised; those trained on are 0.6 and 0.7, their mean is 0.5
EYE = NORMALIZATION.undo(np.array([[0.0, 0.0, 3.0]]))[0]
QUICK = dict(resolution=24, log=lambda line: None)
SHIFTED = Frames(NORMALIZATION)


def directions(count: int = 2000) -> np.ndarray:
    points = np.random.default_rng(5).normal(size=(count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def depth_map() -> dict:
    """The ball from :data:`EYE`, in the data's units, by the crossing of each pixel's ray."""
    K = np.array([[60.0, 0, 24], [0, 60, 24], [0, 0, 1]])
    pose = np.column_stack([np.diag([1.0, -1, -1]), EYE])
    v, u = np.meshgrid(np.arange(48) + 0.5, np.arange(48) + 0.5, indexing="ij")
    ray = np.stack([(u - 24) / 60, (v - 24) / 60, np.ones_like(u)], -1)
    distance, radius = 3.0 / NORMALIZATION.scale, RADIUS / NORMALIZATION.scale
    a, discriminant = (ray**2).sum(-1), distance**2 - (ray**2).sum(-1) * (distance**2 - radius**2)
    depth = np.where(discriminant > 0, (distance - np.sqrt(np.maximum(discriminant, 0))) / a, np.nan)
    return dict(depth=depth, K=K, cam_to_world=pose)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """The ball as samples, as a cloud with normals, as the part of a cloud that is seen from one side, and as a depth map."""
    folder, unit = tmp_path_factory.mktemp("inputs"), directions()
    near = unit * np.random.default_rng(6).uniform(0.2, 0.95, (len(unit), 1))
    write_samples(folder / "samples.npz", near, np.linalg.norm(near, axis=1) - RADIUS, 0)
    points = NORMALIZATION.undo(RADIUS * unit)
    np.savez(folder / "cloud.npz", points=points, normals=unit)
    np.savetxt(folder / "half.xyz", points[unit[:, 2] > RADIUS / 3])
    np.savez(folder / "depth.npz", **depth_map())
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def fitted(shape_checkpoint, inputs, tmp_path_factory):
    """All of them, fitted by the command."""
    folder = tmp_path_factory.mktemp("fitted")
    words = ["shape", "fit", shape_checkpoint, *inputs.values(), "-o", folder, "--viewpoint", *EYE, "--resolution", 32]
    assert cli.main([str(word) for word in words]) == 0
    return folder


def radii(folder, name: str) -> np.ndarray:
    """Distances of a mesh's vertices from where the ball's centre is in the input's own frame, normalised units."""
    vertices = np.asarray(load_mesh(folder / f"meshes/{name}.ply").vertices)
    return np.linalg.norm(vertices if name == "samples" else NORMALIZATION.apply(vertices), axis=1)


@pytest.mark.parametrize("name", ["samples", "cloud", "half", "depth"])
def test_an_unseen_ball_is_reconstructed(fitted, name):
    found = radii(fitted, name)
    assert abs(found.mean() - RADIUS) < 0.01  # measured: 0.003 at most
    assert np.abs(found - RADIUS).max() < 0.08  # measured: 0.056 at most


def test_codes_and_a_table_are_left(fitted, inputs, shape_checkpoint):
    with open(fitted / "fits.csv", newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert set(rows) == set(inputs) and {row["status"] for row in rows.values()} == {FITTED}
    length = load_shape_space(shape_checkpoint, "cpu").decoder.code_length
    for name, row in rows.items():
        assert np.linalg.norm(read_code(fitted / f"codes/{name}.npz", length)) == pytest.approx(float(row["code_length"]))
        with np.load(fitted / f"codes/{name}.npz") as file:
            assert float(file["loss"]) == pytest.approx(file["losses"][-20:].mean(), rel=1e-5)
            assert json.loads(str(file["options"]))["iterations"] == 150


def test_samples_of_a_layout_leave_in_their_own_frame(shape_checkpoint, tmp_path):
    write_shapes(tmp_path / "data", 600)
    split = tmp_path / "data/some.json"
    split.write_text(json.dumps({"made": {"ball": ["ball_60"]}}))
    rows = fit_shapes(shape_checkpoint, [tmp_path / "data"], tmp_path / "out", split=split, **QUICK)
    assert [(row.name, row.status) for row in rows] == [(full_name("ball_60"), FITTED)]
    assert abs(radii(tmp_path / "out", rows[0].name).mean() - 0.6) < 0.03


def test_the_same_seed_gives_the_same_code_whatever_is_fitted_before(shape_checkpoint, inputs, tmp_path):
    chosen = [inputs["depth"], inputs["cloud"]]
    for out, paths in (("one", chosen), ("two", chosen[1:])):
        fit_shapes(shape_checkpoint, paths, tmp_path / out, iterations=5, **QUICK)
    codes = [read_code(tmp_path / out / "codes/cloud.npz", 4) for out in ("one", "two")]
    assert (codes[0] == codes[1]).all()


def test_the_best_start_is_kept(shape_checkpoint, inputs, tmp_path):
    losses = [
        fit_shapes(shape_checkpoint, [inputs["cloud"]], tmp_path / str(seed), iterations=3, seed=seed, **QUICK)[0].loss
        for seed in (0, 1, 2)
    ]
    best = fit_shapes(shape_checkpoint, [inputs["cloud"]], tmp_path / "best", iterations=3, starts=3, **QUICK)[0].loss
    assert len(set(losses)) == 3 and best == min(losses)


def test_mixed_precision_finds_nearly_the_same(shape_checkpoint, inputs, tmp_path):
    rows = fit_shapes(shape_checkpoint, [inputs["samples"]], tmp_path, amp=True, **QUICK)
    assert rows[0].status == FITTED
    assert abs(radii(tmp_path, "samples").mean() - RADIUS) < 0.03


def test_what_is_there_is_skipped_and_stays_in_the_table(shape_checkpoint, inputs, tmp_path):
    options = dict(iterations=3, skip_existing=True, **QUICK)
    first = fit_shapes(shape_checkpoint, [inputs["cloud"]], tmp_path, **options)
    written = (tmp_path / "codes/cloud.npz").stat().st_mtime_ns
    rows = fit_shapes(shape_checkpoint, [inputs["cloud"], inputs["depth"]], tmp_path, **options)
    assert [row.status for row in rows] == [SKIPPED, FITTED]
    assert rows[0].loss == first[0].loss and (tmp_path / "codes/cloud.npz").stat().st_mtime_ns == written
    fit_shapes(shape_checkpoint, [inputs["samples"]], tmp_path, **options)
    assert len((tmp_path / "fits.csv").read_text().splitlines()) == 4


def test_a_code_of_another_checkpoint_is_not_taken_for_ours(shape_checkpoint, inputs, tmp_path):
    options = dict(iterations=3, skip_existing=True, **QUICK)
    fit_shapes(shape_checkpoint, [inputs["cloud"]], tmp_path, **options)
    np.savez(tmp_path / "codes/cloud.npz", code=np.zeros(7, np.float32))
    row = fit_shapes(shape_checkpoint, [inputs["cloud"]], tmp_path, **options)[0]
    assert row.status == REFUSED and "codes of this checkpoint have 4" in row.reason


def test_what_was_made_with_other_options_is_neither_skipped_nor_lost(shape_checkpoint, inputs, tmp_path):
    fit_shapes(shape_checkpoint, [inputs["cloud"]], tmp_path, iterations=3, **QUICK)
    written = (tmp_path / "codes/cloud.npz").read_bytes()
    for options, message in ((dict(iterations=4), "iterations: 3, now 4"),
                             (dict(iterations=3, offset=0.02), "offset: 0.01, now 0.02"),
                             (dict(iterations=3, viewpoint=(0, 0, 3)), "viewpoint: None, now")):  # yapf: disable
        row = fit_shapes(shape_checkpoint, [inputs["cloud"]], tmp_path, skip_existing=True, **options, **QUICK)[0]
        assert row.status == REFUSED and message in row.reason
    assert (tmp_path / "codes/cloud.npz").read_bytes() == written


@pytest.mark.parametrize("change", ["the input", "its own frame", "the options"])
def test_a_result_of_something_else_is_refused_and_its_row_stays(change, shape_checkpoint, tmp_path):
    write_shapes(tmp_path / "data", 600)
    path = next((tmp_path / "data" / "SdfSamples").rglob("*.npz"))
    frame = find_inputs([path])[0].normalization
    options = dict(iterations=3, skip_existing=True, **QUICK)
    assert fit_shapes(shape_checkpoint, [path], tmp_path / "out", **options)[0].status == FITTED
    table = (tmp_path / "out" / "fits.csv").read_bytes()
    if change == "the input":
        np.savez(path, **{name: rows[1:] if rows.ndim else rows for name, rows in np.load(path).items()})
    elif change == "its own frame":
        write_normalization(frame, Normalization(np.ones(3), 2.0))
    else:
        options["iterations"] = 4
    row = fit_shapes(shape_checkpoint, [path], tmp_path / "out", **options)[0]
    assert row.status == REFUSED and "--skip-existing" in row.reason
    assert (str(path) in row.reason) == (change != "the options")
    assert (tmp_path / "out" / "fits.csv").read_bytes() == table
    assert fit_shapes(shape_checkpoint, [path], tmp_path / "out", **options | dict(skip_existing=False))[0].status == FITTED


def test_a_result_whose_input_is_gone_or_was_not_recorded_is_skipped(shape_checkpoint, inputs, tmp_path):
    path = Path(shutil.copy(inputs["cloud"], tmp_path))
    options = dict(iterations=3, skip_existing=True, **QUICK)
    fit_shapes(shape_checkpoint, [path], tmp_path / "out", **options)
    code = tmp_path / "out" / "codes" / f"{path.stem}.npz"
    content = dict(np.load(code))
    recorded = json.loads(str(content["options"]))
    del recorded["input"]
    np.savez(code, **content | dict(options=np.array(json.dumps(recorded))))
    assert fit_shapes(shape_checkpoint, [path], tmp_path / "out", **options)[0].status == SKIPPED
    path.unlink()
    assert fit_shapes(shape_checkpoint, [path], tmp_path / "out", **options)[0].status == SKIPPED


def test_what_other_weights_made_is_not_skipped(shape_checkpoint, inputs, tmp_path):
    fit_shapes(shape_checkpoint, [inputs["cloud"]], tmp_path / "out", iterations=3, **QUICK)
    content = torch.load(next(shape_checkpoint.glob("checkpoints/*.pth")), weights_only=False)
    next(value for key, value in content["state_dict"].items() if key.startswith("decoder.") and value.ndim == 2)[0, 0] += 1
    torch.save(content, tmp_path / "other.pth")
    row = fit_shapes(tmp_path / "other.pth", [inputs["cloud"]], tmp_path / "out", iterations=3, skip_existing=True, **QUICK)[0]
    assert row.status == REFUSED and "decoder: " in row.reason


def test_a_table_that_is_none_stops_before_anything_is_fitted(shape_checkpoint, inputs, tmp_path):
    (tmp_path / "fits.csv").write_text("mine;not yours\n1;2\n")
    with pytest.raises(DataError, match="fits.csv: can't be read as a table of fitted shapes"):
        fit_shapes(shape_checkpoint, [inputs["cloud"]], tmp_path, iterations=3, **QUICK)
    assert "not yours" in (tmp_path / "fits.csv").read_text() and not (tmp_path / "codes").exists()


def test_a_file_in_place_of_the_output_folder_is_told_before_anything_is_fitted(shape_checkpoint, inputs, tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(DataError, match="out: File exists"):
        fit_shapes(shape_checkpoint, [inputs["cloud"]], tmp_path / "out", **QUICK)


def test_a_split_may_be_named_relative_to_its_folder(tmp_path):
    write_shapes(tmp_path, count=20)
    assert len(find_inputs([tmp_path], "split.json")) == len(find_inputs([tmp_path], tmp_path / "split.json")) > 0


def test_a_batch_goes_on_after_what_fails(shape_checkpoint, inputs, tmp_path, capsys):
    np.savez(tmp_path / "nan.npz", points=np.full((9, 3), np.nan))
    words = ["shape", "fit", shape_checkpoint, tmp_path / "nan.npz", tmp_path / "gone.ply", inputs["cloud"], "-o",
             tmp_path / "out", "--iterations", 3, "--resolution", 16]  # yapf: disable
    assert cli.main([str(word) for word in words]) == 1
    text = capsys.readouterr().out
    assert "nan: failed" in text and "gone: failed" in text and "cloud: fitted" in text and "1 of 3 shapes; 2 failed" in text
    assert (tmp_path / "out/meshes/cloud.ply").is_file()


def observed(path, frames=SHIFTED, **options):
    return observe(ShapeInput("it", path), frames, **options)


def test_points_are_taken_before_and_behind_the_surface(inputs):
    seen, normalization = observed(inputs["cloud"], offset=0.02)
    assert normalization is NORMALIZATION and seen.free is None
    for side, sign in ((seen.positive, 1), (seen.negative, -1)):
        np.testing.assert_allclose(side[:, :3].norm(dim=1), RADIUS + sign * 0.02, atol=1e-5)
        np.testing.assert_allclose(side[:, 3], sign * 0.02)


@pytest.mark.parametrize("name", ["half", "depth"])
def test_free_points_lie_between_the_surface_and_who_sees_it(inputs, name):
    seen, _ = observed(inputs[name], viewpoint=EYE.tolist())
    assert len(seen.free) > len(seen.positive)
    assert (seen.free.norm(dim=1) > RADIUS).all() and (seen.free[:, 2] > 0).all() and (seen.free.norm(dim=1) < 1).all()


def test_free_space_lies_between_the_sphere_and_the_surface():
    origins, points = torch.tensor([[0.0, 0.0, 50.0]]), torch.tensor([[0.0, 0.0, 0.5]])
    free = free_space(origins, points, 400, 0.1, torch.Generator().manual_seed(0))
    assert len(free) > 395 and 0.6 <= free[:, 2].min() < 0.62 and 0.98 < free[:, 2].max() < 1
    free = free_space(torch.tensor([[0.0, 0.0, 3.0]]), torch.tensor([[0.0, 0.0, 0.99]]), 10, 0.1)
    assert len(free) == 0


def test_the_way_into_the_normalised_frame(inputs, tmp_path, shape_checkpoint):
    other = Normalization(NORMALIZATION.offset, 0.2)
    shared = shared_frame(load_shape_space(shape_checkpoint, "cpu"))
    assert shared.scale == NORMALIZATION.scale and (shared.offset == NORMALIZATION.offset).all()
    assert observed(inputs["cloud"], Frames(other, shared))[1] is other
    assert observed(inputs["cloud"], Frames(None, shared))[1] is shared
    np.savez(tmp_path / "small.npz", points=0.5 * directions(), normals=directions())
    assert observed(tmp_path / "small.npz", Frames())[1] is IDENTITY
    assert observed(inputs["samples"], Frames(None, shared))[1] is IDENTITY


def test_training_shapes_that_were_normalised_one_by_one_share_no_frame(shape_checkpoint):
    framework = load_shape_space(shape_checkpoint, "cpu")
    framework.scales[1] *= 2
    assert shared_frame(framework) is None


def test_a_given_normalization_file_is_used(shape_checkpoint, inputs, tmp_path):
    write_normalization(tmp_path / "frame.npz", Normalization(np.zeros(3), 0.01))
    options = dict(normalization=tmp_path / "frame.npz", iterations=3, **QUICK)
    row = fit_shapes(shape_checkpoint, [inputs["samples"]], tmp_path, **options)[0]
    assert row.status == FITTED
    assert np.abs(load_mesh(tmp_path / "meshes/samples.ply").vertices).max() > 20


ELSEWHERE = 40 * np.ones((5, 4), np.float32)


@pytest.mark.parametrize("arrays, viewpoint, message", [
    (dict(points=5 * directions(), normals=directions()), None, "2000 of 2000 points lie outside the unit sphere.*--norm"),
    (dict(points=0.5 * directions()), None, "has no normals.*--viewpoint"),
    (dict(pos=np.ones((5, 4), np.float32), neg=np.zeros((0, 4), np.float32)), None, "no negative"),
    (dict(pos=ELSEWHERE, neg=-ELSEWHERE), None, "10 of 10 samples lie outside"),
    (dict(points=np.outer(np.linspace(0, 0.5, 30), np.ones(3))), [0.0, 0.0, 3.0], "lie on a line"),
    (dict(depth=np.ones((4, 4)), K=np.eye(3)), None, "lacks 'cam_to_world'"),
])  # yapf: disable
def test_bad_inputs_have_one_clear_message(tmp_path, arrays, viewpoint, message):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(DataError, match=f"bad.npz.*{message}"):
        observed(tmp_path / "bad.npz", Frames(), viewpoint=viewpoint)


def test_a_grid_that_no_machine_has_room_for_is_refused_first():
    with pytest.raises(ConfigError, match="resolution"):
        fit_shapes("nowhere", ["nothing"], "out", resolution=10**5)


def test_inputs_without_samples_of_one_name_or_with_a_split_but_no_folder_are_refused(tmp_path):
    for arguments, message in (([[tmp_path]], "SdfSamples"), ([["a/scan.ply", "b/scan.ply"]], "more than one input.*scan"),
                               ([["a.npz"], "some.json"], "--split")):  # yapf: disable
        with pytest.raises(DataError, match=message):
            find_inputs(*arguments)


def test_another_method_is_refused(work_dir):
    with pytest.raises(CheckpointError, match="IDR, which has no space of shapes"):
        load_shape_space(work_dir, "cpu")


def test_a_fit_that_diverges_is_a_failure(shape_checkpoint, inputs, tmp_path):
    row = fit_shapes(shape_checkpoint, [inputs["cloud"]], tmp_path, lr=1e30, iterations=4, **QUICK)[0]
    assert row.status == FAILED and not (tmp_path / "meshes").exists()


def test_the_final_loss_is_the_mean_of_the_last_iterations(shape_checkpoint):
    framework = load_shape_space(shape_checkpoint, "cpu")
    rows = torch.tensor([[0.5, 0.0, 0.0, 0.1]])
    fit = framework.fit(Observations(rows, -rows), iterations=30, samples=2)
    assert final_loss(fit) == pytest.approx(sum(fit.losses[10:]) / 20)

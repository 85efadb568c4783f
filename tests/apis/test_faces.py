"""From pictures of faces to files, and edited faces, by a network that takes discs for faces."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from deep3dmap.apis import reconstruct
from deep3dmap.apis.face_editing import edit_face
from deep3dmap.engine.checkpoint import FORMAT, load_checkpoint, save_checkpoint
from deep3dmap.engine.config import load_config
from deep3dmap.errors import CheckpointError, ConfigError, DataError
from deep3dmap.io.images import image_size
from deep3dmap.io.mesh_files import load_mesh
from deep3dmap.registry import FRAMEWORKS
from deep3dmap.visualization.video import write_video
from tests.frameworks.prnet.placed_faces import disc

FILES = {"arrays.npz", "dense.png", "depth.png", "frontal.ply", "landmarks.json", "mesh.glb", "mesh.ply", "pose.json",
         "pose.png", "sparse.png", "texture.png", "visible.png"}  # yapf: disable


def saved(path, backbone: dict):
    """A checkpoint of a network that is as it was initialised."""
    cfg = load_config("configs/prnet/small.py")
    cfg.model.backbone = backbone
    torch.manual_seed(0)
    meta = dict(version="0", framework="PRNet", config=json.dumps(cfg.to_dict(), default=str), seed=0)
    state = FRAMEWORKS.build(cfg.model.to_dict()).state_dict()
    save_checkpoint(dict(format=FORMAT, meta=meta, info={}, loop={}, state_dict=state), path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Of a network that finds discs."""
    return saved(tmp_path_factory.mktemp("weights") / "discs.pth", dict(type="DiscReader"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A picture of two faces, one without, and a damaged one."""
    folder = tmp_path_factory.mktemp("pictures")
    Image.fromarray(disc((50, 50), 25, 110, 200) | disc((150, 60), 20, 110, 200)).save(folder / "two.png")
    (folder / "two.json").write_text(json.dumps([[30, 30, 70, 70], [135, 45, 165, 75]]))
    Image.fromarray(disc((50, 50), 25, 110, 200)).save(folder / "none.png")
    (folder / "bad.png").write_bytes(b"nothing")
    return folder


def run(source, output, weights, **options):
    lines = []
    result = reconstruct(str(source), output, method="prnet", weights=weights, log=lines.append, **options)
    return result, "\n".join(lines)


def test_every_face_of_a_folder_gets_its_files_and_the_pictures_left_out_are_named(folder, weights, tmp_path):
    result, log = run(folder, tmp_path / "out", weights, detector="given")
    assert [each.name for each in result.items] == ["two_1", "two_2"]
    for name in ("two_1", "two_2"):
        place = tmp_path / "out" / "items" / name
        assert {path.name for path in place.iterdir()} == FILES
        landmarks = json.loads((place / "landmarks.json").read_text())["landmarks"]
        assert np.allclose(landmarks, np.load(place / "arrays.npz")["landmarks"], atol=1e-3)
        assert len(load_mesh(place / "mesh.glb").faces) == len(load_mesh(place / "mesh.ply").faces)
    notes = json.loads((tmp_path / "out" / "metrics.json").read_text())["notes"]
    assert [any(name in note for note in notes) and name in log for name in ("none.png", "bad.png")] == [True, True]
    report = (tmp_path / "out" / "report.html").read_text()
    for name in ("two_1", "two_2"):
        assert f'href="items/{name}/mesh.glb"' in report and f"<strong>{name}</strong>" in report
    assert report.count("Yaw") == 2 and "Of two_1." in report  # whose mesh the viewer shows


def test_further_formats_are_options_and_files_of_an_earlier_result_are_removed(folder, weights, tmp_path):
    options = {"model.obj": True, "model.mat": True, "model.texture_size": 32}
    run(folder / "two.png", tmp_path / "out", weights, detector="given", options=options)
    place = tmp_path / "out" / "items" / "two_1"
    assert {path.name for path in place.iterdir()} == FILES | {"mesh.obj", "mesh.mtl", "mesh.png", "face.mat"}
    assert image_size(place / "texture.png") == (32, 32)
    run(folder / "two.png", tmp_path / "out", weights, detector="none", overwrite=True)
    assert {path.name for path in (tmp_path / "out" / "items" / "two").iterdir()} == FILES and not place.exists()


def test_results_of_other_weights_are_not_resumed(folder, weights, tmp_path):
    options = dict(detector="none", options={"test_cfg.resolution": 0})
    run(folder / "two.png", tmp_path / "out", weights, **options)
    shutil.copy(weights, tmp_path / "same.pth")
    run(folder / "two.png", tmp_path / "out", tmp_path / "same.pth", resume=True, **options)
    content = load_checkpoint(weights)
    content["state_dict"]["backbone.unit"] += 0.01
    save_checkpoint(content, tmp_path / "other.pth")
    with pytest.raises(ConfigError, match="same.pth.*other.pth"):
        run(folder / "two.png", tmp_path / "out", tmp_path / "other.pth", resume=True, **options)
    run(folder / "two.png", tmp_path / "out", tmp_path / "other.pth", overwrite=True, **options)
    run(folder / "two.png", tmp_path / "out", tmp_path / "other.pth", resume=True, **options)


def test_of_a_video_every_so_many_th_frame_is_reconstructed(weights, tmp_path):
    write_video([disc((60, 50), 25, 100, 120)] * 5, tmp_path / "clip.mp4")
    result, _ = run(tmp_path / "clip.mp4", tmp_path / "out", weights, detector="none", every=3,
                    options={"test_cfg.resolution": 0})  # yapf: disable
    assert [each.name for each in result.items] == ["clip_000000", "clip_000003"]
    assert (tmp_path / "out" / "items" / "clip_000000" / "arrays.npz").is_file()


def test_a_picture_without_a_face_is_one_error(folder, weights, tmp_path):
    with pytest.raises(DataError, match="none.png"):
        run(folder / "none.png", tmp_path / "out", weights, detector="given")


def test_an_untrained_network_is_refused(folder, tmp_path):
    path = saved(tmp_path / "untrained.pth", dict(type="ResFCN", size=1, resolution=128, variant="official"))
    with pytest.raises(CheckpointError, match="trained"):
        run(folder / "two.png", tmp_path / "out", path, detector="given")


def test_options_of_pictures_are_refused_for_methods_without(folder, tmp_path):
    with pytest.raises(ConfigError, match="every"):
        reconstruct(str(folder), tmp_path / "out", method="idr", every=2)


def test_faces_are_swapped_or_get_another_texture(folder, weights, tmp_path):
    photo, options = folder / "two.png", dict(weights=weights, detector="given")
    original = np.array(Image.open(photo))
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (50, 40, 3), dtype=np.uint8)).save(tmp_path / "texture.png")
    Image.fromarray(np.full((50, 50), 255, np.uint8)).save(tmp_path / "mask.png")
    for more in (dict(swap=photo), dict(texture=tmp_path / "texture.png", parts=["eyes", "mouth"]),
                 dict(texture=tmp_path / "texture.png", mask=tmp_path / "mask.png")):  # yapf: disable
        path = edit_face(photo, tmp_path / "edited.png", **options, **more)
        assert np.array(Image.open(path)).shape == original.shape


@pytest.mark.parametrize("options", [
    dict(),
    dict(swap="two.png", texture="two.png"),
    dict(swap="two.png", parts=["eyes"], mask="two.png"),
])
def test_what_to_put_in_a_face_and_where_is_said_once(folder, weights, options, tmp_path):
    options = {key: folder / value if isinstance(value, str) else value for key, value in options.items()}
    with pytest.raises(ConfigError, match="--texture or --swap"):
        edit_face(folder / "two.png", tmp_path / "edited.png", weights=weights, **options)


def test_edits_need_weights(folder, tmp_path):
    with pytest.raises(CheckpointError, match="missing.pth"):
        edit_face(folder / "two.png", tmp_path / "edited.png", swap=folder / "two.png", weights=tmp_path / "missing.pth")


@pytest.mark.parametrize("key", ["photo", "swap"])
def test_only_a_single_picture_is_edited(folder, weights, tmp_path, key):
    write_video([disc((60, 50), 25, 100, 120)] * 3, tmp_path / "clip.mp4")
    for source in (folder, tmp_path / "clip.mp4"):
        with pytest.raises(DataError, match=source.name):
            edit_face(**(dict(photo=folder / "two.png", swap=folder / "two.png") | {key: source}),
                      output=tmp_path / "edited.png", weights=weights, detector="none")  # yapf: disable
    assert not (tmp_path / "edited.png").exists()


@pytest.mark.parametrize("key", ["photo", "swap", "texture", "mask"])
def test_a_picture_that_is_read_is_not_overwritten(folder, weights, tmp_path, key):
    output = tmp_path / "mine.png"
    output.write_bytes((folder / "two.png").read_bytes())
    options = dict(photo=folder / "two.png") | {"swap" if key == "swap" else "texture": folder / "two.png"} | {key: output}
    with pytest.raises(DataError, match="mine.png"):
        edit_face(**options, output=tmp_path / "." / "mine.png", weights=weights, detector="none")
    assert output.read_bytes() == (folder / "two.png").read_bytes()


def test_a_picture_is_written_in_the_format_of_its_suffix_or_refused(folder, weights, tmp_path):
    with pytest.raises(DataError, match="edited.mesh"):
        edit_face(folder / "two.png", tmp_path / "edited.mesh", swap=folder / "two.png", weights=weights)

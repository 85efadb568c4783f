"""Every command that reads a checkpoint, given one that attacks or is broken: nothing runs, one message, no traceback."""

import copy
import json

import numpy as np
import pytest
import torch

from deep3dmap.cli.app import main
from deep3dmap.engine.checkpoint import find_checkpoint

#: Arguments by command: ``{c}`` is the checkpoint, ``{sound}`` a sound one, ``{config}`` that of both, ``{out}`` a folder.
SCENE_DOORS = {
    "test": "test {config} {c} --work-dir {out}",
    "train --resume": "train {config} --resume {c} --work-dir {out}",
    "train load_from": "train {config} --work-dir {out} --cfg-options load_from={c}",
    "export-mesh": "export-mesh {c} {out}/mesh.ply --resolution 16",
    "export-mesh --texture": "export-mesh {c} {out}/mesh.glb --resolution 16 --texture --texture-size 32",
    "render-video": "render-video {c} {out}/video.gif --frames 1 --scale 0.1",
    "render-video --appearance": "render-video {sound} {out}/video.gif --appearance {c} --frames 1 --scale 0.1",
    "generate": "generate {c} -o {out} --sample 1",
    "convert-checkpoint": "convert-checkpoint {c} {out}/converted.pth",
    "convert-checkpoint --method stylegan2": "convert-checkpoint {c} {out}/converted.pth --method stylegan2",
}
SHAPE_DOORS = {
    "shape mesh": "shape mesh {c} --all -o {out} --resolution 16",
    "shape interpolate": "shape interpolate {c} ball_30 ball_40 -o {out} --resolution 16",
    "shape sample": "shape sample {c} -o {out} --count 1 --resolution 16",
    "shape codes": "shape codes {c} -o {out}/codes.png",
    "shape fit": "shape fit {c} {points} -o {out} --resolution 16",
    "shape interpolate a code": "shape interpolate {sound} ball_30 {c} -o {out} --resolution 16",
    "prepare head_prior": "prepare head_prior {c} {out}/prior.npz",
    "convert-checkpoint --method deepsdf": "convert-checkpoint {c} {out}/converted.pth --method deepsdf",
}
DOORS = SCENE_DOORS | SHAPE_DOORS

#: Those that take weights only: another config is given.
WEIGHTS_ONLY = ("test", "train --resume", "train load_from")


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    """A few points of a ball, to fit a shape to."""
    path, rng = tmp_path_factory.mktemp("points") / "points.npz", np.random.default_rng(0)
    directions = rng.normal(size=(32, 3)).astype(np.float32)
    np.savez(path, points=directions / np.linalg.norm(directions, axis=1, keepdims=True) * 0.1)
    return path


@pytest.fixture
def enter(config_file, work_dir, shape_checkpoint, points, tmp_path, capsys):
    """Gives a checkpoint, as changed by a function, to a command; returns the exit code and what was printed as an error."""

    def run(door: str, change, *more: str) -> tuple[int, str]:
        sound = find_checkpoint(shape_checkpoint if door in SHAPE_DOORS else work_dir)
        content = copy.deepcopy(torch.load(sound, weights_only=True))
        changed, out = tmp_path / "step_00000004.pth", tmp_path / "out"
        torch.save(change(content), changed)
        out.mkdir()
        names = dict(c=changed, sound=sound, config=config_file, out=out, points=points)
        code = main([*(word.format(**names) for word in DOORS[door].split()), *more])
        return code, capsys.readouterr().err

    return run


def assert_refused(code: int, error: str, *words: str) -> None:
    assert code == 1 and "Traceback" not in error
    assert len([line for line in error.splitlines() if "Error" in line]) == 1, error
    assert all(word in error for word in words), error


SING = dict(type="canary.sing")


def with_config(edit):
    """A change of a checkpoint that edits its config."""

    def change(content):
        config = json.loads(content["meta"]["config"])
        edit(config)
        content["meta"]["config"] = json.dumps(config)
        return content

    return change


ATTACKS = {
    "the model": lambda config: config.update(model=SING),
    "a loss": lambda config: config["model"].update(losses=dict(rgb=SING)),
    "every part": lambda config: config["model"].update({key: SING for key, value in config["model"].items()
                                                         if isinstance(value, dict) and "type" in value}),
    "mmengine's preprocessor": lambda config: config["model"].update(data_preprocessor=SING),
    "a scope": lambda config: config["model"].update(data_preprocessor=dict(type="BaseDataPreprocessor", _scope_="canary")),
    "an import": lambda config: config.update(custom_imports=dict(imports=["canary"])),
    "an import inside a package": lambda config: config.update(custom_imports=dict(imports="canary.registry")),
}  # yapf: disable


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("door", [door for door in DOORS if door not in WEIGHTS_ONLY])
def test_what_a_checkpoint_names_is_refused_and_never_run(door, attack, enter, canary):
    assert_refused(*enter(door, with_config(ATTACKS[attack])))
    assert not canary.exists()


@pytest.mark.parametrize("scene", [
    dict(capture=SING), dict(SING, capture="head"), dict(capture=3), dict(capture="a", test_views={}), dict(cature="a"),
    dict(capture=dict(type="FolderCapture")), {}, 3, None, "a",
])  # yapf: disable
def test_a_scene_that_can_not_be_loaded_is_refused_and_runs_nothing(scene, enter, canary):
    pytest.importorskip("xatlas", reason="needs the extra `mesh`")
    assert_refused(*enter("export-mesh --texture", with_config(lambda config: config.update(scene=scene)), "--texture",
                          "photographs"))  # yapf: disable
    assert not canary.exists()


@pytest.mark.parametrize("door", WEIGHTS_ONLY)
def test_the_config_in_a_checkpoint_is_not_looked_at_where_another_is_given(door, enter, canary):
    code, _ = enter(door, with_config(lambda config: [ATTACKS[name](config) for name in ("a loss", "an import")]))
    assert code == 0 and not canary.exists()


@pytest.mark.parametrize("door", ["export-mesh", "render-video --appearance"])
def test_the_modules_that_a_checkpoint_wants_are_named_and_imported_if_they_are_trusted(door, enter, canary, tmp_path):
    code, error = enter(door, with_config(ATTACKS["an import"]))
    assert_refused(code, error, "canary", "--trust-imports")
    (tmp_path / "out").rmdir()
    code, error = enter(door, with_config(ATTACKS["an import"]), "--trust-imports")
    assert code == 0 and canary.exists()


def without(key):
    return lambda content: {name: value for name, value in content.items() if name != key}


def with_nan(content):
    name = next(name for name, value in content["state_dict"].items() if value.is_floating_point() and value.numel())
    content["state_dict"][name].view(-1)[0] = torch.nan
    return content


BROKEN = {
    "no format": without("format"),
    "no meta": without("meta"),
    "no info": without("info"),
    "no state_dict": without("state_dict"),
    "a list as info": lambda content: content | dict(info=[1, 2]),
    "info of wrong values": lambda content: content | dict(info=dict.fromkeys(content["info"], "x")),
    "a list as state_dict": lambda content: content | dict(state_dict=[torch.zeros(3)]),
    "text as weights": lambda content: content | dict(state_dict=dict.fromkeys(content["state_dict"], "x")),
    "a number as meta": lambda content: content | dict(meta=3),
    "a weight that is not a number": with_nan,
    "no tensors at all": lambda content: [],
}


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("door", DOORS)
def test_a_broken_checkpoint_is_refused_with_one_message_that_names_it(door, broken, enter):
    if door == "train load_from" and broken == "info of wrong values":
        assert enter(door, BROKEN[broken])[0] == 0  # a new run knows its own data
    else:
        assert_refused(*enter(door, BROKEN[broken]), "step_00000004.pth")


@pytest.mark.parametrize("loop", [{}, [], dict(stage=3), dict(stage="train", index="x"), dict(stage="train", index=0)])
def test_a_loop_that_can_not_be_resumed_is_refused(loop, enter):
    assert_refused(*enter("train --resume", lambda content: content | dict(loop=loop)), "step_00000004.pth")


@pytest.mark.parametrize("name",
                         ["../a", "/tmp/a", "a/../../b", "", ".", "a\\b", "a\nb", "\x1b[31m", "a\0b", "\ud800", 3, None])
@pytest.mark.parametrize("door", ["shape mesh", "shape codes"])
def test_a_shape_whose_name_is_no_file_s_is_refused_and_nothing_is_written(door, name, enter, tmp_path):
    before = sorted(tmp_path.rglob("*"))

    def change(content):
        content["info"]["shapes"][0] = name
        return content

    assert_refused(*enter(door, change), "step_00000004.pth", "shape")
    assert set(tmp_path.rglob("*")) - set(before) == {tmp_path / "step_00000004.pth", tmp_path / "out"}


INFO = {
    "shapes of one name": ("shape mesh", lambda info: dict(shapes=info["shapes"][:1] * len(info["shapes"]))),
    "too few offsets": ("shape mesh", lambda info: dict(offsets=info["offsets"][:1])),
    "scales of another shape": ("shape mesh", lambda info: dict(scales=info["scales"][:, None])),
    "a scale of zero": ("shape mesh", lambda info: dict(scales=0 * info["scales"])),
    "scales that are no numbers": ("shape mesh", lambda info: dict(scales=info["scales"] + torch.nan)),
    "no size": ("render-video", lambda info: dict(size=[])),
    "a size of words": ("render-video", lambda info: dict(size=["a", "b"])),
    "a size of nothing": ("render-video", lambda info: dict(size=[0, 8])),
    "matrices of another shape": ("render-video", lambda info: dict(K=info["K"][:, 0])),
    "too few matrices": ("render-video", lambda info: dict(K=info["K"][:1])),
    "cameras without a place": ("render-video", lambda info: dict(cam_to_world=0 * info["cam_to_world"])),
}  # yapf: disable


@pytest.mark.parametrize("case", INFO)
def test_what_a_checkpoint_says_wrongly_of_its_data_is_refused(case, enter):
    door, change = INFO[case]
    assert_refused(*enter(door, lambda content: content | dict(info=content["info"] | change(content["info"]))),
                   "step_00000004.pth")  # yapf: disable


def test_a_config_nested_too_deeply_is_refused(enter):
    deep = lambda content: content | dict(meta=dict(content["meta"], config='{"model":' + "[" * 50_000))  # noqa: E731
    assert_refused(*enter("export-mesh", deep), "step_00000004.pth")


def test_a_sparse_tensor_is_refused(enter):

    def change(content):
        name = next(name for name, value in content["state_dict"].items() if value.dim() == 2)
        content["state_dict"][name] = content["state_dict"][name].to_sparse()
        return content

    assert_refused(*enter("export-mesh", change), "step_00000004.pth")


@pytest.mark.parametrize("door", ["shape mesh", "shape interpolate", "shape sample", "shape fit"])
def test_a_grid_beyond_the_memory_is_refused(door, enter):
    assert_refused(*enter(door, lambda content: content, "--resolution", "100000"), "resolution")

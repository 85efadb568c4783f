"""The command line: every sub-command, its help, its errors, and Ctrl-C."""

import json
import os
import re
import runpy
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deep3dmap.cli import app as cli
from deep3dmap.cli.commands import COMMANDS, KINDS, VERBS
from deep3dmap.cli.options import pair
from deep3dmap.datasets.captures.formats import READERS
from deep3dmap.datasets.download import SOURCES
from deep3dmap.errors import ConfigError
from deep3dmap.frameworks import IDR
from deep3dmap.frameworks.cards import cards
from deep3dmap.frameworks.deepsdf.code_space import PRIORS
from deep3dmap.io.mesh_files import load_mesh
from deep3dmap.version import __version__
from tests.apis import conftest as tiny
from tests.frameworks.idr.test_published import capture_of, publish

head_file, capture_folder, config_file, work_dir = (tiny.head_file, tiny.capture_folder, tiny.config_file, tiny.work_dir)

#: For developers, and no commands.
OWN = ("depth_image_baselines.py", "face_ablation.py", "face_alignment.py", "face_baselines.py", "face_views_and_lights.py",
       "make_uv_layout.py", "reference_cost.py", "room_baselines.py", "ship_weights.py", "stress_resume.py")
TOOLS = sorted(p for p in (Path(__file__).parents[2] / "tools").glob("*.py") if p.name not in OWN)


def run(*arguments) -> int:
    return cli.main([str(a) for a in arguments])


def option_arguments(values: dict) -> list[str]:
    return ["--cfg-options", *(f"{key}={value!r}" for key, value in values.items())]


def sub_parsers() -> dict:
    return next(a for a in cli.make_parser()._actions if hasattr(a, "choices") and a.choices).choices


def sub_parsers_of(command: str) -> dict:
    return next(a for a in sub_parsers()[command]._actions if a.choices).choices


LINES = [[name] for name in COMMANDS] + [["prepare", kind] for kind in KINDS] + [["shape", verb] for verb in VERBS]


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_help_lists_every_argument_with_a_sentence(line, capsys):
    with pytest.raises(SystemExit, match="0"):
        run(*line, "--help")
    text = " ".join(capsys.readouterr().out.split())
    parser = sub_parsers()[line[0]] if len(line) == 1 else sub_parsers_of(line[0])[line[1]]
    for action in parser._actions:
        shown = action.option_strings[-1] if action.option_strings else action.metavar or action.dest
        assert shown in text, shown
        assert action.help and len(action.help.partition("(default")[0]) > 3, f"{shown} has no help"
        assert " ".join((action.help % dict(default=action.default)).split()) in text or action.dest == "help"


def test_help_names_every_method_and_format():
    methods = next(a for a in sub_parsers()["reconstruct"]._actions if a.dest == "method").help
    formats = next(a for a in sub_parsers_of("prepare")["head-capture"]._actions if a.dest == "format").help
    assert all(name in methods for name, card in cards().items() if card.your_own) and all(name in formats for name in READERS)


def test_no_help_imports_what_takes_seconds():
    """For every command and sub-command, in one fresh process."""
    lines = [[], *LINES]
    code = f"""
import sys
from deep3dmap.cli.app import main
for line in {lines}:
    try:
        main([*line, "--help"])
    except SystemExit as end:
        assert end.code == 0
print("imported:", *{{"torch", "numpy", "mmengine", "scipy", "trimesh"}} & set(sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.stdout.endswith("imported:\n"), result.stdout[-200:] + result.stderr


def test_names_that_help_repeats_are_those_of_the_parts():
    name = next(a for a in sub_parsers()["download"]._actions if a.dest == "name").help
    priors = next(a for a in sub_parsers_of("shape")["sample"]._actions if a.dest == "prior").choices
    assert all(source in name for source in SOURCES) and set(priors) == set(PRIORS)


@pytest.mark.parametrize("arguments,usage,nearest", [
    (["trian"], "deep3dmap", "train"),
    (["reconstruct", "x", "--minuts", "3"], "deep3dmap reconstruct", "--minutes"),
    (["prepare", "head-captur", "x"], "deep3dmap prepare", "head-capture"),
    (["prepare", "head-capture", "x", "--wievs=3"], "deep3dmap prepare head-capture", "--views"),
    (["shape", "interplate"], "deep3dmap shape", "interpolate"),
    (["shape", "sample", "x", "-o", "y", "--prior", "papr"], "deep3dmap shape sample", "paper"),
])  # yapf: disable
def test_a_misspelt_word_of_the_command_line_is_answered_with_the_usage_and_the_nearest(arguments, usage, nearest, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(*arguments)
    text = capsys.readouterr().err
    assert text.startswith(f"usage: {usage} [") and f"did you mean '{nearest}'" in text


@pytest.mark.parametrize("words", [["export_mesh"], ["prepare", "sdf_samples"], ["prepare", "ict_heads"]])
def test_commands_may_be_spelt_with_underscores(words, capsys):
    with pytest.raises(SystemExit, match="0"):
        run(*words, "--help")
    text = capsys.readouterr().out
    assert text.startswith("usage: deep3dmap " + " ".join(words).replace("_", "-")) and words[-1] not in text


def test_an_empty_output_folder_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        run("reconstruct", "temple_sparse_ring", "-o", "")
    assert "empty path" in capsys.readouterr().err


def test_the_command_line_is_a_module_too():
    result = subprocess.run([sys.executable, "-m", "deep3dmap", "--version"], capture_output=True, text=True, timeout=60)
    assert result.stdout.strip() == __version__


def test_the_first_page_lists_every_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        run("--help")
    text = capsys.readouterr().out
    assert all(command in text for command in COMMANDS)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda p: p.stem)
def test_a_tool_is_the_sub_command_of_its_name(tool, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(tool), "--help"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(tool), run_name="__main__")
    assert f"deep3dmap {tool.stem.replace('_', '-')} " in capsys.readouterr().out


@pytest.fixture(scope="module")
def trained(config_file, tmp_path_factory):
    """The work folder of `deep3dmap train`."""
    folder = tmp_path_factory.mktemp("trained")
    assert run("train", config_file, "--work-dir", folder, "--seed", 3, "--cfg-options", "train_cfg.max_steps=3") == 0
    return folder


def test_training_is_told_in_plain_lines_and_says_where_it_is(config_file, tmp_path, capsys):
    assert run("train", config_file, "--work-dir", tmp_path, "--cfg-options", "train_cfg.max_steps=2") == 0
    out = capsys.readouterr().out
    assert "step 2/2" in out and "rays/s" in out and "ETA" in out and "\r" not in out
    assert f"{tmp_path}: trained for 2 steps" in out


def test_options_and_the_seed_reach_the_run(trained):
    config = (trained / "config.py").read_text()
    assert "max_steps=3" in config
    assert torch.load(sorted((trained / "checkpoints").glob("*.pth"))[-1], weights_only=True)["meta"]["seed"] == 3


def test_a_run_is_resumed(config_file, trained, tmp_path, capsys):
    checkpoint = next((trained / "checkpoints").glob("step_*3.pth"))
    assert run("train", config_file, "--work-dir", tmp_path, "--resume", checkpoint, "--seed", "3",
               "--cfg-options", "train_cfg.max_steps=5") == 0  # yapf: disable
    assert "trained for 5 steps" in capsys.readouterr().out


def test_testing_prints_a_table(config_file, trained, tmp_path, capsys):
    assert run("test", config_file, trained, "--work-dir", tmp_path) == 0
    out = capsys.readouterr().out
    assert "held-out views" in out and "mask_iou" in out
    assert json.loads((tmp_path / "test" / "metrics.json").read_text())["held-out views"]["views"] == 3


def test_a_mesh_is_exported(trained, tmp_path, capsys):
    target = tmp_path / "mesh.ply"
    assert run("export-mesh", trained, target, "--resolution", 20) == 0
    mesh = load_mesh(target)
    assert f"{len(mesh.vertices):,} vertices" in capsys.readouterr().out
    assert run("export-mesh", trained, target, "--resolution", 20, "--no-color", "--all-components", "--device", "cpu") == 0


def test_a_video_is_rendered_also_with_another_appearance(trained, work_dir, tmp_path):
    own, other = tmp_path / "own.gif", tmp_path / "other.gif"
    common = ("--frames", 4, "--scale", 0.5, "--fps", 8)
    assert run("render-video", trained, own, *common) == 0
    assert run("render-video", trained, other, "--appearance", work_dir, *common) == 0
    with Image.open(own) as first, Image.open(other) as second:
        assert first.n_frames == second.n_frames == 4
        assert not np.array_equal(np.asarray(first.convert("RGB")), np.asarray(second.convert("RGB")))


def test_a_published_checkpoint_is_converted_and_exported(tmp_path, capsys):
    from deep3dmap.datasets.captures.formats import save_capture
    source, _, _ = publish(tmp_path, "dtu_fixed_cameras")
    save_capture(capture_of(3), tmp_path / "scan", "idr")
    (tmp_path / "scan" / "cameras.npz").rename(tmp_path / "scan" / "other.npz")
    assert run("convert-checkpoint", source, tmp_path / "ours.pth", "--data", tmp_path / "scan", "--cameras", "other.npz") == 1
    (tmp_path / "scan" / "other.npz").rename(tmp_path / "scan" / "cameras.npz")
    assert run("convert-checkpoint", source, tmp_path / "ours.pth", "--data", tmp_path / "scan") == 0
    assert str(tmp_path / "ours.pth") in capsys.readouterr().out
    assert run("render-video", tmp_path / "ours.pth", tmp_path / "x.gif", "--frames", 1) == 0


def test_parts_are_listed_with_their_help(capsys):
    assert run("list") == 0
    out = capsys.readouterr().out
    assert "frameworks" in out and re.search(r"IDR +Surface and appearance of an object", out)
    assert re.search(r"SphereTracer +\w", out) and re.search(r"MaskLoss +\w", out)


@pytest.mark.parametrize("name,part,absent", [("loss", "MaskLoss", "IDR "), ("losses", "MaskLoss", "IDR "),
                                              ("frameworks", "IDR", "MaskLoss"), ("metric", "ViewMetrics", "MaskLoss")])
def test_one_registry_is_listed_by_its_name_or_its_plural(name, part, absent, capsys):
    assert run("list", name) == 0
    out = capsys.readouterr().out
    assert part in out and absent not in out


ERRORS = {
    "no such data": (["check", "nowhere"], "DataError: no data 'nowhere'"),
    "no such config": (["train", "nowhere.py"], "ConfigError: nowhere.py: no such config"),
    "no such checkpoint": (["test", "CONFIG", "nowhere"], "CheckpointError: nowhere: no such file or folder"),
    "a folder without checkpoints": (["export-mesh", ".", "x.ply"], "run/checkpoints"),
    "no such device": (["export-mesh", "WORK", "x.ply", "--device", "tpu"], "ConfigError: --device tpu"),
    "no such mesh format": (["export-mesh", "WORK", "x.stl", "--resolution", "16"], "DataError: x.stl: can't write"),
    "no such video format": (["render-video", "WORK", "x.avi", "--frames", "1"], "x.avi"),
    "not a published checkpoint": (["convert-checkpoint", "CONFIG", "x.pth"], "CheckpointError: "),
    "no such registry": (["list", "los"], "ConfigError: no registry 'los': did you mean 'loss'"),
    "no such benchmark": (["benchmark", "idrr"], "ConfigError: method 'idrr': did you mean 'idr'?"),
    "no such data set": (["download", "temple"], "'temple'"),
}  # yapf: disable


@pytest.mark.parametrize("arguments", [["--cfg-options", "scene.test_views=['x']"], ["--method", "x"]])
def test_reconstruct_finds_faults_before_it_makes_a_folder(arguments, capture_folder, tmp_path, capsys):
    assert run("reconstruct", capture_folder, "-o", tmp_path / "out", *arguments) == 1
    assert re.match(r"(Data|Config)Error: ", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_is_one_message_and_exit_code_one(case, config_file, work_dir, tmp_path, monkeypatch, capsys):
    arguments, expected = ERRORS[case]
    monkeypatch.chdir(tmp_path)
    names = dict(CONFIG=config_file, WORK=work_dir)
    assert run(*(names.get(a, a) for a in arguments)) == 1
    captured = capsys.readouterr()
    assert expected in captured.err
    assert re.match(r"(Data|Config|Checkpoint)Error: ", captured.err)
    assert "Traceback" not in captured.err + captured.out


@pytest.mark.parametrize("arguments", [["--traceback", "train", "nowhere.py"], ["train", "nowhere.py", "--traceback"]])
def test_the_traceback_is_there_for_who_asks_for_it(arguments):
    with pytest.raises(ConfigError):
        run(*arguments)


@pytest.mark.parametrize("arguments", [["train"], ["nonsense"], ["reconstruct", "x", "--minutes", "0"],
                                       ["train", "x", "--cfg-options", "novalue"], ["train", "x", "--launcher", "mpi"]])
def test_a_wrong_command_line_is_explained(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(*arguments)
    assert "usage: deep3dmap" in capsys.readouterr().err


@pytest.mark.parametrize("text,value", [("a=1", 1), ("a=1e-3", 1e-3), ("a=[1, 2]", [1, 2]), ("a=true", True), ("a=null", None),
                                        ("a=None", None), ("a=temple", "temple"), ("a=b=c", "b=c")])
def test_option_values_are_read_as_python_where_they_are(text, value):
    assert pair(text) == ("a", value)


@pytest.mark.parametrize("words, value", [([], None), (["--amp"], True), (["--amp", "on"], True), (["--amp", "off"], False),
                                          (["--amp", "auto"], "auto")])  # yapf: disable
def test_precision_is_the_configs_unless_it_is_given(words, value):
    assert getattr(cli.make_parser().parse_args(["train", "x", *words]), "amp", None) == value


def test_options_may_be_given_in_several_places():
    args = cli.make_parser().parse_args(["train", "x", "--cfg-options", "a=1", "--seed", "2", "--cfg-options", "b=2", "c=3"])
    assert dict(args.options) == dict(a=1, b=2, c=3)


def test_sigterm_while_a_mesh_is_made_is_one_line_and_leaves_no_file(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(IDR, "extract_mesh", lambda *arguments, **options: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    assert run("export-mesh", trained, tmp_path / "mesh.ply") == cli.INTERRUPTED
    assert capsys.readouterr().err == "interrupted\n" and not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) == before


def wait_until(condition, process, seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.1)


def training_steps(output: Path) -> int:
    path = output / "run" / "scalars.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return max((line["step"] for line in lines if line["stage"] == "train"), default=0)


@pytest.fixture(scope="module")
def interrupted(capture_folder, tmp_path_factory):
    """Output folder, exit code, output and seconds after Ctrl-C of a long reconstruction."""
    output = tmp_path_factory.mktemp("interrupted") / "out"
    tool = str(TOOLS[0].with_name("reconstruct.py"))
    command = [sys.executable, tool, str(capture_folder), "--minutes", "30", "-o", str(output), "--resolution",
                "24", *option_arguments(tiny.TINY)]  # yapf: disable
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               env=os.environ | dict(OMP_NUM_THREADS="1"))  # yapf: disable
    try:
        wait_until(lambda: training_steps(output) > 0, process)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        text, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    return output, process.returncode, text, time.monotonic() - start


def test_ctrl_c_leaves_everything_and_says_how_to_go_on(interrupted):
    output, code, text, _ = interrupted
    assert code == cli.INTERRUPTED, text
    for name in ("mesh.ply", "mesh.glb", "metrics.json", "report.html"):
        assert (output / name).stat().st_size > 0, text
    assert "Traceback" not in text
    assert re.search(r"interrupted after .*; continue with: deep3dmap reconstruct .*--resume", text)


def test_the_printed_command_goes_on(interrupted):
    output, _, text, _ = interrupted
    before = training_steps(output)
    command = shlex.split(re.search(r"continue with: (.*--resume)", text)[1])
    assert run(*command[1:], "--cfg-options", f"train_cfg.stages.1.max_steps={before}") == 0
    assert training_steps(output) == before + 20  # the first stage's

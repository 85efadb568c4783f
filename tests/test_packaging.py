"""What a user gets from ``pip install``: the package, the configs, the pages' assets and the command."""

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deep3dmap.version import __version__

ROOT = Path(__file__).parents[1]
WRAPPERS = {"train": "train", "test": "test", "reconstruct": "reconstruct", "export_mesh": "export-mesh",
            "convert_checkpoint": "convert-checkpoint", "benchmark": "benchmark"}  # yapf: disable


def run(*command, cwd: Path, **environment) -> str:
    """What a command prints; fails with all its output when it does."""
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    result = subprocess.run([str(c) for c in command], cwd=cwd, env=clean | environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def shipped(folder: str) -> set[str]:
    """The files below a folder of the checkout that a package must hold."""
    files = (p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {p.relative_to(ROOT).as_posix() for p in files}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy of the sources, so that building leaves nothing in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("deep3dmap", "configs", "requirements"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy(path, source)
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, ".", cwd=source)
    return next(folder.glob("deep3dmap-*.whl"))


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder with the package as pip installs it, far from the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", folder, wheel, cwd=folder)
    return folder


def test_the_wheel_holds_every_module_config_and_asset_and_nothing_else(wheel):
    assert wheel.name == f"deep3dmap-{__version__}-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    assert shipped("deep3dmap") | {f"deep3dmap/{name}" for name in shipped("configs")} <= names
    assert {name.split("/")[0] for name in names} == {"deep3dmap", f"deep3dmap-{__version__}.dist-info"}


def test_the_wheel_names_its_licence_its_command_and_its_requirements(wheel):
    info = f"deep3dmap-{__version__}.dist-info"
    with zipfile.ZipFile(wheel) as file:
        metadata = file.read(f"{info}/METADATA").decode()
        assert "Apache License" in file.read(f"{info}/licenses/LICENSE").decode()
        assert "deep3dmap = deep3dmap.cli.app:main" in file.read(f"{info}/entry_points.txt").decode()
    assert "Requires-Python: >=3.11" in metadata and "Requires-Dist: mmengine==0.10.7" in metadata


def test_an_installed_package_is_imported_and_finds_its_own_configs(installed):
    code = "import deep3dmap, pathlib; print(pathlib.Path(deep3dmap.__file__).parent)"
    folder = Path(run(sys.executable, "-c", code, cwd=installed.parent, PYTHONPATH=str(installed)).strip())
    assert folder == installed / "deep3dmap" and (folder / "configs" / "_base_").is_dir()


def test_the_installed_command_explains_itself(installed):
    text = run(sys.executable, installed / "bin" / "deep3dmap", "--help", cwd=installed.parent, PYTHONPATH=str(installed))
    assert all(command in text for command in WRAPPERS.values())


def test_a_wrapper_works_from_a_clone_in_which_nothing_is_installed(tmp_path):
    assert "CONFIG" in run(sys.executable, ROOT / "tools" / "train.py", "--help", cwd=tmp_path).upper()


@pytest.mark.parametrize("file, command", WRAPPERS.items())
def test_a_wrapper_only_calls_the_command_of_its_name(file, command):
    tree = ast.parse((ROOT / "tools" / f"{file}.py").read_text(encoding="utf-8"))
    assert ast.unparse(tree.body[-1].body[0]) == f"raise SystemExit(main(['{command}', *sys.argv[1:]]))"


@pytest.mark.parametrize("script", [".ci/run", "tools/test.sh", "tools/demo.sh", "tools/_environment.sh"])
def test_a_shell_script_is_well_formed(script):
    run("bash", "-n", ROOT / script, cwd=ROOT)

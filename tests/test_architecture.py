"""The rules of the house that a machine can check: imports, lengths of files, docstrings, configs that parse."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from deep3dmap.engine.config import load_config

ROOT = Path(__file__).parents[1]
SOURCES = sorted(p for p in (ROOT / "deep3dmap").rglob("*.py") if p.read_text(encoding="utf-8").strip())
CONFIGS = sorted((ROOT / "configs").rglob("*.py"))
MAX_LINES = 400


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_every_room_imports_only_from_floors_below():
    code = "from importlinter.cli import lint_imports_command as run; run(['--no-cache', '--no-logo'])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_module_can_be_read_in_one_sitting(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))  # ruff's D1 asks the same of what is public in it


@pytest.mark.parametrize("path", [p for p in CONFIGS if "_base_" in p.parts], ids=relative)
def test_a_base_of_configs_parses(path):
    assert len(Config.fromfile(path)) > 0


@pytest.mark.parametrize("path", [p for p in CONFIGS if "_base_" not in p.parts], ids=relative)
def test_a_config_names_only_parts_and_keys_that_exist(path):
    assert load_config(path).model

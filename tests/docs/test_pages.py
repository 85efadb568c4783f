"""The pages of docs/ and the README: their links lead somewhere, their commands parse, their tables name what the code has."""

import argparse
import ast
import importlib
import inspect
import re
import shlex
from pathlib import Path

import pytest

from deep3dmap.apis.listing import list_parts
from deep3dmap.cli.app import make_parser
from deep3dmap.cli.commands import COMMANDS, KINDS
from deep3dmap.datasets import SyntheticRooms, generate_capture, load_scene
from deep3dmap.datasets.synthetic import generate_head_capture
from deep3dmap.engine.config import find_config, load_config
from deep3dmap.engine.config_check import top_level_keys
from deep3dmap.engine.stages import StageConfig
from deep3dmap.evaluation import metrics
from deep3dmap.frameworks import Hull
from deep3dmap.frameworks.cards import cards
from deep3dmap.registry import ALL, METRICS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TOOLS = {p.name: p.stem.replace("_", "-") for p in (ROOT / "tools").glob("*.py")}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Names under which a page's headings can be reached, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def blocks(page: Path, *languages: str) -> list[str]:
    """The page's code blocks in these languages."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [code for language, code in found if language in languages]


def commands(page: Path) -> list[list[str]]:
    """The page's calls of deep3dmap and of the scripts in tools/, as arguments of the command line."""
    found = []
    for code in blocks(page, "bash"):
        for line in code.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            script = next((w for w in words if Path(w).name in TOOLS), None)
            if words[:1] == ["deep3dmap"]:
                found.append(words[1:])
            elif script is not None:
                found.append([TOOLS[Path(script).name], *words[words.index(script) + 1:]])
    return found


def rows(page: str, heading: str) -> list[list[str]]:
    """Cells of the tables below a heading, as far as the next one of the same depth or higher."""
    text = (ROOT / page).read_text(encoding="utf-8")
    depth = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert depth, f"{page} has no heading '{heading}'"
    section = re.split(rf"^#{{1,{len(depth[1])}}} ", text[depth.end():], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|") and not line.startswith("| ---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def named(page: str, heading: str, column: int = 0) -> set[str]:
    """The names in code style in a column of a section's tables."""
    return {name for row in rows(page, heading) for name in re.findall(r"`(\w+)`", row[column])}


def arguments(function) -> set[str]:
    return set(inspect.signature(function).parameters) - {"self"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8"))):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), f"{name_of(page)}: {target}"
        if anchor:
            assert anchor in anchors(place), f"{name_of(page)}: {target}; there are {sorted(anchors(place))}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_parse_and_their_configs_exist(page):
    for words in commands(page):
        arguments = make_parser().parse_args(words)
        config = getattr(arguments, "config", None)
        if config is not None and config.startswith("configs/"):
            assert find_config(config).is_file(), f"{name_of(page)}: {config}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_python_code_imports_exists(page):
    for code in blocks(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("deep3dmap"):
                module = importlib.import_module(node.module)
                missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
                assert not missing, f"{name_of(page)}: {node.module} has no {missing}"


@pytest.mark.parametrize("card", [card for card in cards().values() if card.page], ids=lambda card: card.name)
def test_the_readmes_table_has_what_a_methods_card_says(card):
    row = next(row for row in rows("README.md", "Methods") if row[0].startswith(f"[{card.title}]({card.page})"))
    assert card.paper in row[0] and row[1:3] == [card.takes, card.gives]
    assert card.your_own is None or find_config(card.your_own).is_file()


def test_every_page_of_the_docs_is_named_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [p.name for p in PAGES[1:] if f"docs/{p.name}" not in readme] == []


@pytest.mark.parametrize("page, heading, keys", [
    ("docs/configs.md", "Inheritance", top_level_keys()),
    ("docs/configs.md", "train_cfg: stages and budgets", set(inspect.signature(StageConfig).parameters)),
    ("docs/configs.md", "scene", arguments(load_scene)),
    ("docs/data_formats.md", "The synthetic capture", arguments(generate_capture)),
    ("docs/synthetic_heads.md", "In a config", arguments(generate_head_capture)),
    ("docs/synthetic_rooms.md", "In Python and in configs", arguments(SyntheticRooms)),
])  # yapf: disable
def test_the_table_of_keys_is_whole(page, heading, keys):
    assert named(page, heading) == keys


@pytest.mark.parametrize("registry, part, heading, column", [
    ("framework", "IDR", "`model`: `IDR`", 0),
    ("backbone", "SDFNetwork", "`model.geometry`: `SDFNetwork`", 0),
    ("backbone", "RadianceNetwork", "`model.radiance`: `RadianceNetwork`", 0),
    ("renderer", "SphereTracer", "`model.renderer`: `SphereTracer`", 0),
    ("loss", "MaskLoss", "`model.losses`", 2),
    ("dataset", "RayBatches", "Data: `RayBatches`, `Views`, `HullDistances`", 1),
    ("dataset", "Views", "Data: `RayBatches`, `Views`, `HullDistances`", 1),
    ("dataset", "HullDistances", "Data: `RayBatches`, `Views`, `HullDistances`", 1),
])  # yapf: disable
def test_every_option_of_idr_is_in_its_page(registry, part, heading, column):
    found = next(r for r in ALL if r.name == registry).get(part)
    assert arguments(found) - {"scene"} - named("docs/idr.md", heading, column) == set()


def test_every_option_of_the_hull_is_in_its_page_with_its_default():
    defaults = {row[0].strip("`"): row[2].strip("`") for row in rows("docs/hull.md", "Options")[1:]}
    signature = inspect.signature(Hull).parameters
    assert set(defaults) == set(signature)
    assert all(ast.literal_eval(defaults[k]) == p.default for k, p in signature.items() if p.default is not None)


@pytest.mark.parametrize("registry, part, key, heading", [
    ("backbone", "SDFNetwork", "geometry", "`model.geometry`: `SDFNetwork`"),
    ("backbone", "RadianceNetwork", "radiance", "`model.radiance`: `RadianceNetwork`"),
    ("renderer", "SphereTracer", "renderer", "`model.renderer`: `SphereTracer`"),
])  # yapf: disable
def test_the_values_in_the_tables_of_idrs_parts_are_those_of_the_code(registry, part, key, heading):
    signature = inspect.signature(next(r for r in ALL if r.name == registry).get(part))
    small = load_config("configs/idr/synthetic_head.py").model[key]
    for option, _, default, value in rows("docs/idr.md", heading)[1:]:
        option = option.strip("`")
        expected = signature.parameters[option].default
        expected = list(expected) if isinstance(expected, tuple) else expected
        assert ast.literal_eval(default.strip("`")) == expected, option
        assert ast.literal_eval(value.strip("`")) == small.get(option, expected), option


@pytest.mark.parametrize("metric", ["ViewMetrics", "SurfaceMetrics", "CameraMetrics"])
def test_every_metric_has_its_section(metric):
    assert hasattr(metrics, metric)
    assert any(metric in heading
               for heading in re.findall(r"^## (.+)$", (ROOT / "docs/evaluation.md").read_text(), re.MULTILINE))


def test_every_registered_metric_is_on_the_page():
    listed = re.findall(r"^  (\w+)", list_parts("metric"), re.MULTILINE)
    listed = [name for name in listed if METRICS.get(name).__module__.startswith("deep3dmap.")]  # other tests register some
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    assert [name for name in listed if name not in page] == []


def test_every_command_is_shown_somewhere_with_its_arguments():
    shown = {words[0] for page in PAGES for words in commands(page)}
    assert set(COMMANDS) - shown == set()


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_of_prepare_is_in_a_page_with_its_command(kind):
    parser = make_parser()
    for name in ("prepare", kind):
        parser = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction)).choices[name]
    options = {
        option
        for action in parser._actions
        for option in action.option_strings if option not in ("-h", "--help", "--traceback", "--trust-imports")
    }
    pages = [page for page in PAGES if any(words[:2] == ["prepare", kind] for words in commands(page))]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert pages and {option for option in options if f"`{option}`" not in text} == set()

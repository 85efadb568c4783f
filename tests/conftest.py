"""Shared by all tests: run-time shape checks, where the real data lie, and where the parity fixtures lie."""

import os
import signal
import sys
from pathlib import Path

import pytest
from jaxtyping import install_import_hook
from mmengine.config import config

# the numeric tower lets an int stand where a float is expected, as typing has it
install_import_hook("deep3dmap", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

from tests.goldens import read  # noqa: E402
from tests.rooms_fixture import prepared_rooms, small_rooms  # noqa: E402, F401 (likewise)
from tests.shapes_fixture import shape_checkpoint, shape_root  # noqa: E402, F401 (after the hook, so that it is checked)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and their children, would ignore Ctrl-C

DATA = Path(__file__).parent / "data"

#: What trains, carves, opens a browser, runs commands or starts processes: folders, and modules by the start of their path.
SLOW = ("apis/", "benchmarks/", "cli/", "docs/", "plugins/", "visualization/", "test_bad_", "test_configs.py",
        "test_packaging.py", "datasets/captures/test_scene.py", "datasets/heads/ict_face/", "datasets/rooms/",
        "datasets/synthetic/", "datasets/test_fuzz_damaged.py", "io/test_workers.py", "engine/test_killed.py",
        "engine/test_launching.py", "engine/test_resume.py", "frameworks/deepsdf/test_training.py", "frameworks/fusion/",
        "frameworks/gan2shape/test_training.py", "frameworks/h3dnet/test_framework.py", "frameworks/h3dnet/test_learning.py",
        "frameworks/h3dnet/test_placing.py", "frameworks/hull/", "frameworks/idr/test_cached_training.py",
        "frameworks/idr/test_chunked_steps.py", "frameworks/idr/test_trained_cameras.py", "frameworks/idr/test_two_ranks.py",
        "frameworks/neuralrecon/test_framework.py", "frameworks/stylegan2/test_training.py", "frameworks/test_step_chunks.py",
        "geometry/test_sdf_sampling.py", "geometry/test_visual_hull.py", "renderers/mesh/")  # yapf: disable


def pytest_addoption(parser):
    """``--quick``, as of tools/test.sh."""
    parser.addoption("--quick", action="store_true", help="leave out the slow tests")


def pytest_ignore_collect(collection_path, config):
    """Leaves the slow modules unread."""
    if config.getoption("--quick") and collection_path.is_relative_to(Path(__file__).parent):
        place = collection_path.relative_to(Path(__file__).parent).as_posix()
        return True if f"{place}/".startswith(SLOW) or place.startswith(SLOW) else None


def shared_data() -> Path | None:
    """The folder of real data: ``DEEP3DMAP_DATA``, or ``../shared/data`` beside the checkout; None where neither exists."""
    candidates = [os.environ.get("DEEP3DMAP_DATA"), Path(__file__).parents[2] / "shared" / "data"]
    return next((Path(c) for c in candidates if c and Path(c).is_dir()), None)


@pytest.fixture(autouse=True, scope="session")
def float32_is_faster():
    """Lets ``amp='auto'`` mean float32 on every processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deep3dmap.engine.precision.layer_rates", lambda device: (1.0, 1.0))
        yield


@pytest.fixture(scope="session", autouse=True)
def configs_as_they_come():
    """Config files of runs in this process keep one line a key: their layout by yapf is most of a runner's making."""
    config.FormatCode = lambda text, **style: (text, True)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with real photographs; tests that need it are skipped with a reason where it is absent."""
    folder = shared_data()
    if folder is None:
        pytest.skip("needs the real data: set DEEP3DMAP_DATA to the folder that holds temple_sparse_ring")
    return folder


@pytest.fixture
def goldens():
    """Loader of the parity fixtures measured on the papers' own code: ``goldens('idr/embedder')``."""
    return read


@pytest.fixture
def canary(tmp_path, monkeypatch) -> Path:
    """A file that exists once the package ``canary``, its module ``registry`` or its function ``sing`` has run."""
    sung, package = tmp_path / "sung", tmp_path / "canary"
    package.mkdir()
    song = f"from pathlib import Path\ndef sing(*args, **kwargs):\n    Path({str(sung)!r}).touch()\nsing()\n"
    for name in ("__init__", "registry"):
        (package / f"{name}.py").write_text(song)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield sung
    for name in [name for name in sys.modules if name.partition(".")[0] == "canary"]:
        del sys.modules[name]

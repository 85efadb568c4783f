"""Devices, launchers, and two processes that train as one does."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import distributed

from deep3dmap.engine.checkpoint import list_checkpoints, load_checkpoint
from deep3dmap.engine.launching import choose_device, launch, synchronise_gradients
from deep3dmap.errors import ConfigError, TrainingError
from deep3dmap.processes import all_reduce, average_gradients, broadcast_object, gather_objects, shared_draws

HERE = Path(__file__).parent
PLUGINS = [HERE.parent / "plugins" / name for name in ("line_fit", "tiny_gan")]


def scalars(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "scalars.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """The work folders of runs with two processes."""
    folder = tmp_path_factory.mktemp("two")
    paths = [HERE.parents[1], HERE, *PLUGINS]
    environment = os.environ | dict(PYTHONPATH=os.pathsep.join(map(str, paths)), OMP_NUM_THREADS="1")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
               str(HERE / "two_processes.py"), str(folder)]  # yapf: disable
    result = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """Trains the same with one process; returns its work folder."""
    sys.path[:0] = [str(HERE), *map(str, PLUGINS)]
    import two_processes

    def train(name: str) -> Path:
        config = two_processes.longer(two_processes.BATCHES) if name == "batches" else two_processes.items(1)
        folder = tmp_path_factory.mktemp("one")
        two_processes.train(config, folder, "none")
        return folder

    yield train
    del sys.path[:3]


@pytest.mark.parametrize("name", ["items", "batches"])
def test_two_processes_have_the_losses_and_weights_of_one_with_the_same_global_batch(name, two, one):
    alone, together = one(name), two / name
    a, b = ([(record["step"], record["loss"]) for record in scalars(folder)] for folder in (alone, together))
    assert [step for step, _ in b] == [step for step, _ in a]
    assert [loss for _, loss in b] == pytest.approx([loss for _, loss in a], abs=1e-5)
    a, b = (load_checkpoint(list_checkpoints(folder)[-1])["state_dict"] for folder in (alone, together))
    assert all(torch.allclose(a[key], b[key], atol=1e-5) for key in a)


def test_a_run_of_two_processes_resumes_to_its_last_step_and_only_one_writes(two):
    assert load_checkpoint(list_checkpoints(two / "batches")[-1])["loop"]["step"] == 16
    assert len(list((two / "items" / "vis_data").iterdir())) == 1
    assert (two / "items" / "log.txt").read_text().count("step 6/6") == 1


def test_the_weights_of_a_custom_method_keep_their_names(two):
    checkpoint = load_checkpoint(list_checkpoints(two / "gan")[-1])
    layers = {f"discriminator.layers.{k}.{name}" for k in (0, 2) for name in ("weight", "bias")}
    assert set(checkpoint["state_dict"]) == {"generator.scale", "generator.shift"} | layers
    assert checkpoint["loop"]["stage"] == "settle" and float(checkpoint["state_dict"]["generator.shift"]) != 0


def _lonely(place: Path, rank: int, pipe) -> None:
    """Joins a group of two, of which the second is killed; says what the first one's next exchange raises."""
    distributed.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=2)
    all_reduce(0.0)
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        all_reduce(0.0)
        all_reduce(0.0)
    except Exception as error:
        pipe.send((type(error), str(error)))


def test_a_killed_process_is_told_to_the_others_in_one_line(tmp_path):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    processes = [context.Process(target=_lonely, args=(tmp_path / "group", rank, theirs)) for rank in range(2)]
    for process in processes:
        process.start()
    assert ours.poll(120)
    error, message = ours.recv()
    for process in processes:
        process.join()
    assert error is TrainingError and "another process" in message and len(message.splitlines()) == 1


def test_processes_average_gradients_keep_touched_rows_and_follow_the_first(two):
    for found in json.loads((two / "shared.json").read_text()):
        assert found["both"] == [2.0, 2.0] and found["second"] == [0.5, 0.5] and found["neither"] is None
    for found in json.loads((two / "shared.json").read_text()):
        assert found["rows"] == [0, 1, 3] and found["values"] == [0.5, 0.5, 2.0]
    assert [found["first"] for found in json.loads((two / "shared.json").read_text())] == ["process 0"] * 2


def test_what_processes_draw_together_is_what_the_first_would_have_drawn_alone(two):
    torch.manual_seed(0)
    alone = shared_draws(7)
    expected = torch.rand(7, generator=alone.generator).tolist()
    first, second = json.loads((two / "shared.json").read_text())
    assert first["drawn"] == second["drawn"] == pytest.approx(expected)
    assert first["own"] == first["drawn"][::2] and second["own"] == first["drawn"][1::2]


def test_alone_the_steps_of_optimisers_are_left_as_they_are():
    wrapper = OptimWrapper(torch.optim.SGD([torch.zeros(1)], lr=0.1))
    assert synchronise_gradients(wrapper) is wrapper and "step" not in vars(wrapper)


def test_alone_a_process_agrees_with_itself():
    assert all_reduce(1.5, 2.0) == [1.5, 2.0] and broadcast_object("a") == "a" and gather_objects("a") == ["a"]
    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = gradient = torch.ones(1)
    average_gradients([parameter])
    assert parameter.grad is gradient


def test_the_device_is_the_cpu_where_there_is_no_gpu():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(ConfigError, match="--device cuda can't be used here"):
        choose_device("cuda")


def test_a_launcher_that_is_unknown_or_did_not_start_the_process_is_refused(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "SLURM_NODELIST"):
        monkeypatch.delenv(name, raising=False)
    for launcher in ("pytorch", "slurm"):
        with pytest.raises(ConfigError, match=f"--launcher {launcher}: not started by it.*torchrun"):
            launch(launcher, torch.device("cpu"))
    with pytest.raises(ConfigError, match="--launcher mpi: must be one of none, pytorch, slurm"):
        launch("mpi", torch.device("cpu"))

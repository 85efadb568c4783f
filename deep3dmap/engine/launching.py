"""Launching one or several processes on CPU or GPUs, with workarounds for mmengine 0.10.7.

mmengine's ``init_dist`` calls ``torch.cuda.set_device`` even on a CPU, so the process group is made here, before the runner.
Its data-parallel wrappers require every parameter in every forward pass and don't support unequal shares: gradients are
averaged before each optimiser step instead (see ``processes.py``), and frameworks stay unwrapped.
Its checkpoints need a pickle allow-list: ours hold plain values only (see ``checkpoint.py``).
Its default ``collate_fn`` doesn't stack: ``batches.py`` uses ``default_collate``.
"""

import atexit
import os
import subprocess
import warnings
from types import MethodType

import torch
from mmengine.dist import get_world_size
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import distributed

from deep3dmap.errors import ConfigError
from deep3dmap.processes import average_gradients

LAUNCHERS = ("none", "pytorch", "slurm")


def silence_known_warnings() -> None:
    """Hide the warnings that mmengine 0.10.7 causes with current torch and that users can't act on."""
    for message in (".*torch.jit.script.*", ".*FileClient.*", ".*pkg_resources.*", ".*weights_only.*"):
        warnings.filterwarnings("ignore", message=message, module="mmengine.*")


def choose_device(name: str = "auto") -> torch.device:
    """The device of a name: ``auto`` is this process's GPU if there is one, else the CPU; ``cuda`` is this process's GPU.

    Raises:
        ConfigError: if the device doesn't exist here.
    """
    local_rank = int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", 0)))
    if name in ("auto", "cuda") and torch.cuda.is_available():
        name = f"cuda:{local_rank % torch.cuda.device_count()}"
    name = "cpu" if name == "auto" else name
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = "no such device" if "device string" in str(error) else str(error).splitlines()[0].rstrip(".")
        raise ConfigError(
            f"--device {name} can't be used here ({reason}); use auto, cpu, or cuda where there is one") from None
    return device


def is_first_started() -> bool:
    """Whether this process has rank 0; usable before the process group is initialised."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", 0))) == 0


def _slurm_environment() -> None:
    hosts = subprocess.run(["scontrol", "show", "hostname", os.environ["SLURM_NODELIST"]], capture_output=True, text=True)
    os.environ.setdefault("MASTER_ADDR", hosts.stdout.split()[0])
    os.environ.setdefault("MASTER_PORT", "29500")
    os.environ.update(RANK=os.environ["SLURM_PROCID"],
                      WORLD_SIZE=os.environ["SLURM_NTASKS"],
                      LOCAL_RANK=os.environ.get("SLURM_LOCALID", "0"))


def launch(launcher: str, device: torch.device) -> None:
    """Join the process group of ``torchrun`` or Slurm; does nothing for the launcher ``none``.

    Raises:
        ConfigError: for an unknown launcher, or if the environment variables of the launcher are missing.
    """
    if launcher not in LAUNCHERS:
        raise ConfigError(f"--launcher {launcher}: must be one of {', '.join(LAUNCHERS)}")
    if launcher == "none" or distributed.is_initialized():
        return
    try:
        if launcher == "slurm":
            _slurm_environment()
        for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(threads, "1")  # as mmengine would do, with a warning
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(_leave)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(f"--launcher {launcher}: not started by it ({error}); use `torchrun --nproc-per-node N ...` or "
                          "`srun ...`") from None
    if device.type == "cuda":
        torch.cuda.set_device(device)


def _leave() -> None:
    """Leave the process group: its threads, if still running at exit, can abort the process."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def synchronise_gradients(wrapper: OptimWrapper | OptimWrapperDict) -> OptimWrapper | OptimWrapperDict:
    """Average gradients over all processes before every optimiser step; no effect in a single process.

    Since averaging happens at the step, gradients may come from one backward pass or several, for one optimiser or several in
    turn, and from any subset of the parts; clipping is applied to the average.
    """
    if get_world_size() > 1:
        for each in wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]:
            each.step = MethodType(_averaged_step, each)
    return wrapper


def _averaged_step(wrapper: OptimWrapper, **arguments) -> None:
    average_gradients(p for group in wrapper.optimizer.param_groups for p in group["params"])
    type(wrapper).step(wrapper, **arguments)

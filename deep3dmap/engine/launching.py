"""Starting one process or several, on a CPU or on GPUs; and the repairs that mmengine 0.10.7 needs for it.

mmengine's ``init_dist`` calls ``torch.cuda.set_device`` even on a CPU, and its runner hands ``device_ids`` to the
data-parallel wrapper, which torch refuses there. So the process group is made here, before the runner, and the
wrapper is our own.
Its checkpoints need a pickle allow-list: ours are written as plain values instead (see ``checkpoint.py``).
Its default ``collate_fn`` doesn't stack: ``batches.py`` asks for ``default_collate``.
"""

import os
import subprocess
import warnings

import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODEL_WRAPPERS
from torch import distributed, nn

from deep3dmap.errors import ConfigError

LAUNCHERS = ("none", "pytorch", "slurm")


def silence_known_warnings() -> None:
    """Hide exactly those warnings that mmengine 0.10.7 causes on a current torch and that no user can act on."""
    for message in (".*torch.jit.script.*", ".*FileClient.*", ".*pkg_resources.*", ".*weights_only.*"):
        warnings.filterwarnings("ignore", message=message, module="mmengine.*")


def choose_device(name: str = "auto") -> torch.device:
    """The device that a name means: ``auto`` takes this process's GPU if there is one, else the CPU; ``cuda`` takes it too.

    Raises:
        ConfigError: if the device doesn't exist here.
    """
    local_rank = int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", 0)))
    if name in ("auto", "cuda") and torch.cuda.is_available():
        name = f"cuda:{local_rank % torch.cuda.device_count()}"
    name = "cpu" if name == "auto" else name
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = "no such device" if "device string" in str(error) else str(error).splitlines()[0].rstrip(".")
        raise ConfigError(
            f"--device {name} can't be used here ({reason}); use auto, cpu, or cuda where there is one") from None
    return device


def _slurm_environment() -> None:
    hosts = subprocess.run(["scontrol", "show", "hostname", os.environ["SLURM_NODELIST"]], capture_output=True, text=True)
    os.environ.setdefault("MASTER_ADDR", hosts.stdout.split()[0])
    os.environ.setdefault("MASTER_PORT", "29500")
    os.environ.update(RANK=os.environ["SLURM_PROCID"],
                      WORLD_SIZE=os.environ["SLURM_NTASKS"],
                      LOCAL_RANK=os.environ.get("SLURM_LOCALID", "0"))


def launch(launcher: str, device: torch.device) -> None:
    """Join the process group that ``torchrun`` or Slurm started; nothing for the launcher ``none``.

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
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(f"--launcher {launcher}: not started by it ({error}); use `torchrun --nproc-per-node N ...` or "
                          "`srun ...`") from None
    if device.type == "cuda":
        torch.cuda.set_device(device)


@MODEL_WRAPPERS.register_module()
class FrameworkParallel(MMDistributedDataParallel):
    """Data parallelism for frameworks: their own ``train_step``, with the forward pass through this wrapper."""

    def __init__(self, module: nn.Module):
        super().__init__(module=module, device_ids=None, broadcast_buffers=False, find_unused_parameters=True)

    def train_step(self, data, optim_wrapper):
        """One step of the wrapped framework; gradients are averaged over the processes."""
        return self.module.train_step(data, optim_wrapper, call=self)


class PartParallel(nn.parallel.DistributedDataParallel):
    """Data parallelism for one part of a framework; its weights keep their names in checkpoints."""

    def __init__(self, module: nn.Module):
        super().__init__(module, broadcast_buffers=False, find_unused_parameters=True)

    def state_dict(self, *args, **kwargs):
        """The part's own."""
        return self.module.state_dict(*args, **kwargs)


def several_processes() -> bool:
    """Whether this process is one of several that train together."""
    return distributed.is_initialized() and distributed.get_world_size() > 1


def wrap(framework: nn.Module) -> nn.Module:
    """The framework ready to train in this process group (itself, where there is only one process)."""
    if not several_processes():
        return framework
    if hasattr(framework, "wrap_parts"):
        framework.wrap_parts(PartParallel)
        return framework
    return FrameworkParallel(framework)


def unwrap_parts(framework: nn.Module) -> nn.Module:
    """Undo :func:`wrap` at a stage's end: other parts may move in the next."""
    for name, child in list(framework.named_children()):
        if isinstance(child, PartParallel):
            setattr(framework, name, child.module)
    return framework


def agree(*values: float, average: bool = False) -> list[float]:
    """The largest (or the average) of each value over all processes, so that they decide alike."""
    if not several_processes():
        return list(values)
    device = torch.device("cuda") if distributed.get_backend() == "nccl" else torch.device("cpu")
    shared = torch.tensor(values, dtype=torch.float64, device=device)
    distributed.all_reduce(shared, distributed.ReduceOp.SUM if average else distributed.ReduceOp.MAX)
    return (shared / distributed.get_world_size() if average else shared).tolist()


def unwrap(model: nn.Module) -> nn.Module:
    """The framework inside a data-parallel wrapper."""
    return model.module if isinstance(model, FrameworkParallel) else model

"""Cost against work: what one step, one trace, one mesh, one picture cost as they grow, as JSON lines.

Every measurement runs in a process of its own, so that its peak memory is its own: ``python -m deep3dmap.apis.benchmark CASE``
runs one case and prints its line.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from deep3dmap.engine.config import load_config
from deep3dmap.engine.hooks.log import peak_memory_mib
from deep3dmap.engine.launching import choose_device, silence_known_warnings
from deep3dmap.engine.optim import build_optimizers
from deep3dmap.engine.runner import synchronize
from deep3dmap.errors import ConfigError, Deep3DError
from deep3dmap.frameworks.base import Framework
from deep3dmap.geometry.lookat import sphere_of_cameras
from deep3dmap.registry import FRAMEWORKS, load_plugins, nearest
from deep3dmap.structures import Cameras

#: Networks by method and name: the configs that hold them.
NETWORKS = {"idr": {"published": "configs/idr/dtu_fixed_cameras.py", "small": "configs/idr/generated_head.py"}}

#: What is measured: the work's unit, and how much of it: all of it, and in quick mode.
WORK: dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = {
    "train_step": ("rays", (512, 1024, 2048, 4096, 8192), (128, 256)),
    "forward_backward": ("rays", (512, 1024, 2048, 4096, 8192), (128, 256)),
    "trace": ("rays", (512, 1024, 2048, 4096, 8192), (128, 256)),
    "mesh": ("resolution", (64, 128, 256, 512), (16, 32)),
    "render_view": ("pixels", (64**2, 128**2, 256**2), (16**2, 32**2)),
}

REPEATS = 3
FOCAL, DISTANCE, OBJECT_RADIUS = 2.0, 2.5, 0.5


def benchmark(method: str = "idr",
              *,
              quick: bool = False,
              networks: Mapping[str, Mapping] | None = None,
              device: str = "auto",
              only: str | None = None,
              write: Callable[[str], Any] = print) -> list[dict]:
    """Measure a method's cost against growing work.

    Args:
        method: one of :data:`NETWORKS`.
        quick: little work, each measured once.
        networks: ``model`` configs by name, instead of the method's own.
        device: where to compute.
        only: one of :data:`WORK`, instead of all.
        write: called with each measurement as a line of JSON, as it comes.

    Returns:
        The measurements: ``name``, ``network``, the work under its unit's name, ``cpu_seconds`` and ``wall_seconds`` (the
        least of a few repeats), ``peak_mib`` (of the process), ``base_mib`` (before the work), ``device``, ``threads``, and
        ``evaluations`` of the distance network where it is asked for distances alone.

    Raises:
        ConfigError: for an unknown method or measurement.
        Deep3DError: if a measurement fails.
    """
    if method not in NETWORKS:
        raise ConfigError(f"method '{method}': {nearest(method, NETWORKS)}")
    if only is not None and only not in WORK:
        raise ConfigError(f"no measurement '{only}': {nearest(only, WORK)}")
    models = networks or {name: load_config(path).model.to_dict() for name, path in NETWORKS[method].items()}
    results = []
    for name in WORK if only is None else [only]:
        unit, full, little = WORK[name]
        for network, model in models.items():
            for amount in little if quick else full:
                case = dict(name=name, network=network, model=model, unit=unit, amount=amount, device=device,
                            repeats=1 if quick else REPEATS)  # yapf: disable
                results.append(_in_own_process(case))
                write(json.dumps(results[-1]))
    return results


def _in_own_process(case: Mapping) -> dict:
    command = [sys.executable, "-m", "deep3dmap.apis.benchmark", json.dumps(case)]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        reason = (run.stderr.strip() or f"exit code {run.returncode}").splitlines()[-1]
        raise Deep3DError(
            f"{case['name']} with {case['unit']}={case['amount']} of the network '{case['network']}' failed: {reason}")
    return json.loads(run.stdout.splitlines()[-1])


def measure(case: Mapping) -> dict:
    """Run one case in this process; see :func:`benchmark`."""
    silence_known_warnings()
    load_plugins()
    torch.manual_seed(0)
    device = choose_device(case["device"])
    framework = FRAMEWORKS.build(case["model"]).to(device)
    work = WORKERS[case["name"]](framework, case["amount"])
    base, counter = peak_memory_mib(device), _count_evaluations(framework)
    times = [_timed(work, device) for _ in range(case["repeats"])]
    evaluations = counter[0] // case["repeats"]
    result = dict(name=case["name"], network=case["network"])
    result |= {case["unit"]: case["amount"]}
    result |= dict(cpu_seconds=min(t[0] for t in times),
                   wall_seconds=min(t[1] for t in times),
                   peak_mib=round(peak_memory_mib(device), 1),
                   base_mib=round(base, 1),
                   device=str(device),
                   threads=torch.get_num_threads())
    return result | (dict(evaluations=evaluations) if evaluations else {})


def _timed(work: Callable[[], Any], device: torch.device) -> tuple[float, float]:
    """CPU seconds of all threads, and seconds on the clock."""
    synchronize(device)
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    synchronize(device)
    return time.process_time() - cpu, time.perf_counter() - wall


def _count_evaluations(framework: Framework) -> list[int]:
    """Count the points at which the distance network is asked for distances alone, as tracing and meshing do."""
    counter, sdf = [0], framework.geometry.sdf

    def counted(points):
        counter[0] += len(points)
        return sdf(points)

    framework.geometry.sdf = counted
    return counter


# --- the work -------------------------------------------------------------------------------------------------------------


def _batch(count: int, device: torch.device) -> dict[str, torch.Tensor]:
    """Rays of cameras on a sphere around an object of known silhouette."""
    generator = torch.Generator().manual_seed(0)
    poses = sphere_of_cameras(16, DISTANCE).float()
    K = torch.tensor([[FOCAL, 0, 0.5], [0, FOCAL, 0.5], [0, 0, 1.0]]).repeat(len(poses), 1, 1)
    view = torch.randint(len(poses), (count, ), generator=generator)
    rays = Cameras(K, poses, (1, 1)).rays(view, torch.rand(count, 2, generator=generator))
    mask = torch.linalg.cross(rays.origins, rays.directions).norm(dim=-1) < OBJECT_RADIUS
    batch = dict(origins=rays.origins, directions=rays.directions, mask=mask, rgb=torch.rand(count, 3, generator=generator))
    return {key: value.to(device) for key, value in batch.items()}


def _train_step(framework: Framework, rays: int) -> Callable[[], Any]:
    batch = _batch(rays, framework.device)
    optimizer = build_optimizers(framework.train(), dict(optimizer=dict(type="Adam", lr=1e-5)), amp=False)
    return lambda: framework.train_step(batch, optimizer)


def _forward_backward(framework: Framework, rays: int) -> Callable[[], Any]:
    batch = _batch(rays, framework.device)
    framework.train()

    def work():
        framework.zero_grad()
        framework.parse_losses(framework(batch, mode="loss"))[0].backward()

    return work


def _trace(framework: Framework, rays: int) -> Callable[[], Any]:
    batch = _batch(rays, framework.device)
    bundle, _ = framework.rays(batch)
    return lambda: framework.trace(bundle, batch["mask"], True)


def _mesh(framework: Framework, resolution: int) -> Callable[[], Any]:
    return lambda: framework.eval().extract_mesh(resolution)


def _render_view(framework: Framework, pixels: int) -> Callable[[], Any]:
    batch = _batch(pixels, framework.device)
    return lambda: framework.eval().predict(batch)


WORKERS = dict(train_step=_train_step, forward_backward=_forward_backward, trace=_trace, mesh=_mesh, render_view=_render_view)

if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))

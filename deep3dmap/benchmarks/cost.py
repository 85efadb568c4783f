"""Cost against work: training steps, traces, meshes and rendered views in growing amounts, as JSON lines.

Every measurement runs in a separate process, so that peak memory is measured separately. The machine's rate of matrix products
is measured first, and every network is trained once (with its unchanged config) to a common state for all measurements.
"""

import hashlib
import importlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deep3dmap.benchmarks import render
from deep3dmap.benchmarks.cases import AS_CONFIGURED, PRODUCTS, Method, Work, choose, read_networks, vary
from deep3dmap.benchmarks.limits import MatrixFlops, fastest, least_seconds, matrix_product
from deep3dmap.benchmarks.measuring import in_own_process, least_cost, mean_cost, result_line, rounded
from deep3dmap.benchmarks.work import Field, Job
from deep3dmap.engine.hooks.log import peak_memory_mib
from deep3dmap.engine.launching import choose_device, silence_known_warnings
from deep3dmap.engine.optim import optimizers_state
from deep3dmap.frameworks.base import Framework
from deep3dmap.frameworks.cards import find_card
from deep3dmap.io.files import replacing
from deep3dmap.io.reading import output_folder
from deep3dmap.registry import FRAMEWORKS, load_plugins
from deep3dmap.version import __version__

PRODUCT_SECONDS = 2.0


def cases_of(method: str) -> Method:
    """A method's benchmark: ``METHOD`` of the module in its card."""
    return importlib.import_module(find_card(method, "benchmark").benchmark).METHOD


def benchmark(method: str = "idr",
              *,
              quick: bool = False,
              networks: Mapping[str, Mapping] | Iterable[str] | None = None,
              variants: Iterable[str] | None = None,
              ablation: bool = False,
              only: Iterable[str] | str | None = None,
              device: str = "auto",
              states: str | Path | None = None,
              mesh: str | Path | None = None,
              write: Callable[[str], Any] = print) -> list[dict]:
    """Cost against growing work, as JSON lines.

    Args:
        method: idr, deepsdf, h3dnet, prnet, fusion, neuralrecon, stylegan2 or gan2shape; or render, for the mesh renderers.
        quick: small amounts only. Each is measured once.
        networks: some of the method's networks (for render: renderers) instead of all. By name; or other ``model`` configs by
            name.
        variants: variants of the configs, instead of the unchanged configs.
        ablation: compare the variants on one amount of each kind of work. All variants if None are chosen.
        only: some kinds of work instead of all.
        device: auto, cpu, cuda ...
        states: folder to keep the prepared networks for later measurements.
        mesh: for render: draw this mesh where faces don't grow, instead of a ring.
        write: called with each measurement as a line of JSON.

    Returns:
        The measurements; see docs/benchmarks.md.

    Raises:
        ConfigError: for an unknown method, network, variant or measurement.
        Deep3DError: if a measurement fails.
    """
    if method == "render":
        return render.benchmark(quick=quick,
                                renderers=networks,
                                ways=variants,
                                only=only,
                                device=device,
                                mesh=mesh,
                                write=write)
    measured = cases_of(method)
    own = networks if isinstance(networks, Mapping) else None
    chosen = {name: dict(model=model) for name, model in own.items()} if own else read_networks(measured, networks)
    changes = {name: measured.variants[name] for name in choose(variants, measured.variants, "variant")}
    changes = changes if ablation or variants is not None else {AS_CONFIGURED: {}}
    settings = {(network, name): vary(chosen[network], change, name) for network in chosen for name, change in changes.items()}
    works = {name: measured.work[name] for name in choose(only, {**PRODUCTS, **measured.work}, "measurement")
             if name not in PRODUCTS}  # yapf: disable
    with tempfile.TemporaryDirectory() as folder:
        run = _Run(output_folder(states or folder), method, chosen, device, quick, write)
        run.measure_products()
        for name, work in works.items():
            for (network, variant), setting in settings.items():
                for amount in _amounts(work, quick, ablation):
                    run.measure(dict(name=name, network=network, variant=variant, unit=work.unit, work=amount, **setting))
    return run.results


def _amounts(work: Work, quick: bool, ablation: bool) -> tuple[int, ...]:
    if ablation and work.ablation is None:
        return ()
    return work.quick[:1 if ablation else None] if quick else (work.ablation, ) if ablation else work.amounts


class _Run:
    """A benchmark in progress: its results, the machine's rates, and the networks' states in a folder."""

    def __init__(self, folder: Path, method: str, networks: Mapping[str, Mapping], device: str, quick: bool,
                 write: Callable[[str], Any]):  # yapf: disable
        self.folder, self.method, self.networks = folder, method, networks
        self.device, self.quick, self.write = device, quick, write
        self.results: list[dict] = []
        self.rates: dict[str, float] = {}

    def measure_products(self) -> None:
        """Measure the machine's rates of matrix products, the reference of all other measurements."""
        products = [dict(name=name, work=_amounts(work, self.quick, False)[0], unit=work.unit)
                    for name, work in PRODUCTS.items()]  # yapf: disable
        for result in self._start(dict(products=products), "matrix products"):
            self.rates[_type_of(result["name"])] = 1e9 * result["gflop_per_second"]
            self._keep(result)

    def measure(self, case: Mapping) -> None:
        """Run one case in a separate process, and write its line."""
        where = f"{case['name']} with {case['unit']}={case['work']} of the network '{case['network']}'"
        self._keep(self._start(dict(case, state=self._state(case), rates=self.rates), where))

    def _keep(self, result: dict) -> None:
        self.results.append(result)
        self.write(json.dumps(result))

    def _state(self, case: Mapping) -> str:
        """File of the prepared weights of a case's network, shared by its variants."""
        method = cases_of(self.method)
        parts = {key: value for key, value in case["model"].items() if key in method.parts}
        steps = method.quick_preparation if self.quick else method.preparation
        key = json.dumps([__version__, self.method, parts, steps, case["rate"]], sort_keys=True)
        path = self.folder / f"{case['network']}_{hashlib.sha256(key.encode()).hexdigest()[:12]}.pt"
        if not path.exists():
            model = {**self.networks[case["network"]]["model"], **parts}
            preparation = dict(prepare=str(path), model=model, steps=steps, rate=case["rate"])
            self._start(preparation, f"preparing the network '{case['network']}'")
        return str(path)

    def _start(self, case: Mapping, what: str) -> dict | list:
        case = dict(case, method=self.method, device=self.device, quick=self.quick)
        return in_own_process(run_case, case, what)


# --- in the process of one case -------------------------------------------------------------------------------------------


def _type_of(product: str) -> str:
    return product.removeprefix("matrix_product_")


def run_case(case: Mapping) -> dict | list:
    """Run a case in this process: measure the machine, prepare a network, or measure work."""
    silence_known_warnings()
    load_plugins()
    torch.manual_seed(0)
    device = choose_device(case["device"])
    if "prepare" in case:
        state = prepared_state(cases_of(case["method"]), case["model"], device, *case["steps"], case["rate"])
        with replacing(case["prepare"]) as part:
            torch.save(state, part)
        return {}
    if "products" in case:
        return [measure_product(product, device, 0.1 if case["quick"] else PRODUCT_SECONDS) for product in case["products"]]
    return measure(case, device)


def measure_product(case: Mapping, device: torch.device, seconds: float) -> dict:
    """The machine's rate of matrix products of one type, with all threads, measured for ``seconds``."""
    run = matrix_product(case["work"], getattr(torch, _type_of(case["name"])), device)
    with MatrixFlops() as flops:
        run()
    cpu, wall = fastest(run, device, seconds)
    gflop = flops.by_type.total() / 1e9
    result = result_line(case, device, cpu, wall) | dict(peak_mib=round(peak_memory_mib(device), 1))
    return result | dict(gflop=rounded(gflop), gflop_per_second=rounded(gflop / wall))


def build(method: Method, model: Mapping, device: torch.device) -> Framework:
    """Build a method's framework, untrained."""
    framework = FRAMEWORKS.build(dict(model)).to(device)
    if method.info is not None:
        framework.setup(method.info)
    return framework


def prepared_state(method: Method, model: Mapping, device: torch.device, fit_steps: int, train_steps: int,
                   rate: float) -> dict[str, dict]:
    """State of the ``parts`` and ``optimizer`` after fitting the distances and a short training with warm-up to ``rate``."""
    framework = build(method, model, device)
    optimizers = method.prepare(framework, fit_steps, train_steps, rate)
    return {
        part: getattr(framework, part).state_dict()
        for part in method.parts
    } | dict(optimizer=optimizers_state(optimizers))


def measure(case: Mapping, device: torch.device) -> dict:
    """Cost of one kind of work; see docs/benchmarks.md for the result."""
    method = cases_of(case["method"])
    framework = build(method, case["model"], device)
    state = torch.load(case["state"], map_location=device, weights_only=True)
    for part in method.parts:
        getattr(framework, part).load_state_dict(state[part])
    make_ready = method.work[case["name"]].job
    job = make_ready(framework, case["work"], rate=case["rate"], amp=case["amp"], optimizer=state["optimizer"])
    base, counter = peak_memory_mib(device), EvaluationCounter()
    method.watch(framework, counter.watched)
    job.warm_up()
    flops = _count_flops(job, counter)
    counter.reset()
    cpu, wall, runs = mean_cost(job, device, case["quick"]) if job.steps else least_cost(job, device, case["quick"])
    evaluations = counter.points / runs
    result = result_line(case, device, cpu * job.scale, wall * job.scale)
    result |= dict(peak_mib=round(peak_memory_mib(device), 1), base_mib=round(base, 1), runs=runs)
    result |= dict(evaluations=round(evaluations * job.scale)) if evaluations else {}
    result |= dict(extrapolated=True) if job.scale != 1 else {}
    return result | _share(flops(evaluations), case["rates"], wall, job.scale)


def _share(flops: Mapping[str, float], rates: Mapping[str, float], wall: float, scale: float) -> dict:
    result = dict(gflop=rounded(sum(flops.values()) * scale / 1e9))
    least = least_seconds(flops, rates)
    return result if least is None else result | dict(matmul_share=rounded(least / wall))


class EvaluationCounter:
    """Counts the points at which fields are evaluated without gradients, as in tracing and meshing.

    Attributes:
        points: points since the last reset.
        flops: operations of these evaluations, by type, while ``counting`` is set.
        counting: the active counter of all matrix products, or None.
    """

    def __init__(self):
        self.counting: MatrixFlops | None = None
        self.reset()

    def reset(self) -> None:
        """Reset the counts."""
        self.points, self.flops = 0, Counter()

    def watched(self, field: Field) -> Field:
        """The field, with counting."""

        def evaluate(points: Tensor) -> Tensor:
            before = None if self.counting is None else Counter(self.counting.by_type)
            out = field(points)
            self.points += len(points)
            if before is not None:
                self.flops += self.counting.by_type - before
            return out

        return evaluate


def _count_flops(job: Job, counter: EvaluationCounter, runs: int = 2) -> Callable[[float], dict[str, float]]:
    """Floating-point operations by type of one run with a given number of evaluations.

    Counted during warm-up. The number of evaluations may differ between runs (a grid is refreshed at intervals), the rest is
    constant.
    """
    runs = runs if job.steps else 1
    counter.reset()
    with MatrixFlops() as flops:
        counter.counting = flops
        for _ in range(runs):
            job.run()
    counter.counting = None
    rest, evaluated, points = flops.by_type - counter.flops, Counter(counter.flops), max(counter.points, 1)
    types = set(rest) | set(evaluated)
    return lambda evaluations: {t: rest[t] / runs + evaluated[t] / points * evaluations for t in types}

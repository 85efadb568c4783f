import random

import numpy as np
import pytest
import torch

from deep3dmap.engine import precision
from deep3dmap.engine.checkpoint import list_checkpoints
from deep3dmap.engine.config import load_config
from deep3dmap.engine.precision import choose_amp, layer_rates
from deep3dmap.registry import FRAMEWORKS

CPU = torch.device("cpu")
FASTER, SLOWER = (100.0, 400.0), (328.0, 171.0)


@pytest.fixture
def measured(monkeypatch):
    """Sets what the probe measures; returns the list of devices that were probed since."""

    def pretend(rates: tuple[float, float]) -> list:
        probed = []
        monkeypatch.setattr(precision, "layer_rates", lambda device: probed.append(device) or rates)
        return probed

    return pretend


@pytest.fixture
def tested(line_config, monkeypatch):
    """Config of a short training of a framework that says that it is tested in mixed precision."""
    config = line_config(amp="auto", train_cfg=dict(stages=[dict(name="train", max_steps=4)]))
    monkeypatch.setattr(FRAMEWORKS.get(config["model"]["type"]), "mixed_precision", True)
    return config


def wrapper_of(runner) -> str:
    runner.train()
    return type(runner.optim_wrapper).__name__


@pytest.mark.parametrize("rates, amp", [(FASTER, True), (SLOWER, False), ((100.0, 131.0), True), ((100.0, 129.0), False)])
def test_mixed_precision_is_chosen_where_it_is_clearly_faster(rates, amp, measured):
    measured(rates)
    chosen, why = choose_amp(CPU)
    assert chosen is amp
    assert all(f"{rate:.3g} " in why for rate in rates)


def test_the_rates_are_those_of_a_product_of_the_layers_size(monkeypatch):
    shapes, linear = [], precision.linear
    monkeypatch.setattr(precision, "linear", lambda *args: shapes.append([len(a) for a in args]) or linear(*args))
    monkeypatch.setattr(precision, "timed", lambda work, device: (work(), 0.5))
    assert layer_rates(CPU) == pytest.approx((2 * 512**3 / 0.5 / 1e9, ) * 2)
    assert all(shape == [512, 512] for shape in shapes)


def test_half_of_the_products_are_in_bfloat16(monkeypatch):
    types, linear = [], precision.linear
    monkeypatch.setattr(precision, "linear", lambda *args: types.append(linear(*args).dtype))
    layer_rates(CPU)
    assert types.count(torch.bfloat16) == types.count(torch.float32) == len(types) / 2 >= 2


def test_a_probe_draws_no_random_numbers():
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    layer_rates(CPU)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]


def test_all_processes_take_the_first_ones_choice(measured, monkeypatch):
    probed = measured(SLOWER)
    monkeypatch.setattr(precision, "is_main_process", lambda: False)
    monkeypatch.setattr(precision, "broadcast_object", lambda own: own or (True, "the first's"))
    assert choose_amp(CPU) == (True, "the first's")
    assert not probed


@pytest.mark.parametrize("rates, wrapper", [(FASTER, "AutocastOptimWrapper"), (SLOWER, "OptimWrapper")])
def test_a_run_takes_what_is_faster_and_records_it(rates, wrapper, measured, tested, runner_of, tmp_path):
    measured(rates)
    assert wrapper_of(runner_of(tested, tmp_path)) == wrapper
    assert load_config(tmp_path / "config.py").amp is (rates is FASTER)
    assert f"{rates[0]:.3g} GFLOP/s" in (tmp_path / "log.txt").read_text()


def test_a_resumed_run_keeps_what_was_decided_and_measures_nothing(measured, tested, runner_of, tmp_path):
    measured(FASTER)
    runner_of(tested, tmp_path).train()
    probed = measured(SLOWER)
    longer = dict(tested, train_cfg=dict(stages=[dict(name="train", max_steps=6)]))
    assert wrapper_of(runner_of(longer, tmp_path, resume=True)) == "AutocastOptimWrapper"
    assert not probed
    assert load_config(tmp_path / "config.py").amp is True


def test_weights_of_another_run_do_not_bring_its_precision(measured, tested, runner_of, tmp_path):
    measured(FASTER)
    runner_of(tested, tmp_path / "first").train()
    measured(SLOWER)
    start = str(list_checkpoints(tmp_path / "first")[-1])
    assert wrapper_of(runner_of(tested, tmp_path / "second", load_from=start)) == "OptimWrapper"


@pytest.mark.parametrize("given, wrapper", [(True, "AutocastOptimWrapper"), (False, "OptimWrapper")])
def test_what_is_given_is_not_measured(given, wrapper, measured, tested, runner_of, tmp_path):
    probed = measured(SLOWER if given else FASTER)
    assert wrapper_of(runner_of(tested, tmp_path, amp=given)) == wrapper
    assert not probed


def test_a_framework_that_is_not_tested_in_mixed_precision_trains_in_float32(measured, line_config, runner_of, tmp_path):
    probed = measured(FASTER)
    config = line_config(amp="auto", train_cfg=dict(stages=[dict(name="train", max_steps=2)]))
    assert wrapper_of(runner_of(config, tmp_path)) == "OptimWrapper"
    assert not probed
    assert f"float32: {config['model']['type']}" in (tmp_path / "log.txt").read_text()


def test_testing_measures_nothing(measured, tested, runner_of, tmp_path):
    measured(FASTER)
    runner_of(tested, tmp_path).train()
    probed = measured(SLOWER)
    runner_of(tested, tmp_path / "test").load_checkpoint(str(list_checkpoints(tmp_path)[-1]))
    assert not probed


@pytest.mark.parametrize("name", ["idr/dtu_fixed_cameras", "idr/dtu_trained_cameras", "deepsdf/paper"])
def test_a_papers_config_is_in_float32(name):
    assert load_config(f"configs/{name}.py").amp is False


@pytest.mark.parametrize("name", ["idr/your_own", "h3dnet/your_own", "deepsdf/meshes"])
def test_the_other_configs_take_what_is_faster(name):
    assert load_config(f"configs/{name}.py").amp == "auto"

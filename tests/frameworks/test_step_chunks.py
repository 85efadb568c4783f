"""A step in chunks is the step of the whole batch: losses, gradients, optimisers; only the memory differs."""

import copy

import pytest
import torch
from mmengine.dist import get_dist_info
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import distributed, multiprocessing, nn

from deep3dmap.engine.launching import synchronise_gradients
from deep3dmap.engine.optim import AutocastOptimWrapper
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.frameworks.optimizer_steps import update_params
from deep3dmap.frameworks.step_chunks import SplitSteps, split_batch
from deep3dmap.losses.base import Loss
from deep3dmap.processes import shared_draws
from tests.frameworks.saved_bytes import SavedBytes

SIZES = [1, 3, 4, 9, 10, 100]  # of chunks of 10 items


class Near(Loss):
    """Mean distance to ``y`` over the items, where they don't lie beside it."""

    def forward(self, outputs, inputs):
        counts = inputs["y"] > 0
        return (outputs["y"][counts] - inputs["y"][counts]).abs().sum() / len(counts)


class Flat(Loss):
    """Mean square over the items and the points drawn beside them."""

    def forward(self, outputs, inputs):
        return torch.cat([outputs["y"], outputs["beside"]]).square().mean()


class Curve(SplitSteps):
    """Heights of points, moved by noise that is drawn for each; some are drawn beside them, and one shift for all."""

    item_keys, shared_keys, proportional_keys = ("x", ), ("shift", ), ("beside", )

    def __init__(self, beside: int = 7, width: int = 16, losses=None, **options):
        super().__init__(losses=losses or dict(near=dict(type=Near, weight=3.0), flat=dict(type=Flat, weight=0.5)), **options)
        self.beside, self.seen = beside, []
        self.first, self.last = nn.Linear(2, width), nn.Linear(width, 1)

    def draw(self, inputs, common):
        noise = torch.rand(common.total, 2, generator=common.generator)[common.share]
        beside = torch.rand(self.beside, 2, generator=common.generator)[common.share]
        shift = torch.rand(10, generator=common.generator)
        return dict(noise=noise, beside=beside, shift=shift) | inputs

    def loss_count(self, name, inputs):
        return super().loss_count(name, inputs) + (len(inputs["beside"]) if name == "loss_flat" else 0)

    def height(self, x):
        return self.last(torch.tanh(self.first(x)))[:, 0]

    def forward(self, inputs, mode="tensor"):
        self.seen.append(len(inputs["x"]))
        shift = inputs["shift"].sum()
        outputs = dict(y=self.height(inputs["x"] + inputs["noise"] + shift), beside=self.height(inputs["beside"]))
        losses = self.compute_losses(outputs, inputs)
        return losses | dict(height=outputs["y"].detach(), above=(outputs["y"] > 0)) if mode == "loss" else outputs


class Recorder(torch.optim.SGD):
    """Keeps the gradients of each of its steps, and goes along them."""

    def step(self, closure=None):
        self.gradients = getattr(self, "gradients", [])
        self.gradients.append([p.grad.clone() for group in self.param_groups for p in group["params"]])
        super().step(closure)


def recorder(*modules, **options) -> OptimWrapper:
    return OptimWrapper(Recorder([p for module in modules for p in module.parameters()], lr=0.1), **options)


def batch(dtype=torch.float64, count: int = 10) -> dict:
    generator = torch.Generator().manual_seed(1)
    return dict(x=torch.randn(count, 2, generator=generator, dtype=dtype),
                y=torch.randn(count, generator=generator, dtype=dtype),
                scale=torch.tensor(2.0),
                name="curve")


def curve(step_chunk: int | None = None, dtype=torch.float64, **options) -> Curve:
    torch.manual_seed(0)
    return Curve(step_chunk=step_chunk, **options).to(dtype).train()


def steps(framework, wrapper, count: int = 3) -> list[dict]:
    """What some steps log; each has its own chance, the same for every framework."""
    dtype = framework.first.weight.dtype
    logs = []
    for step in range(count):
        torch.manual_seed(step)
        drawn = framework.draw({}, shared_draws(10))
        logs.append(framework.train_step(batch(dtype) | {k: v.to(dtype) for k, v in drawn.items()}, wrapper))
    return logs


def weights(framework) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in framework.parameters()])


@pytest.mark.parametrize("size", SIZES)
def test_the_parts_of_a_batch_hold_every_item_once_and_at_most_size_of_them(size):
    inputs = dict(x=torch.arange(10), rows=torch.randn(10, 3), beside=torch.arange(7))
    parts = split_batch(inputs, 10, size, proportional=["beside"])
    for key, value in inputs.items():
        assert torch.equal(torch.cat([part[key] for part in parts]), value)
    assert max(len(part["x"]) for part in parts) <= size and len(parts) == -(-10 // size)


def test_what_belongs_to_the_whole_batch_reaches_every_part():
    inputs = dict(x=torch.arange(10), steps=torch.arange(10), grid=torch.zeros(4, 4), one=torch.tensor(1.0), names=["a"] * 10)
    for part in split_batch(inputs, 10, 4, shared=["steps"]):
        assert all(part[key] is inputs[key] for key in ("steps", "grid", "one", "names"))


def test_a_batch_without_items_is_one_part():
    assert len(split_batch(dict(x=torch.zeros(0, 3)), 0, 5)) == 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_chunks_have_the_losses_and_gradients_of_the_whole_batch(size, dtype, tolerance):
    runs = []
    for framework in (curve(None, dtype), curve(size, dtype)):
        wrapper = recorder(framework)
        logs = steps(framework, wrapper)
        runs.append((logs, wrapper.optimizer.gradients))
    (whole, expected), (chunks, gradients) = runs
    for a, b in zip(whole, chunks):
        assert a.keys() == b.keys() and not any(value.requires_grad for value in b.values())
        for name in ("loss", "loss_near", "loss_flat"):
            torch.testing.assert_close(b[name], a[name], rtol=tolerance, atol=tolerance)
    assert len(gradients) == len(expected) == 3  # one step each, however many chunks
    for a, b in zip(expected, gradients):
        torch.testing.assert_close(b, a, rtol=tolerance, atol=tolerance * max(float(x.abs().max()) for x in a))


def test_no_more_items_than_a_chunk_go_forward_at_once():
    framework = curve(4)
    steps(framework, recorder(framework), 1)
    assert sum(framework.seen) == 10 and max(framework.seen) <= 4


def test_other_figures_are_logged_as_means_over_the_items():
    whole, chunks = (steps(framework, recorder(framework), 1)[0] for framework in (curve(), curve(3)))
    for name in ("height", "above"):
        assert chunks[name].item() == pytest.approx(whole[name].double().mean().item())


def test_chance_that_the_framework_draws_is_that_of_the_whole_batch():
    runs = []
    for size in (None, 3):
        framework = curve(size, torch.float32)
        torch.manual_seed(7)
        runs.append(framework.train_step(batch(torch.float32), recorder(framework))["loss_near"])
        assert framework.train_step(batch(torch.float32), recorder(framework))["loss_near"] != runs[-1]
    torch.testing.assert_close(runs[1], runs[0], rtol=1e-6, atol=0)


def assert_same_weights(make, tolerance=1e-12, count=4):
    """After some steps with the optimisers that ``make`` gives a framework, whole and in chunks; they must have moved."""
    whole, chunks = curve(), curve(3)
    before = weights(whole)
    for framework in (whole, chunks):
        steps(framework, make(framework), count)
    assert (weights(whole) - before).abs().max() > 1e-3
    torch.testing.assert_close(weights(chunks), weights(whole), rtol=tolerance, atol=tolerance)


def test_several_optimisers_step_once_each():
    assert_same_weights(lambda framework: OptimWrapperDict(
        first=recorder(framework.first), last=OptimWrapper(torch.optim.Adam(framework.last.parameters(), 0.1))))


@pytest.mark.parametrize("clip", [dict(max_norm=0.05), dict(type="value", clip_value=0.01)])
def test_gradients_are_clipped_when_they_are_whole(clip):
    assert_same_weights(lambda framework: recorder(framework, clip_grad=dict(clip)))
    unclipped, clipped = curve(3), curve(3)
    steps(unclipped, recorder(unclipped), 1)
    steps(clipped, recorder(clipped, clip_grad=dict(clip)), 1)
    assert (weights(clipped) - weights(unclipped)).abs().max() > 1e-3


def test_a_step_in_chunks_counts_once_where_gradients_of_several_steps_are_gathered():
    assert_same_weights(lambda framework: recorder(framework, accumulative_counts=2))
    framework = curve(3)
    wrapper = recorder(framework, accumulative_counts=2)
    steps(framework, wrapper, 4)
    assert len(wrapper.optimizer.gradients) == 2 and wrapper.inner_count == 4


def test_mixed_precision_differs_by_the_rounding_of_half_precision_only():
    """bfloat16 keeps 8 bits, and each chunk's gradient is rounded to it."""
    runs = []
    for size in (None, 3):
        framework = curve(size, torch.float32)
        wrapper = AutocastOptimWrapper(Recorder(framework.parameters(), lr=0.1))
        log = steps(framework, wrapper, 1)[0]
        assert framework.height(torch.zeros(1, 2)).dtype == torch.float32 and log["height"].dtype == torch.bfloat16
        runs.append((log["loss"], wrapper.optimizer.gradients[0]))
    (loss, expected), (chunk_loss, gradients) = runs
    assert chunk_loss.item() == pytest.approx(loss.item(), rel=1e-2)
    for a, b in zip(expected, gradients):
        assert (a - b).norm() <= 2e-2 * a.norm()


def test_update_params_asks_for_the_next_part_when_the_one_before_has_gone_backward():
    weight = nn.Parameter(torch.tensor(1.0))
    gradients = []

    def losses():
        for k in (1.0, 2.0, 3.0):
            gradients.append(0.0 if weight.grad is None else weight.grad.item())
            yield k * weight

    update_params(losses(), OptimWrapper(torch.optim.SGD([weight], lr=0.1)))
    assert gradients == [0.0, 1.0, 3.0] and weight.item() == pytest.approx(1.0 - 0.6)


def test_memory_is_that_of_a_chunk_and_not_of_the_batch():

    def peak(step_chunk, count):
        framework = curve(step_chunk, torch.float32, width=64)
        with SavedBytes() as saved:
            framework.train_step(batch(torch.float32, count), recorder(framework))
        return saved.peak

    small, chunks, whole = peak(None, 128), peak(128, 2048), peak(None, 2048)
    assert whole > 10 * small and chunks < 1.2 * small


def test_a_chunk_must_hold_something():
    for size in (0, -3):
        with pytest.raises(ConfigError, match=f"Curve: step_chunk={size} must be positive"):
            Curve(step_chunk=size)


def test_a_batch_without_items_names_the_keys_that_would_count_them():
    with pytest.raises(DataError, match=r"Curve counts a batch's items by x, but there are only \['y'\]"):
        curve(3).count_items(dict(y=torch.zeros(3)))


def in_process(rank: int, folder: str) -> None:
    """One of two processes: trains with its share of 9 items, whole and in chunks; the first writes what came out."""
    distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    exchanges, reduce = [], distributed.all_reduce

    def counted(tensor, *arguments, **options):
        exchanges.append(tensor.numel())
        return reduce(tensor, *arguments, **options)

    distributed.all_reduce = counted
    results = []
    for size in (None, 2):
        exchanges.clear()
        framework = curve(size, torch.float32)
        wrapper = recorder(framework, clip_grad=dict(max_norm=0.5))
        synchronise_gradients(wrapper)
        losses = torch.stack([log["loss"] for log in train_nine(framework, wrapper)])
        results.append(dict(weights=weights(framework), exchanges=list(exchanges)))
        reduce(losses)
        results[-1]["losses"] = losses / 2
    if rank == 0:
        torch.save(results, f"{folder}/results.pth")
    distributed.destroy_process_group()


def train_nine(framework: Curve, wrapper: OptimWrapper) -> list[dict]:
    """Three steps with this process's share of 9 items."""
    rank, world = get_dist_info()
    share = {key: value[rank::world] for key, value in batch(torch.float32, 9).items() if key in "xy"}
    torch.manual_seed(3)
    return [framework.train_step(copy.copy(share), wrapper) for _ in range(3)]


def test_two_processes_in_chunks_train_as_one_does_and_exchange_gradients_once_a_step(tmp_path):
    multiprocessing.start_processes(in_process, (str(tmp_path), ), nprocs=2, start_method="fork")
    alone = curve(None, torch.float32)
    losses = torch.stack([log["loss"] for log in train_nine(alone, recorder(alone, clip_grad=dict(max_norm=0.5)))])
    whole, chunks = torch.load(tmp_path / "results.pth")
    for run in (whole, chunks):
        torch.testing.assert_close(run["losses"], losses, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(run["weights"], weights(alone), rtol=1e-5, atol=1e-6)
    assert chunks["exchanges"] == whole["exchanges"]

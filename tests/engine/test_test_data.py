"""What is evaluated, in which units; and the order of clips in training."""

import signal

import pytest
import torch

from deep3dmap.datasets.kinds import ClipDataset, ItemDataset
from deep3dmap.engine.batches import ClipBatches, build_loader
from deep3dmap.engine.test_data import TestData, build_test_data
from deep3dmap.engine.testing import evaluate
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.frameworks.base import CustomFramework
from deep3dmap.registry import DATASETS
from deep3dmap.structures import Reconstruction

LENGTHS = [3, 1, 4, 2]


@DATASETS.register_module()
class Draw(ItemDataset):
    """Items with a random number each, and whether the process that makes them ignores Ctrl-C."""

    def __init__(self, count: int = 5):
        super().__init__()
        self.count = count

    def __len__(self) -> int:
        return self.count

    def load(self, index: int) -> dict:
        return dict(index=index, drawn=torch.rand(()), deaf=signal.getsignal(signal.SIGINT) == signal.SIG_IGN)

    def info(self) -> dict:
        return dict(count=self.count)


@DATASETS.register_module()
class Strip(ClipDataset):
    """Sequences of LENGTHS."""

    def __len__(self) -> int:
        return sum(LENGTHS)

    def load(self, index: int) -> dict:
        return dict(index=index)

    def sequences(self) -> list[range]:
        ends = [sum(LENGTHS[:k + 1]) for k in range(len(LENGTHS))]
        return [range(end - length, end) for end, length in zip(ends, LENGTHS)]


class Echo(CustomFramework):
    """Gives the indices that it sees back; of clips when a sequence ends."""

    def __init__(self, complete: bool = True):
        super().__init__()
        self.weight, self.complete = torch.nn.Parameter(torch.zeros(1)), complete

    def forward(self, inputs, mode="tensor"):
        """Not used."""

    def train_step(self, data, optim_wrapper):
        """Not used."""

    def reconstruct(self, batch, resolution=256):
        ends = batch.get("ends", torch.tensor([True] * len(batch["name"])))
        for name, index, end in zip(batch["name"], batch["index"], ends):
            yield Reconstruction(name, arrays=dict(index=index), partial=not (end and self.complete))


def drawn(data: TestData, units: list[int]) -> list[list[float]]:
    """The numbers of each batch of some units."""
    return [[float(item["drawn"]) for item in items] for unit in data.batches(units) for items, _ in unit]


def test_items_come_one_by_one_as_they_are_without_a_loader():
    data = TestData(Draw())
    assert data.units == [[[k]] for k in range(5)]
    (items, inputs), = next(data.batches([3]))
    assert inputs is items[0] and inputs["name"] == "00003"


def test_a_loader_collates_batches_and_the_last_one_holds_the_rest():
    data = TestData(Draw(), dict(batch_size=2))
    assert data.units == [[[0, 1]], [[2, 3]], [[4]]]
    sizes = [(len(items), inputs["name"], inputs["drawn"].shape) for unit in data.batches([1, 2]) for items, inputs in unit]
    assert sizes == [(2, ["00002", "00003"], (2, )), (1, ["00004"], (1, ))]


def test_what_is_random_in_an_item_depends_on_neither_batches_nor_workers_nor_processes():
    whole = [number for batch in drawn(TestData(Draw()), range(5)) for number in batch]
    assert len(set(whole)) == 5
    assert drawn(TestData(Draw(), dict(batch_size=2)), [0, 2]) == [whole[:2], whole[4:]]
    assert drawn(TestData(Draw(), dict(batch_size=3, num_workers=1)), [1]) == [whole[3:]]
    assert drawn(TestData(Draw(), seed=1), [0]) != [whole[:1]]


def test_workers_leave_ctrl_c_to_the_main_process():
    for workers in (0, 1):
        (items, _), = next(TestData(Draw(), dict(num_workers=workers)).batches([0]))
        assert items[0]["deaf"] == bool(workers)


def test_a_sequence_is_a_unit_of_single_clips():
    assert TestData(Strip(), {}).units == [[[0], [1], [2]], [[3]], [[4], [5], [6], [7]], [[8], [9]]]
    with pytest.raises(ConfigError, match="batch_size=2"):
        TestData(Strip(), dict(batch_size=2))


def test_settings_that_a_loader_does_not_take_are_refused_before_anything_is_evaluated():
    with pytest.raises(ConfigError, match="shuffle=True"):
        TestData(Draw(), dict(shuffle=True))


def test_data_sets_from_elsewhere_have_no_info():
    assert TestData(Draw(7)).info() == dict(count=7)
    assert TestData(torch.utils.data.TensorDataset(torch.zeros(2))).info() == {}


@pytest.mark.parametrize("dataset, loader, named", [
    (None, None, "val_dataset or val_dataloader"),
    (dict(type="Draw"), dict(dataset=dict(type="Draw")), "can't both be given"),
    (None, dict(batch_size=2), "a dataset is a dictionary with a 'type'"),
    (dict(type="LineBatches"), None, "val_dataset: LineBatches.*ItemDataset.*BatchDataset"),
    (None, dict(dataset=dict(type="LineBatches")), "val_dataloader.dataset: LineBatches"),
])  # yapf: disable
def test_data_that_can_not_be_evaluated_are_refused(dataset, loader, named):
    with pytest.raises(ConfigError, match=named):
        build_test_data("val", dataset, loader, None, 0, 1.0)


def test_a_sequence_gives_the_result_of_its_last_clip():
    found = evaluate(Echo(), TestData(Strip(), {}), [])
    assert [int(each.result.arrays["index"]) for each in found.results] == [2, 3, 7, 9]
    assert [each.item["index"] for each in found.results] == [2, 3, 7, 9]


@pytest.mark.parametrize("call, message", [
    (lambda: evaluate(Echo(complete=False), TestData(Strip(), {}), []),
     "Echo.reconstruct .*no complete result for 00000, 00001, 00002"),
    (lambda: ClipBatches(Strip().sequences(), 5, False, 0, 0, 1), "4 sequences.*5 clips in each of 1 processes"),
])  # yapf: disable
def test_sequences_without_complete_results_or_fewer_than_places_are_told(call, message):
    with pytest.raises(DataError, match=message):
        call()


def test_fewer_results_than_items_are_told():
    framework = Echo()
    framework.reconstruct = lambda batch, resolution: iter([Reconstruction("only")])
    with pytest.raises(DataError, match="Echo.reconstruct .*1 results for 2 items"):
        evaluate(framework, TestData(Draw(), dict(batch_size=2)), [])


def test_each_place_of_a_batch_goes_through_sequences_in_their_order_and_begins_again():
    batches = ClipBatches(Strip().sequences(), 2, False, 0, 0, 1)
    assert len(batches) == 5
    assert list(batches) == [[3, 0], [4, 1], [5, 2], [6, 8], [7, 9]]
    single = ClipBatches([range(3), range(3, 5)], 2, False, 0, 0, 1)
    assert list(single) == [[0, 3], [1, 4], [2, 3]]  # a sequence that is over begins again


def test_shuffling_keeps_sequences_whole_and_differs_from_epoch_to_epoch():
    sequences = [range(3 * k, 3 * k + 3) for k in range(6)]
    batches, orders = ClipBatches(sequences, 1, True, 0, 0, 1), []
    for epoch in (0, 1, 0):
        batches.set_epoch(epoch)
        order = [clip for clip, in batches]
        assert sorted(order) == list(range(18)) and all(order[k:k + 3] in map(list, sequences) for k in range(0, 18, 3))
        orders.append(order)
    assert orders[0] != orders[1] and orders[0] == orders[2]


def test_the_places_of_several_processes_are_those_of_one():
    whole = list(ClipBatches(Strip().sequences(), 4, True, 0, 0, 1))
    shares = [list(ClipBatches(Strip().sequences(), 2, True, 0, rank, 2)) for rank in range(2)]
    assert [[a[0], b[0], a[1], b[1]] for a, b in zip(*shares)] == whole


def test_a_loader_of_clips_keeps_their_order_unless_it_names_a_sampler():
    loader = dict(dataset=dict(type="Strip"), shuffle=False, num_workers=0)
    assert [int(batch["index"]) for batch in build_loader(loader)] == list(range(10))
    shuffled = build_loader(loader | dict(batch_size=4, sampler=dict(type="DefaultSampler", shuffle=True)))
    order = torch.cat([batch["index"] for batch in shuffled]).tolist()
    assert sorted(order[:10]) == list(range(10)) and order[:10] != list(range(10))

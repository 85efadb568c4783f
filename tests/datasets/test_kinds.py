"""The kinds of data sets: what each hands out, and where a config may have it."""

import pytest
import torch

from deep3dmap.datasets.kinds import BatchDataset, ClipDataset, ItemDataset, ViewDataset, check_kind
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.registry import TRANSFORMS


@TRANSFORMS.register_module()
class DropOdd:
    """Drops items with an odd number, as some of mmcv's transforms drop what they can't use."""

    def __call__(self, item: dict) -> dict | None:
        return None if item["number"] % 2 else dict(number=item["number"])


class Numbers(ItemDataset):
    """Items that are their own number."""

    def __len__(self) -> int:
        return 4

    def load(self, index: int) -> dict:
        return dict(number=index)


class Windows(ClipDataset):
    """Two sequences, of 3 windows and 1."""

    def __len__(self) -> int:
        return 4

    def load(self, index: int) -> dict:
        return dict(name="abba"[index])

    def sequences(self) -> list[range]:
        return [range(3), range(3, 4)]


class Batches(BatchDataset):
    """Whole batches."""


class Views(ViewDataset):
    """Views."""


def test_items_are_named_by_their_number_also_where_a_transform_leaves_the_name_out():
    assert Numbers()[1] == dict(name="00001", number=1)
    assert Numbers([dict(type="DropOdd")])[2] == dict(name="00002", number=2)


def test_a_pipeline_that_drops_an_item_is_refused_with_the_names_of_data_set_transform_and_item():
    with pytest.raises(DataError, match="Numbers: DropOdd.*'00003'"):
        Numbers([dict(type="DropOdd")])[3]


def test_windows_are_marked_where_a_sequence_begins_and_ends():
    items = [Windows()[k] for k in range(4)]
    assert [item["begins"] for item in items] == [True, False, False, True]
    assert [item["ends"] for item in items] == [False, False, True, True]
    assert [item["name"] for item in items] == list("abba")


@pytest.mark.parametrize("dataset, kind", [(Numbers, ItemDataset), (Windows, ItemDataset), (Windows, ClipDataset),
                                           (Batches, BatchDataset), (Views, ViewDataset),
                                           (torch.utils.data.TensorDataset, ItemDataset)])  # yapf: disable
def test_data_sets_of_the_kind_that_a_place_asks_for_pass(dataset, kind):
    check_kind(dataset, kind, "train_dataloader.dataset")


@pytest.mark.parametrize("dataset, kind, place, right", [
    (Batches, ItemDataset, "train_dataloader.dataset", "BatchDataset, which goes into train_dataset"),
    (Views, ItemDataset, "val_dataloader.dataset", "ViewDataset, which goes into test_dataset or val_dataset"),
    (Numbers, BatchDataset, "train_dataset", "ItemDataset, which goes into train_dataloader.dataset"),
    (Windows, BatchDataset, "train_dataset", "ClipDataset, which goes into train_dataloader.dataset"),
    (dict, ViewDataset, "test_dataset", "of no kind of data set"),
])  # yapf: disable
def test_another_kind_is_refused_and_the_message_says_where_it_belongs(dataset, kind, place, right):
    with pytest.raises(ConfigError, match=f"{place}: {dataset.__name__} must be .*{kind.__name__} but is .*{right}"):
        check_kind(dataset, kind, place)


@pytest.mark.parametrize("call, message", [
    (lambda: Numbers([dict(type="mmcv.RandomFlop")]), "mmcv.RandomFlop.*mmcv.RandomFlip"),
    (lambda: check_kind(check_kind, BatchDataset, "train_dataset"), "train_dataset: check_kind"),
])  # yapf: disable
def test_unknown_transforms_and_what_is_no_class_are_refused(call, message):
    with pytest.raises(ConfigError, match=message):
        call()

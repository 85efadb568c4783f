"""What authors' data sets do wrong gets one message, in this process or in a worker."""

import pytest

from deep3dmap.datasets.kinds import ItemDataset
from deep3dmap.engine.batches import build_source
from deep3dmap.engine.test_data import TestData
from deep3dmap.engine.testing import evaluate
from deep3dmap.errors import DataError
from deep3dmap.registry import DATASETS


@DATASETS.register_module()
class BrokenItems(ItemDataset):
    """Items whose fifth can't be read.

    Args:
        own: whether the data set says so itself.
    """

    def __init__(self, own: bool = False):
        super().__init__()
        self.own = own

    def __len__(self) -> int:
        return 8

    def load(self, index: int) -> dict:
        if index == 5:
            raise DataError("fifth.png: is damaged") if self.own else ZeroDivisionError("nothing there")
        return dict(value=index)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("own, words", [(True, "^fifth.png: is damaged$"), (False, "^BrokenItems: item 5: ZeroDivisionError")])
def test_an_item_that_can_not_be_read_is_named_in_one_line(own, words, workers):
    source = build_source(None, dict(dataset=dict(type="BrokenItems", own=own), batch_size=4, num_workers=workers))
    with pytest.raises(DataError, match=words) as error:
        for _, _ in zip(range(2), source(0)):
            pass
    assert "\n" not in str(error.value)


def test_nothing_to_evaluate_is_refused():
    with pytest.raises(DataError, match="list"):
        TestData([])


def test_two_items_of_one_name_are_refused(line_config, runner_of):
    framework = runner_of(line_config()).framework
    items = [dict(name="same", position=0.0, height=0.0)] * 2
    with pytest.raises(DataError, match="'same'"):
        evaluate(framework, TestData(items, dict(batch_size=2)), [])

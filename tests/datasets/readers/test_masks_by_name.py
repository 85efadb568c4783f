"""Which mask belongs to which photograph."""

import torch

from deep3dmap.datasets.readers.base import find_masks
from deep3dmap.io.images import write_mask


def make(folder, *names):
    (folder / "masks").mkdir(exist_ok=True)
    for name in names:
        write_mask(folder / "masks" / name, torch.ones(4, 4, dtype=torch.bool))


def test_a_mask_with_a_photographs_own_name_is_given_to_no_other(tmp_path):
    make(tmp_path, "test_000.png")
    found, problems, _ = find_masks(tmp_path, ["view_000.png", "test_000.png"])
    assert found == [None, tmp_path / "masks" / "test_000.png"]
    assert len(problems) == 1 and "view_000.png" in problems[0]


def test_masks_are_found_by_trailing_numbers_where_names_differ(tmp_path):
    make(tmp_path, "0007.png")
    assert find_masks(tmp_path, ["templeSR0007.png"])[0] == [tmp_path / "masks" / "0007.png"]

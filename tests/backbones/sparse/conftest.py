"""The same random numbers in every run."""

import pytest
import torch


@pytest.fixture(autouse=True)
def seed():
    """Of torch's generator."""
    torch.manual_seed(0)

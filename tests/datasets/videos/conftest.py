"""A short made recording, and a stand-in for the package that decodes Record3D's depth maps."""

import sys
import types
import zlib

import pytest

from tests.datasets.videos.made import Made, walk


@pytest.fixture(scope="session")
def made() -> Made:
    """Twelve frames of 48x36; not to be changed."""
    return walk()


@pytest.fixture
def unpacked(monkeypatch):
    """Lets ``lzfse`` decode what zlib has encoded."""
    monkeypatch.setitem(sys.modules, "lzfse", types.SimpleNamespace(decompress=zlib.decompress))

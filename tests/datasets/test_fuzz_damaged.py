"""Whatever is damaged in a capture, readers give sound views or one DataError that says where the fault is; they never hang.

How many examples are tried, and how to try more: tests/datasets/fuzzing.py.
"""

import os
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, note
from hypothesis import strategies as st

from deep3dmap.datasets.captures.check import check_capture
from deep3dmap.datasets.captures.formats import detect_format, load_capture
from deep3dmap.datasets.captures.scene import load_scene
from deep3dmap.errors import DataError
from deep3dmap.structures import Capture
from tests.datasets.conftest import camera_ring
from tests.datasets.damage import Pickled, applicable
from tests.datasets.emitters import FORMATS, Format
from tests.datasets.fuzzing import fuzz, outcome, write
from tests.datasets.strategies import Photo, Shoot

K = np.array([[9.0, 0, 5.5], [0, 9, 4.5], [0, 0, 1]])
SIZE, RADIUS, VARIANTS = (9, 11), 0.8, 6
formats = pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)


def ring(variant: int, format: Format) -> Shoot:
    """Four views of a ball around the origin; the variant picks what is optional in the format."""
    v, u = np.mgrid[:SIZE[0], :SIZE[1]] + 0.5
    off_axis = np.hypot(u - K[0, 2], v - K[1, 2]) / K[0, 0]
    mask = np.sin(np.arctan(off_axis)) * 3 < RADIUS
    image = np.stack([20 * u, 25 * v, 200 * mask], -1).astype(np.uint8)
    poses = camera_ring(4, 3.0)
    photos = tuple(Photo(f"view_{i:03d}", image, mask, K, pose) for i, pose in enumerate(poses))
    lens = (0.05, -0.02, 0.01, 0.0) if format.lens and variant in (1, 2) else (0.0, ) * 4
    suffix = (".png", ".png", ".png", ".jpg", ".bmp", ".png")[variant]
    return Shoot(photos, suffix, variant != 5, 9, lens, np.diag([0.5, 0.5, 0.5, 1]) if variant % 2 else None, variant)


@cache
def sound(format_name: str, variant: int) -> dict[str, bytes]:
    """The files of a sound capture by name."""
    format = FORMATS[format_name]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        format.emit(ring(variant, format), folder)
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def assert_sane(capture: Capture) -> None:
    """Views that a method can train on: rays that are finite and of unit length, poses that are rigid, names that are text."""
    cameras, count = capture.cameras, len(capture)
    assert count and capture.images.dtype == torch.uint8 and min(capture.images.shape) > 0
    assert len(set(capture.names)) == count and all(n and n.encode() for n in capture.names)
    R = cameras.rotations
    assert torch.allclose(R @ R.transpose(1, 2), torch.eye(3).to(R), atol=5e-3) and (torch.linalg.det(R) > 0).all()
    assert torch.isfinite(cameras.world_to_cam).all() and torch.isfinite(cameras.K).all() and (cameras.K[:, [0, 1], [0, 1]]
                                                                                               > 0).all()
    corners = torch.tensor([[0.0, 0], [cameras.size[1], 0], [0, cameras.size[0]], cameras.size[::-1]])
    for scene in (cameras, capture.scene_cameras):
        rays = scene.to(torch.float32).rays(torch.arange(count).repeat_interleave(4), corners.repeat(count, 1))
        assert torch.isfinite(rays.origins).all()
        assert torch.allclose(rays.directions.norm(dim=-1), torch.ones(4 * count), atol=1e-4)
    assert capture.masks is None or capture.masks.shape == capture.images.shape[:3]


@pytest.mark.parametrize("variant", range(VARIANTS))
@pytest.mark.parametrize("format", FORMATS)
def test_what_is_damaged_here_was_sound(place, format, variant):
    folder = write(sound(format, variant), place())
    options = {"split": "all"} if (folder / "transforms_val.json").exists() else {}
    assert_sane(load_capture(folder, **options))
    assert len(load_capture(folder, **options)) == 4
    assert check_capture(folder, **options).ok


@pytest.mark.parametrize("format", FORMATS)
@given(data=st.data())
@fuzz(60)
def test_damaged_captures_are_read_or_refused(place, format, data):
    folder = write(sound(format, data.draw(st.integers(0, VARIANTS - 1))), place())
    damages = data.draw(st.lists(st.sampled_from(applicable(folder)), min_size=1, max_size=2))
    for damage in damages:
        note(damage.__name__)
        if any(p.is_file() for p in folder.rglob("*")):
            damage(data.draw, folder)
    read = outcome(lambda: load_capture(folder), folder)
    report = outcome(lambda: check_capture(folder), folder)
    assert isinstance(read, Capture) or not report.ok, report.to_text()
    report.to_text().encode()
    assert not Pickled.ran
    outcome(lambda: detect_format(folder), folder)
    if isinstance(read, Capture):
        assert_sane(read)


@pytest.mark.parametrize("format", FORMATS)
@given(data=st.data())
@fuzz(15)
def test_scenes_of_damaged_captures_are_normalised_or_refused(place, format, data):
    folder = write(sound(format, data.draw(st.integers(0, VARIANTS - 1))), place())
    data.draw(st.sampled_from(applicable(folder)))(data.draw, folder)
    ways = st.sampled_from(["auto", "cameras", "masks", "hull", "given"])
    reader = dict(true_cameras="cameras.npz") if format == "idr" else {}
    way = data.draw(ways)
    scene = outcome(lambda: load_scene(str(folder), way, test_views=0, reader=reader), folder)
    if not isinstance(scene, DataError):
        assert_sane(scene.train)


@pytest.mark.parametrize("format", FORMATS)
@given(data=st.data())
@fuzz(12)
def test_files_that_may_not_be_read_are_named(place, format, data):
    if not hasattr(os, "seteuid"):
        pytest.skip("needs an operating system with users")
    folder = write(sound(format, data.draw(st.integers(0, VARIANTS - 1))), place())
    for path in (folder, folder.parent, *folder.rglob("*")):
        path.chmod(0o755)
    load_capture(folder)
    check_capture(folder)
    locked = data.draw(st.sampled_from(sorted([folder, *folder.rglob("*")])))
    locked.chmod(data.draw(st.sampled_from([0, 0o444 if locked.is_dir() else 0o111])))
    with nobody():
        read = outcome(lambda: load_capture(folder), folder)
        outcome(lambda: check_capture(folder), folder)
        outcome(lambda: detect_format(folder), folder)
    locked.chmod(0o755)
    if isinstance(read, Capture):
        assert_sane(read)


@contextmanager
def nobody():
    """Without the rights of an administrator, to whom every file is open."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)

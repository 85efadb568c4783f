"""Two small synthetic rooms and their fused volumes, for tests of fragments and of NeuralRecon."""

import pytest

from deep3dmap.datasets.videos.prepared import Options, Source, Task, prepare_recording

SPACE = dict(size=(24, 24, 16), voxel_size=0.16)
VIEWS = dict(views=3, min_angle=5.0, min_distance=0.1)


@pytest.fixture(scope="session")
def small_rooms(tmp_path_factory) -> dict:
    """The config of the rooms: 12 frames of 64x48, rendered once."""
    cache = str(tmp_path_factory.mktemp("rooms"))
    return dict(type="SyntheticRooms", count=2, frames=12, size=(48, 64), cache=cache)


@pytest.fixture(scope="session")
def prepared_rooms(small_rooms, tmp_path_factory) -> str:
    """The folder of the volumes of the rooms for training."""
    folder = tmp_path_factory.mktemp("prepared")
    options = Options(**VIEWS, voxel_size=SPACE["voxel_size"], margin=3.0, levels=3, max_depth=3.0, every=1)
    for index in range(small_rooms["count"]):
        prepare_recording(Task(Source(small_rooms, "train", index), folder / f"train_{index:05d}.npz", options, False))
    return str(folder)

"""A synthetic room as a recording in files: ``deep3dmap prepare room``."""

from collections.abc import Callable
from pathlib import Path

from deep3dmap.datasets.captures.formats import check_new
from deep3dmap.datasets.rooms import SyntheticRoom, SyntheticRooms, write_recording
from deep3dmap.datasets.rooms.dataset import SPLITS
from deep3dmap.errors import ConfigError
from deep3dmap.io.files import atomic_folder
from deep3dmap.io.reading import reaching
from deep3dmap.ranges import Count, Whole


def prepare_room(output: str | Path,
                 *,
                 room: str = "test_00000",
                 frames: Count = 100,
                 stride: Count = 8,
                 width: Count = 320,
                 height: Count = 240,
                 depth_noise: bool = False,
                 seed: Whole = 0,
                 log: Callable[[str], object] = print) -> SyntheticRoom:
    """A video of a synthetic room with depth maps and poses, and the true surface. See ``docs/synthetic_rooms.md``.

    Args:
        output: new folder to write to, in the layout of 7-Scenes: pictures, depth maps, poses, true_mesh.ply.
        room: split and number of a room.
        frames: of the video.
        stride: step from one to the next, in frames at 30 Hz; 1 for a smooth video.
        width: of pictures and depth maps, pixels.
        height: of both, pixels.
        depth_noise: depth as a sensor measures it.
        seed: of all rooms.
        log: prints a line.

    Raises:
        ConfigError: if there is no such room.
        DataError: if the folder is not new or can't be written.
    """
    check_new(output)
    split, _, number = room.rpartition("_")
    if split not in SPLITS or not (number.isascii() and number.isdigit()):
        raise ConfigError(f"room={room}: expected a split ({', '.join(SPLITS)}) and a number, such as 'test_00000'")
    rooms = SyntheticRooms(split, int(number) + 1, frames, stride, (height, width), depth_noise, seed)
    with reaching(Path(output)), atomic_folder(output) as part:
        write_recording(rooms[int(number)], part)
    log(f"{output}: {frames} frames with depth maps and poses, true_mesh.ply (metres, z up)")
    return rooms[int(number)]

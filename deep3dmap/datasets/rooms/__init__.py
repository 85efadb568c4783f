"""Synthetic rooms: random furnished rooms, lit, walked through and filmed, with exact poses, depth maps and surfaces."""

from deep3dmap.datasets.rooms.dataset import SyntheticRoom, SyntheticRooms
from deep3dmap.datasets.rooms.writing import write_recording

__all__ = ["SyntheticRoom", "SyntheticRooms", "write_recording"]

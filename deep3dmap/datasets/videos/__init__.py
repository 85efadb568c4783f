"""Posed videos: readers of recordings, key frames and fragments, and the data set of them."""

from deep3dmap.datasets.videos.dataset import Fragments
from deep3dmap.datasets.videos.fragments import fragments, key_frames
from deep3dmap.datasets.videos.loading import find_recordings, load_recording
from deep3dmap.datasets.videos.space import FragmentSpace, RandomSpace
from deep3dmap.datasets.videos.whole import RecordingFrames, RecordingItem

__all__ = [
    "FragmentSpace", "Fragments", "RandomSpace", "RecordingFrames", "RecordingItem", "find_recordings", "fragments",
    "key_frames", "load_recording"
]

"""Hooks: logging, checkpoints, pictures."""

from deep3dmap.engine.hooks.checkpoint import CheckpointHook
from deep3dmap.engine.hooks.log import LogHook
from deep3dmap.engine.hooks.pictures import PictureHook

__all__ = ["CheckpointHook", "LogHook", "PictureHook"]

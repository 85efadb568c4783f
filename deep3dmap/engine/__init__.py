"""Runners, loops, hooks, checkpoints, launching: built on mmengine."""

from deep3dmap.engine import batches, hooks, launching, loops, optim, runner, testing, validation

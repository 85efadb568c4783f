"""The command line: parsing only. Commands import what they need when they run."""

from deep3dmap.cli.app import main

__all__ = ["main"]

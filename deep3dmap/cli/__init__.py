"""The command line: parsing only. What a command needs is imported when it runs."""

from deep3dmap.cli.app import main

__all__ = ["main"]

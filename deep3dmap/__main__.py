"""``python -m deep3dmap`` is the command ``deep3dmap``."""

import sys

from deep3dmap.cli.app import main

if __name__ == "__main__":
    sys.exit(main())

"""Writing files so that nobody ever sees half of one."""

import os
from pathlib import Path


def write_atomically(path: str | Path, data: bytes) -> Path:
    """Write a file beside its place and rename it; folders on the way are made.

    Whatever goes wrong, a file of that name that was there before stays as it was.

    Returns:
        The path written.

    Raises:
        OSError: if the place can't be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path

"""``deep3dmap download``: public data sets, fetched, checked and unpacked below the data folder.

The hosts of these sets publish no checksum. So the first download's SHA-256 is written to ``NAME.lock.json`` next to the data,
and every later download must match it; a known checksum can be passed. This guards against damage and against
a file that changes later, not against a first file that was already wrong.
"""

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from deep3dmap.datasets.heads.ict_face import packing as ict_face
from deep3dmap.errors import DataError
from deep3dmap.io.archives import file_sizes, unpack
from deep3dmap.io.fetching import Report, fetch
from deep3dmap.io.files import atomic_folder, remove, write_atomically
from deep3dmap.io.paths import data_root
from deep3dmap.io.reading import reading, sha256_of
from deep3dmap.registry import nearest


@dataclass(frozen=True)
class Source:
    """Where a public data set comes from: an archive, or single files that are packed into the set's own."""

    url: str
    """Of the archive, or of the folder that has the files."""
    about: str
    """One line: description and terms of use."""
    limit: int
    """Maximum unpacked size of its archive, or total size of its files."""
    sha256: str | None = None
    """Of the archive where its host publishes it, or of the files (:func:`digest_of_files`)."""
    files: tuple[str, ...] = ()
    """Paths of the files below the address; empty if the data set is an archive."""
    pack: Callable[[Path, Path], list[Path]] | None = None
    """Makes the data set from a folder with those files in a new folder."""


_MIDDLEBURY = "https://vision.middlebury.edu/mview/data/data"
SOURCES: dict[str, Source] = {
    "temple_sparse_ring":
    Source(f"{_MIDDLEBURY}/templeSparseRing.zip",
           "16 photographs of a plaster temple, calibrated (Middlebury; research use, cite "
           "Seitz et al., CVPR 2006)", 200_000_000),
    "dino_sparse_ring":
    Source(f"{_MIDDLEBURY}/dinoSparseRing.zip",
           "16 photographs of a plaster dinosaur, calibrated (Middlebury; research use, cite "
           "Seitz et al., CVPR 2006)", 200_000_000),
    "dtu_idr":
    Source("https://www.dropbox.com/s/ujmakiaiekdl6sh/DTU.zip?dl=1",
           "15 DTU scans with masks and cameras as IDR uses them, several GB "
           "(Yariv et al., NeurIPS 2020; DTU's terms)", 40_000_000_000),
    "ict_face":
    Source("https://raw.githubusercontent.com/ICT-VGL/ICT-FaceKit/da5f95a607f5e6b37755b38d3385d7f2853732e5",
           "a linear head model, 100 identity modes and 57 expressions; 160 files of 400 MB in all, packed into one of "
           "17 MB (ICT-FaceKit; MIT, cite Li et al., CVPR 2020)",
           1_000_000_000,
           "cebc70db53598b3c95256977012e1f6b7bec3c2771e6d65d0e602a71a00b9385",
           files=tuple(ict_face.FACEKIT.files()),
           pack=ict_face.pack),
}

ON_REQUEST = {
    "h3ds":
    "H3DS is given to researchers on request (non-commercial): ask for a token by the form that "
    "https://github.com/CrisalixSA/h3ds links to. Then `pip install h3ds` and "
    "`python -c \"from h3ds.dataset import H3DS; H3DS('{folder}').download(token='TOKEN')\"`, which unpacks slowly; or "
    "download the archive that page links to and `unzip -P TOKEN h3ds.zip -d {folder}`",
}
"""How to get data sets that can't be downloaded by name."""


def download(name: str,
             root: Path | None = None,
             *,
             url: str | None = None,
             sha256: str | None = None,
             force: bool = False) -> Path:
    """Fetch a public data set, check it and unpack (or pack) it to ``root/name``.

    An existing complete data set is kept. A broken transfer is resumed.

    Args:
        name: temple_sparse_ring, dino_sparse_ring, dtu_idr or ict_face.
        root: where data sets are stored (default: DEEP3DMAP_DATA, or data/).
        url: another address to fetch it from: of the same archive, or of the folder with the same files, or of an
            archive of that folder.
        sha256: checksum that the archive must have. Of single files: :func:`digest_of_files`.
        force: fetch again even if it is there. The folder is replaced.

    Returns:
        The data set's folder.

    Raises:
        DataError: unknown name, server not reached or without the file, transfer cut short, wrong checksum, damaged or
            malicious archive, disk full, or an incomplete existing folder.
    """
    if name in ON_REQUEST:
        raise DataError(f"{name}: {ON_REQUEST[name].format(folder=(root if root is not None else data_root()) / name)}")
    if name not in SOURCES:
        raise DataError(f"no data set '{name}': {nearest(name, SOURCES)}")
    source = SOURCES[name]
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256.strip()):
        raise DataError(f"'{sha256}' is not a SHA-256 checksum: 64 hexadecimal digits are expected")
    expected = sha256.strip().lower() if sha256 else source.sha256
    folder = (root if root is not None else data_root()) / name
    lock = folder.with_name(f"{name}.lock.json")
    if folder.exists() and not force:
        present = file_sizes(folder) if folder.is_dir() else {}
        wrong = [path for path, size in _recorded(lock).get("files", {}).items() if present.get(path) != size]
        if wrong:
            raise DataError(f"{folder}: {len(wrong)} of its files are missing or of another size than when it was downloaded "
                            f"(first: {wrong[0]}); download it again with --force")
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder.parent}: can't be created ({error.strerror}); pass another folder with --root or set "
                        "DEEP3DMAP_DATA") from None
    if not os.access(folder.parent, os.W_OK):
        raise DataError(f"{folder.parent}: can't be written to; pass another folder with --root or set DEEP3DMAP_DATA")
    address = url or source.url
    fetched = _fetched_files(folder, source, address, force) if source.files else _fetched_archive(folder, address, force)
    digest = _verified(fetched, source, expected, lock, address)
    with atomic_folder(folder, replace=True) as fresh:
        if source.pack is None:
            unpack(fetched, fresh, limit=source.limit)
        else:
            source.pack(fetched, fresh)
    record = {"url": address, "sha256": digest, "downloaded": time.strftime("%Y-%m-%d"), "files": file_sizes(folder)}
    write_atomically(lock, json.dumps(record, indent=1).encode())
    _forget(fetched)
    return folder


def _recorded(lock: Path) -> dict:
    """The record of a data set's first download, in ``NAME.lock.json`` next to its folder; empty if there is none."""
    if not lock.is_file():
        return {}
    with reading(lock, "a lock file", "delete it to create a new one"):
        content = json.loads(lock.read_text(encoding="utf-8"))
        content.get("files", {}).items()
        return content


def _fetched_archive(folder: Path, address: str, force: bool) -> Path:
    """The archive of a data set, next to its folder."""
    archive = folder.with_name(f"{folder.name}{_suffix(address)}")
    _expect(archive, address)
    if force or not archive.is_file():
        with _progress(archive.name) as report:
            fetch(address, archive, report)
    return archive


def _fetched_files(folder: Path, source: Source, address: str, force: bool) -> Path:
    """A folder next to the data set's with its single files; earlier downloads are kept."""
    place = folder.with_name(f"{folder.name}.files")
    _expect(place, address)
    if _suffix(address) != ".archive":
        archive = _fetched_archive(folder, address, force)
        remove(place)
        unpack(archive, place, limit=source.limit)
        _forget(archive)
        return place
    total = 0
    with _progress(folder.name) as report:
        for name in source.files:
            target = place.joinpath(*name.split("/"))
            if force or not target.is_file():
                fetch(f"{address.rstrip('/')}/{name}", target, lambda done, _, before=total: report(before + done, None))
            total += target.stat().st_size
            if total > source.limit:
                raise DataError(
                    f"{address}: its files have more than the {source.limit / 1e6:.0f} MB that are expected; they are "
                    f"in {place}")
    return place


def _expect(place: Path, address: str) -> None:
    """Remove what an earlier download from another address left; files placed there manually are kept."""
    mark = _mark(place)
    if mark.is_file() and mark.read_text(encoding="utf-8") != address:
        remove(place)
    if not place.exists():
        write_atomically(mark, address.encode())


def _forget(place: Path) -> None:
    remove(place)
    remove(_mark(place))


def _mark(place: Path) -> Path:
    """Where a download's address is stored while needed."""
    return place.with_name(f"{place.name}.url")


def digest_of_files(folder: Path, names: tuple[str, ...]) -> str:
    """One checksum of several files, in the order of their names: the SHA-256 of what ``sha256sum FILE... `` prints."""
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"{folder}: lacks {len(missing)} of the data set's {len(names)} files (first: {missing[0]}); the address "
            "leads to something else")
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in sorted(names)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _verified(fetched: Path, source: Source, expected: str | None, lock: Path, url: str) -> str:
    """The checksum of an archive or of files, compared with the expected or recorded one; mismatching files are removed."""
    digest = digest_of_files(fetched, source.files) if source.files else sha256_of(fetched)
    remembered = _recorded(lock).get("sha256")
    if digest == (expected or remembered or digest):
        if not expected and not remembered:
            _say(f"{fetched.name}: no published checksum is known; this one is recorded in {lock}: {digest}")
        return digest
    _forget(fetched)
    if expected:
        raise DataError(
            f"{url}: wrong checksum: expected sha256 {expected}, got {digest}; the file was damaged or is another one. "
            f"It was removed; try again")
    raise DataError(
        f"{url}: wrong checksum: an earlier download had sha256 {remembered}, this one has {digest}. It was removed; "
        f"if the publisher changed the file, delete {lock} and try again")


def _suffix(url: str) -> str:
    """The archive's suffix, from its address."""
    found = re.search(r"\.(zip|tar|tgz|tar\.(gz|bz2|xz))(?=$|[?#])", url.lower())
    return found.group(0) if found else ".archive"


@contextmanager
def _progress(what: str) -> Iterator[Report]:
    """A progress bar on a terminal, else a line per 10 %; on standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        printed = -1

        def plain(done: int, total: int | None) -> None:
            nonlocal printed
            step = done // max((total or 1_000_000_000) // 10, 1)  # 100 MB if the total is unknown
            if step > printed:
                printed = step
                _say(f"{what}: {done / 1e6:.1f} MB" + (f" of {total / 1e6:.1f} MB" if total else ""))

        yield plain
        return
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

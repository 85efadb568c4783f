"""Download one large file over HTTP to a ``.part`` file, resuming broken transfers; renamed only when complete."""

import http.client
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from deep3dmap.errors import DataError

CHUNK = 1 << 20
Report = Callable[[int, int | None], None]
"""Called with (bytes so far, total bytes or None if unknown) after each chunk."""


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raise a DataError unless a folder's disk has ``needed`` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(f"{folder}: {what} needs {needed / 1e6:.1f} MB but the disk has {free / 1e6:.1f} MB free; "
                        f"free some, or choose another folder")


@dataclass(frozen=True)
class Partial:
    """A possibly resumed transfer: the bytes so far, and which version of the file they belong to."""

    path: Path

    @property
    def tag_path(self) -> Path:
        """Where the server's version tag (ETag or date) is stored."""
        return self.path.with_name(self.path.name + ".json")

    def headers(self, url: str) -> dict[str, str]:
        """Request headers for the remaining bytes if the version is known; else none."""
        try:
            begun = json.loads(self.tag_path.read_text(encoding="utf-8"))
            have = self.path.stat().st_size
        except (OSError, ValueError):
            return {}
        if begun.get("url") != url or not begun.get("version") or not have:
            return {}
        return {"Range": f"bytes={have}-", "If-Range": begun["version"]}

    def begin(self, url: str, response) -> None:
        """Start over: discard earlier bytes, remember the new version."""
        self.path.write_bytes(b"")
        etag = response.headers.get("ETag", "")
        version = response.headers.get("Last-Modified") if etag.startswith("W/") or not etag else etag
        self.tag_path.write_text(json.dumps({"url": url, "version": version}), encoding="utf-8")

    def discard(self) -> None:
        """Remove the bytes and the version tag."""
        self.path.unlink(missing_ok=True)
        self.tag_path.unlink(missing_ok=True)


def fetch(url: str, target: Path, report: Report, *, attempts: int = 3, timeout: float = 30.0, pause: float = 1.0) -> None:
    """Download ``url`` to ``target``; a broken transfer is resumed, in this call or a later one.

    Args:
        url: ``http://`` or ``https://``.
        target: the file; incomplete data is kept in ``target.part``.
        report: progress callback.
        attempts: consecutive attempts without any data before giving up.
        timeout: seconds without a byte after which a connection counts as broken.
        pause: seconds before the second attempt, doubled with each further one.

    Raises:
        DataError: no such file on the server, server not reached, transfer cut short, or no space on the disk.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise DataError(f"{url}: only http:// and https:// addresses can be downloaded")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Partial(target.with_name(target.name + ".part"))
    failures = 0
    while True:
        before = _size(partial.path)
        try:
            _transfer(url, partial, report, timeout)
            break
        except urllib.error.HTTPError as error:
            if error.code < 500:
                _refused(url, error)
            problem = f"the server responded with {error.code} {error.reason}"
        except (OSError, http.client.HTTPException) as error:  # URLError and time-outs are OSErrors
            problem = str(getattr(error, "reason", error)) or type(error).__name__
        failures = 1 if _size(partial.path) > before else failures + 1
        if failures >= attempts:
            _gave_up(url, target, partial, problem)
        time.sleep(pause * 2**(failures - 1))
    partial.path.replace(target)
    partial.discard()


def _transfer(url: str, partial: Partial, report: Report, timeout: float) -> None:
    """One request; appends the response to the partial file. Raises what urllib raises, IncompleteRead where cut short."""
    headers = {"User-Agent": "deep3dmap", "Accept-Encoding": "identity"} | partial.headers(url)
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        if error.headers.get("Content-Range", "").endswith(f"/{_size(partial.path)}"):
            return  # complete already; only the renaming was missing
        partial.discard()
        raise http.client.HTTPException("the partial file did not fit the server's") from None
    with response:
        if response.status != 206 or not _continues(response, _size(partial.path)):
            if response.status == 206:
                partial.discard()
                raise http.client.HTTPException("the server sent another range of the file than requested")
            partial.begin(url, response)
        _append(response, partial.path, report)


def _append(response, path: Path, report: Report) -> None:
    """Append a response's bytes to a file and check that its announced length arrived."""
    length = response.headers.get("Content-Length")
    done = _size(path)
    total = done + int(length) if length is not None else None
    if total is not None:
        require_space(path.parent, total - done, "the rest of the download")
    with open(path, "ab") as file:
        report(done, total)
        while piece := response.read(CHUNK):
            file.write(piece)
            done += len(piece)
            report(done, total)
    if total is not None and done < total:
        raise http.client.IncompleteRead(b"", total - done)


def _continues(response, have: int) -> bool:
    """Whether a 206 answer starts where the partial file ends."""
    return response.headers.get("Content-Range", "").replace(" ", "").startswith(f"bytes{have}-")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _refused(url: str, error: urllib.error.HTTPError) -> NoReturn:
    hint = "the file may have moved: pass its new address with --url" if error.code in (
        404, 410) else "try again later, or pass --url"
    raise DataError(f"{url}: the server responded with {error.code} {error.reason}; {hint}") from None


def _gave_up(url: str, target: Path, partial: Partial, problem: str) -> NoReturn:
    have = _size(partial.path)
    state = f"{have / 1e6:.1f} MB are kept in {partial.path}; the same command resumes from there" if have else \
        f"check the network; or fetch the file by other means, put it at {target}, and run the same command"
    raise DataError(f"{url}: the download did not complete ({problem}); {state}") from None

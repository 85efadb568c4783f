import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from deep3dmap.errors import DataError
from deep3dmap.io.fetching import fetch
from deep3dmap.io.reading import sha256_of
from tests.io.local_server import serve

CONTENT = os.urandom(3_000_000)


def silent(done, total):
    """Progress that nobody watches."""


def get(server, target: Path, **options):
    fetch(server.url, target, silent, pause=0.01, **options)


def test_the_file_arrives_whole_and_leaves_no_partial_file(tmp_path):
    with serve(CONTENT) as server:
        get(server, tmp_path / "scan.zip")
    assert (tmp_path / "scan.zip").read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["scan.zip"]


def test_progress_ends_at_the_announced_size(tmp_path):
    seen = []
    with serve(CONTENT) as server:
        fetch(server.url, tmp_path / "scan.zip", lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, len(CONTENT)) and seen[-1] == (len(CONTENT), len(CONTENT)) and seen == sorted(seen)


def test_a_later_call_asks_only_for_the_rest(tmp_path):
    target = tmp_path / "scan.zip"
    with serve(CONTENT, cut_after=[1_000_000]) as server:
        with pytest.raises(DataError, match="1.0 MB are kept in .*scan.zip.part; the same command"):
            get(server, target, attempts=1)
        get(server, target)
        assert server.sent == [1_000_000, len(CONTENT) - 1_000_000]
    assert target.read_bytes() == CONTENT


def test_broken_transfers_are_taken_up_within_one_call(tmp_path):
    with serve(CONTENT, cut_after=[1_000_000, 500_000, 0]) as server:
        get(server, tmp_path / "scan.zip")
        assert server.sent == [1_000_000, 500_000, 0, 1_500_000]
    assert (tmp_path / "scan.zip").read_bytes() == CONTENT


def test_a_file_that_changed_on_the_server_is_fetched_from_its_start(tmp_path):
    target = tmp_path / "scan.zip"
    with serve(CONTENT, cut_after=[1_000_000]) as server:
        with pytest.raises(DataError):
            get(server, target, attempts=1)
        server.etag, server.content = '"v2"', CONTENT[::-1]
        get(server, target)
        assert server.sent[-1] == len(CONTENT)
    assert target.read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("behaviour", [{"ranges": False}, {"etag": None}], ids=["no ranges", "no version"])
def test_without_a_safe_way_to_continue_the_file_is_fetched_from_its_start(tmp_path, behaviour):
    target = tmp_path / "scan.zip"
    with serve(CONTENT, cut_after=[1_000_000], **behaviour) as server:
        with pytest.raises(DataError):
            get(server, target, attempts=1)
        get(server, target)
        assert server.sent[-1] == len(CONTENT)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("more, sent", [(b"", [1_000_000]), (b"more", [1_000_000, len(CONTENT)])])
def test_a_whole_partial_file_is_not_fetched_again_and_a_longer_one_is(tmp_path, more, sent):
    target = tmp_path / "scan.zip"
    with serve(CONTENT, cut_after=[1_000_000]) as server:
        with pytest.raises(DataError):
            get(server, target, attempts=1)
        (tmp_path / "scan.zip.part").write_bytes(CONTENT + more)
        get(server, target)
        assert server.sent == sent
    assert target.read_bytes() == CONTENT


def test_a_transfer_that_is_always_cut_short_fails_and_leaves_no_file(tmp_path):
    with serve(CONTENT, cut_after=[0] * 3) as server:
        with pytest.raises(DataError, match="did not complete"):
            get(server, tmp_path / "scan.zip")
        assert server.sent == [0, 0, 0]
    assert not (tmp_path / "scan.zip").exists()


def test_a_missing_file_is_reported_at_once_with_its_address(tmp_path):
    with serve(CONTENT) as server:
        with pytest.raises(DataError, match="gone.zip: .*404 Not Found; .*--url"):
            fetch(f"{server.address}/gone.zip", tmp_path / "scan.zip", silent)


def test_a_server_that_is_overloaded_for_a_moment_is_asked_again(tmp_path):
    with serve(CONTENT, statuses=[503, 500]) as server:
        get(server, tmp_path / "scan.zip")
        assert not server.statuses
    assert (tmp_path / "scan.zip").read_bytes() == CONTENT


def test_no_server_is_reported_with_a_way_to_do_without(tmp_path):
    with serve(CONTENT) as server:
        url = server.url
    with pytest.raises(DataError, match="Connection refused.*put it at .*scan.zip"):
        fetch(url, tmp_path / "scan.zip", silent, pause=0.01)


def test_other_kinds_of_addresses_are_refused(tmp_path):
    with pytest.raises(DataError, match="only http"):
        fetch("file:///etc/hosts", tmp_path / "scan.zip", silent)


def test_a_full_disk_is_noticed_before_it_is_written_to(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: namedtuple("Usage", "free")(1_000_000))
    with serve(CONTENT) as server:
        with pytest.raises(DataError, match="needs 3.0 MB but the disk has 1.0 MB free"):
            get(server, tmp_path / "scan.zip")
    assert (tmp_path / "scan.zip.part").stat().st_size == 0


def test_the_checksum_is_that_of_the_standard_for_abc(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

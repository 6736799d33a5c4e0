"""The one writer of files: whole or not there, flushed, and nothing left behind."""

import errno
import os
import time
from unittest import mock

import pytest

from yolo26_attention.files.atomic import ABANDONED_SECONDS, atomic, write_atomically


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", ["text é", b"bytes", memoryview(b"view")])
def test_what_is_written_is_there_and_nothing_else(content, tmp_path):
    write_atomically(tmp_path / "a.json", content)
    expected = content.encode() if isinstance(content, str) else bytes(content)
    assert (tmp_path / "a.json").read_bytes() == expected
    assert names(tmp_path) == ["a.json"]


def test_the_old_content_stands_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with atomic(path) as partial:
        partial.write_text("half")
        assert path.read_text() == "old"
        partial.write_text("new")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.json"]


def test_a_failed_block_leaves_the_old_content_and_no_partial_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")

    def write_half():
        with atomic(path) as partial:
            partial.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        write_half()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


def test_a_disk_that_cannot_flush_leaves_the_old_content(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with (
        mock.patch("yolo26_attention.files.atomic.os.fsync", side_effect=OSError(errno.ENOSPC, "full")),
        pytest.raises(OSError, match="full"),
    ):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


def synced(tmp_path, monkeypatch):
    """The order of flushes and renames of one write."""
    order, fsync, replace = [], os.fsync, os.replace

    def flush(descriptor):
        order.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        fsync(descriptor)

    def rename(*paths):
        order.append("rename")
        replace(*paths)

    monkeypatch.setattr("yolo26_attention.files.atomic.os.fsync", flush)
    monkeypatch.setattr("yolo26_attention.files.atomic.os.replace", rename)
    write_atomically(tmp_path / "a.json", "new")
    return order


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="asks Linux what a descriptor stands for")
def test_the_file_is_flushed_before_it_is_renamed_and_the_folder_after(tmp_path, monkeypatch):
    assert synced(tmp_path, monkeypatch) == ["file", "rename", "folder"]


def test_a_folder_that_cannot_be_flushed_is_no_error(tmp_path):
    fsync = os.fsync

    def only_files(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, "not on this file system")
        fsync(descriptor)

    with mock.patch("yolo26_attention.files.atomic.os.fsync", only_files):
        write_atomically(tmp_path / "a.json", "new")
    assert (tmp_path / "a.json").read_text() == "new"


def test_a_folder_whose_disk_fails_is_an_error(tmp_path):
    fsync = os.fsync

    def only_files(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EIO, "broken")
        fsync(descriptor)

    with mock.patch("yolo26_attention.files.atomic.os.fsync", only_files), pytest.raises(OSError, match="broken"):
        write_atomically(tmp_path / "a.json", "new")


def test_what_a_killed_process_left_goes_with_the_next_write_of_that_file(tmp_path):
    old = tmp_path / "a[1].json.0123456789ab.partial"
    fresh = tmp_path / "a[1].json.ba9876543210.partial"  # of a process that is writing at this moment
    other = tmp_path / "b.json.0123456789ab.partial"
    for path in (old, fresh, other):
        path.write_text("half")
    long_ago = time.time() - ABANDONED_SECONDS - 1
    for path in (old, other):
        os.utime(path, (long_ago, long_ago))
    write_atomically(tmp_path / "a[1].json", "new")
    assert names(tmp_path) == ["a[1].json", fresh.name, other.name]

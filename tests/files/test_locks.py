"""Locks: one process at a run, and words where a disk has none."""

import errno
import os
import pickle
import re
import socket
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from yolo26_attention.files import locks
from yolo26_attention.files.locks import LockError, holder, is_locked, only_within_this_machine, run_lock
from yolo26_attention.files.record import RunHeldError, RunSkippedError


def test_lock_keeps_a_second_process_off(tmp_path):
    with run_lock(tmp_path / "a.lock"):
        with pytest.raises(RunSkippedError, match=r"another process \(pid .* holds"), run_lock(tmp_path / "a.lock"):
            pass
        with run_lock(tmp_path / "b.lock"):
            pass
    with run_lock(tmp_path / "a.lock"):
        pass


def test_a_lock_goes_with_a_killed_process_and_its_file_stays_without_meaning(tmp_path):
    path = tmp_path / "a.lock"
    program = (
        "import sys, time; from pathlib import Path; from yolo26_attention.files.locks import run_lock\n"
        f"with run_lock(Path({str(path)!r})): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        assert is_locked(path)
    finally:
        holder.kill()
        holder.wait()
    assert path.exists()
    assert not is_locked(path)
    with run_lock(path):
        pass


def test_an_error_inside_gives_the_lock_back(tmp_path):
    with pytest.raises(KeyError), run_lock(tmp_path / "a.lock"):
        raise KeyError
    assert not is_locked(tmp_path / "a.lock")


def test_whether_a_process_is_at_a_run(tmp_path):
    path = tmp_path / "a.lock"
    assert not is_locked(path)
    assert not path.exists()  # asking leaves nothing behind
    with run_lock(path):
        assert is_locked(path)
    assert path.exists()
    assert not is_locked(path)


def test_a_lock_waits_for_somebody_who_only_asks(tmp_path):
    path = tmp_path / "a.lock"
    asking = locks._lock(path)
    asking.acquire()
    naps = []

    def nap(seconds):
        naps.append(seconds)
        asking.release()

    with mock.patch("filelock._api.time.sleep", nap), run_lock(path):
        pass
    assert naps


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_refused_in_words(error, tmp_path):
    def missing(*_):
        raise OSError(error, os.strerror(error))

    said = rf"a.lock cannot be locked \({os.strerror(error)}\): without locks two processes .* another disk"
    with mock.patch("filelock._unix.fcntl.flock", missing):
        with pytest.raises(LockError, match=said), run_lock(tmp_path / "a.lock"):
            pytest.fail("ran without a lock")
        (tmp_path / "a.lock").touch()
        assert not is_locked(tmp_path / "a.lock")


def test_a_lock_file_that_cannot_be_opened_is_refused_in_words(tmp_path):
    (tmp_path / "a.lock").mkdir()  # as with another user's file, also for root
    with pytest.raises(LockError, match=r"a.lock cannot be locked \(.*\): the file must be writable .* output_dir"):
        with run_lock(tmp_path / "a.lock"):
            pytest.fail("ran without a lock")


def test_anybody_may_ask_whether_a_run_is_locked(tmp_path):
    before = os.umask(0o077)
    try:
        with run_lock(tmp_path / "a.lock"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "a.lock").stat().st_mode & 0o777 == 0o666


@pytest.mark.parametrize(
    ("mount", "said"),
    [
        ("nfs4 rw,vers=4.2,local_lock=none", None),
        ("nfs rw,vers=3,nolock,local_lock=all", "is mounted as nfs with nolock"),
        ("nfs rw,vers=3,local_lock=flock", "is mounted as nfs with local_lock=flock"),
        ("nfs4 rw,local_lock=all", "is mounted as nfs4 with local_lock=all"),
        ("lustre rw,flock", None),
        ("lustre rw,localflock", "is mounted as lustre with localflock"),
        ("cifs rw,nobrl", "is mounted as cifs with nobrl"),
        ("fuse.sshfs rw", "is mounted as fuse.sshfs"),
        ("ext4 rw,nolock", None),
    ],
)
def test_a_mount_whose_locks_other_machines_do_not_see_is_named(mount, said, tmp_path, monkeypatch):
    place = tmp_path / "my disk"
    place.mkdir()
    mounts = tmp_path / "mounts"
    point = str(place).replace(" ", "\\040")
    mounts.write_text(f"disk / ext4 rw 0 0\nserver:/a {point} {mount} 0 0\nserver:/b {point}-2 fuse.sshfs rw 0 0\n")
    monkeypatch.setattr(locks, "MOUNTS", mounts)
    found = only_within_this_machine(place / "outputs")
    assert found == (None if said is None else f"{place} {said}")
    assert only_within_this_machine(tmp_path) is None


def test_without_a_list_of_mounts_nothing_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "MOUNTS", tmp_path / "none")
    assert only_within_this_machine(tmp_path) is None


def test_the_holder_is_named_with_its_machine_and_since_when(tmp_path):
    path = tmp_path / "a.lock"
    with run_lock(path):
        said = holder(path)
        assert re.fullmatch(rf"pid {os.getpid()} on {socket.gethostname()}, since \d{{4}}-\d\d-\d\d \d\d:\d\d", said)
        with pytest.raises(RunHeldError, match=rf"^another process \({said}\) holds {path}: .* wait") as error:
            with run_lock(path):
                pass
        again = pickle.loads(pickle.dumps(error.value))  # by a launcher
        assert (str(again), again.process) == (str(error.value), f"another process ({said})")
        assert is_locked(path)
        assert holder(path) == said  # asking does not erase it
    assert holder(path) == ""


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="by-an-earlier-version"),
        pytest.param('{"pid": 1', id="half"),
        pytest.param("[1]", id="other"),
        pytest.param('{"pid": 0, "host": "a", "since": 0}', id="no-process"),
        pytest.param('{"pid": 1, "host": "a", "since": 1e300}', id="no-time"),
        pytest.param(f'{{"pid": 99999999, "host": "{socket.gethostname()}", "since": 0}}', id="ended"),
    ],
)
def test_what_a_killed_process_left_names_nobody(content, tmp_path):
    (tmp_path / "a.lock").write_text(content)
    assert holder(tmp_path / "a.lock") == ""


def test_a_holder_that_cannot_sign_holds_all_the_same(tmp_path):
    with (
        mock.patch.object(Path, "write_text", side_effect=OSError(errno.ENOSPC, "full")),
        run_lock(tmp_path / "a.lock"),
    ):
        assert is_locked(tmp_path / "a.lock")
        assert str(RunHeldError("", "holds it")) == "another process holds it"

"""Operating-system locks that allow one process per run; a lock ends with its process, however that ends.

The lock file stays, and its existence has no meaning: only a process that holds it matters. While one does, the file
says which, for messages. On a network disk the lock works between machines if the server supports locks.
`only_within_this_machine` reports mount options that limit locks to one machine; on a disk without locks, runs are
refused.
"""

import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from yolo26_attention.files.folder import OutputFolder
from yolo26_attention.files.record import RunHeldError, RunSkippedError

PATIENCE_SECONDS = 0.1  # `is_locked` also holds a lock for an instant
ANYBODY = 0o666  # so that `status=true` of another user can test it
MOUNTS = Path("/proc/self/mounts")
# By file system type: mount options that limit its locks to this machine ("" for any).
LOCAL_LOCKS = {
    "nfs": ("nolock", "local_lock=flock", "local_lock=all"),
    "nfs4": ("local_lock=flock", "local_lock=all"),
    "lustre": ("localflock",),
    "cifs": ("nobrl",),
    "smb3": ("nobrl",),
    "fuse.sshfs": ("",),
}


# Errors of file systems without locks.
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


class LockError(RunSkippedError):
    """The run is skipped because it cannot be locked; the message says what to do."""


def lock_file(output_dir: Path, run: str) -> Path:
    """Path of a run's lock, from the name of the run's folder."""
    return OutputFolder(output_dir).locks / f"{run}.lock"


@contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a run.

    Raises:
        RunHeldError: if another process holds the lock.
        LockError: if the disk has no locks, or the lock file cannot be opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock(path)
    try:
        lock.acquire(timeout=PATIENCE_SECONDS, poll_interval=PATIENCE_SECONDS / 5)
    except Timeout as error:
        raise RunHeldError(
            holder(path), f"holds {path}: it is training this run; wait for it, or change a setting"
        ) from error
    except OSError as error:
        way_out = "the file must be writable by all who train; change its permissions, or choose another output_dir"
        if error.errno in NO_LOCKS:
            way_out = (
                "without locks two processes could train the same run; put output_dir on another disk, or "
                "mount this one with locks (NFS with lockd, Lustre with -o flock)"
            )
        raise LockError(f"{path} cannot be locked ({error.strerror}): {way_out}") from error
    _sign(path, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}))
    try:
        yield
    finally:
        _sign(path, "")
        lock.release()


def holder(path: Path) -> str:
    """Describe the process that holds a lock: its number, its machine and since when.

    Call it when the lock is known to be held. A holder signs at once. Until then, what a killed process left in
    the file names nobody, unless that process was on another machine.

    Returns:
        Empty if the file does not say it.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        pid, host, since = int(found["pid"]), str(found["host"]), float(found["since"])
        begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(since))
    except (OSError, ValueError, TypeError, KeyError, OverflowError):  # not signed, or by an earlier version
        return ""
    if pid < 1 or (host == socket.gethostname() and not _alive(pid)):
        return ""
    return f"pid {pid} on {host}, since {begun}"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _sign(path: Path, text: str) -> None:
    """Write into a lock file that this process holds; a message can do without it, so a full disk is no error here."""
    with suppress(OSError):
        path.write_text(text, encoding="utf-8")


def is_locked(path: Path) -> bool:
    """Whether a process holds this lock; False if the disk cannot tell."""
    if not path.exists():
        return False
    lock = _lock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


def only_within_this_machine(folder: Path) -> str | None:
    """Describe why locks in a folder do not work between machines; None if no mount option prevents it."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return None
    mounts = [line.split(" ") for line in lines if len(line.split(" ")) >= 4]
    place = folder.resolve()
    around = [mount for mount in mounts if place.is_relative_to(_unescaped(mount[1]))]
    if not around:
        return None
    # Of mounts with equally long paths, the last one hides the others.
    _, point, kind, options, *_ = max(around, key=lambda mount: len(mount[1]))
    found = [option for option in LOCAL_LOCKS.get(kind, ()) if not option or option in options.split(",")]
    return f"{_unescaped(point)} is mounted as {' with '.join(filter(None, [kind, found[0]]))}" if found else None


def _lock(path: Path) -> FileLock:
    return FileLock(path, mode=ANYBODY, fallback_to_soft=False, thread_local=False)


def _unescaped(point: str) -> str:
    """Decode the octal escapes of blanks in a mount point."""
    return os.fsdecode(point.encode("latin-1", "replace").decode("unicode_escape").encode("latin-1", "replace"))

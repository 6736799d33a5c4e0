"""Locks that keep a second process off a run, by the operating system: they go with their process, however it ends.

The lock file itself stays and means nothing: what counts is whether a process holds it. On a network disk the lock
holds between machines if the disk's server knows locks; where a mount option keeps locks within one machine,
`only_within_this_machine` says so, and where there are none, a run is refused.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from yolo26_attention.files.record import RunSkippedError

PATIENCE_SECONDS = 0.1  # `is_locked` holds a lock for an instant, too
ANYBODY = 0o666  # so that somebody else's `status=true` can ask for it
MOUNTS = Path("/proc/self/mounts")
# By type of file system: options with which its locks are seen by this machine alone ("" for any).
LOCAL_LOCKS = {
    "nfs": ("nolock", "local_lock=flock", "local_lock=all"),
    "nfs4": ("local_lock=flock", "local_lock=all"),
    "lustre": ("localflock",),
    "cifs": ("nobrl",),
    "smb3": ("nobrl",),
    "fuse.sshfs": ("",),
}


# What a file system answers that has no locks.
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


class LockError(RunSkippedError):
    """A run that is left alone because nothing would keep a second process off it; the message says what to do."""


def lock_file(output_dir: Path, run: str) -> Path:
    """Where the lock of a run lies, by the name of the run's folder."""
    return output_dir / "locks" / f"{run}.lock"


@contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Keep a second process off a run.

    Raises:
        RunSkippedError: if another process holds the lock.
        LockError: if the disk has no locks, or the lock's file cannot be opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock(path)
    try:
        lock.acquire(timeout=PATIENCE_SECONDS, poll_interval=PATIENCE_SECONDS / 5)
    except Timeout as error:
        raise RunSkippedError(
            f"another process holds {path}: it is at this very run; wait for it, or change a setting"
        ) from error
    except OSError as error:
        way_out = "its file must be writable for whoever trains; change its permissions, or choose another output_dir"
        if error.errno in NO_LOCKS:
            way_out = (
                "without locks two processes could train one run into one folder; put output_dir on another disk, or "
                "have this one mounted with locks (NFS with lockd, Lustre with -o flock)"
            )
        raise LockError(f"{path} cannot be locked ({error.strerror}): {way_out}") from error
    try:
        yield
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Whether a process is at the run of this lock; False where the disk does not tell."""
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
    """Why locks in a folder do not hold between machines, as the end of a sentence; None if nothing says so."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return None
    mounts = [line.split(" ") for line in lines if len(line.split(" ")) >= 4]
    place = folder.resolve()
    around = [mount for mount in mounts if place.is_relative_to(_unescaped(mount[1]))]
    if not around:
        return None
    # The last one of equal length lies over those before it.
    _, point, kind, options, *_ = max(around, key=lambda mount: len(mount[1]))
    found = [option for option in LOCAL_LOCKS.get(kind, ()) if not option or option in options.split(",")]
    return f"{_unescaped(point)} is mounted as {' with '.join(filter(None, [kind, found[0]]))}" if found else None


def _lock(path: Path) -> FileLock:
    return FileLock(path, mode=ANYBODY, fallback_to_soft=False, thread_local=False)


def _unescaped(point: str) -> str:
    """A mount point with its blanks, which are written as octal numbers."""
    return os.fsdecode(point.encode("latin-1", "replace").decode("unicode_escape").encode("latin-1", "replace"))

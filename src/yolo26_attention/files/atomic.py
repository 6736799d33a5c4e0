"""Atomic file writes: write to a temporary file, flush it to disk, rename it into place."""

import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

PARTIAL = ".partial"
# No write takes this long: the process that left a file unfinished and untouched is dead, on any machine.
ABANDONED_SECONDS = 3600
# Errors of file systems that cannot flush a folder.
NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.EPERM, errno.EBADF}


def write_atomically(path: Path, content: str | bytes | memoryview) -> None:
    """Replace a file atomically, so that readers never see a part of it; text is written as UTF-8.

    Raises:
        OSError: if it cannot be written; the existing file stays.
    """
    with atomic(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to; at the end of the block it replaces `path`.

    The temporary name has another suffix, and the folder must exist. If the block fails, the file is removed; if the
    process is killed, the next writer removes it.

    Raises:
        OSError: if the content cannot be flushed or moved; the existing file stays.
    """
    for leftover in path.parent.glob(f"{escape(path.name)}.*{PARTIAL}"):
        with suppress(FileNotFoundError):  # another process was faster
            if time.time() - leftover.stat().st_mtime > ABANDONED_SECONDS:
                leftover.unlink()
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}{PARTIAL}")
    try:
        yield partial
        move_into_place(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partial(folder: Path) -> None:
    """Remove unfinished files of killed processes below a folder that no other process writes to."""
    for leftover in folder.rglob(f"*{PARTIAL}"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)


def move_into_place(written: Path, path: Path) -> None:
    """Flush a written file to disk and rename it to `path`, on the same file system.

    Raises:
        OSError: if either fails.
    """
    with written.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(written, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, if the file system can, so that a rename survives a power cut."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows cannot open a folder
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)

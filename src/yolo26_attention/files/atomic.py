"""Files that are whole or not there: written beside their place, flushed to disk, renamed into place."""

import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PARTIAL = ".partial"
# Nobody writes for so long: a process that left a file unfinished and untouched is gone, whatever its machine.
ABANDONED_SECONDS = 3600
# What file systems answer that cannot flush a folder.
NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.EPERM, errno.EBADF}


def write_atomically(path: Path, content: str | bytes | memoryview) -> None:
    """Replace a file in one step, so that no reader ever sees half of it; text is written as UTF-8.

    Raises:
        OSError: if it cannot be written; the file that was there stays.
    """
    with atomic(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; what is there at the end of the block takes the place of `path`.

    The yielded name has another suffix, and the folder must exist. If the block fails, nothing is left behind; what a
    killed process left behind here is removed by the next writer.

    Raises:
        OSError: if the content cannot be flushed or moved; the file that was there stays.
    """
    for leftover in path.parent.glob(f"{_escaped(path.name)}.*{PARTIAL}"):
        with suppress(FileNotFoundError):  # another process was quicker
            if time.time() - leftover.stat().st_mtime > ABANDONED_SECONDS:
                leftover.unlink()
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}{PARTIAL}")
    try:
        yield partial
        move_into_place(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partial(folder: Path) -> None:
    """Remove what killed processes left unfinished anywhere below a folder that nobody else writes to now."""
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
    """Flush a folder's entries to disk, so that a rename outlives a power cut; where a folder can be flushed."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folder
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)


def _escaped(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)

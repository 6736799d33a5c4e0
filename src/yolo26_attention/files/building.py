"""Folders that are complete or absent: filled under a temporary name, then renamed."""

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

STALE_SECONDS = 3600  # a temporary folder this old belongs to a builder that was killed


@contextmanager
def build_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder` to fill; at the end of the block it becomes `folder`.

    Of several builders, the first wins, and the work of the others is removed. If the block fails, the temporary folder
    is removed; if the process is killed, a later builder removes it.

    Raises:
        OSError: if the folder cannot be made or renamed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(folder)
    building = _sibling(folder)
    building.mkdir()
    try:
        yield building
        try:
            building.rename(folder)
        except OSError:
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def discard_folder(folder: Path) -> None:
    """Remove a folder, first from its name, so that no reader sees a part of it."""
    away = _sibling(folder)
    with suppress(FileNotFoundError):  # another process was faster
        folder.rename(away)
        shutil.rmtree(away, ignore_errors=True)


def _remove_stale(folder: Path) -> None:
    for old in folder.parent.glob(f".{escape(folder.name)}.*"):
        with suppress(FileNotFoundError):  # its owner finished in the meantime
            if time.time() - old.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(old, ignore_errors=True)


def _sibling(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}")

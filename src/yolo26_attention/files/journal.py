"""The journal of a run: one JSON object per line, for every epoch and every event that changes the experiment."""

import json
import logging
import os
import time
from functools import cache
from pathlib import Path
from typing import Any

from yolo26_attention.files.atomic import write_atomically

log = logging.getLogger(__name__)
# Events of the processes, not of the training: they stay when the training returns to an earlier epoch.
OF_PROCESSES = {"resume", "checkpoint_damaged"}


def append_entry(journal: Path, event: str, **details: Any) -> None:
    """Append one line and flush it to disk; an unfinished line of a killed process stays on its own line."""
    line = json.dumps({"event": event, "time": time.time(), **details}) + "\n"
    with journal.open("ab+") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else "\n" + line
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Read the journal's entries in order; damaged lines are skipped with a warning.

    An unfinished last line is skipped without a warning: it is being written, or its process was killed.
    """
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = text.split("\n")
    entries = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if (entry := _entry(line)) is not None:
            entries.append(entry)
        elif number < len(lines):
            _tell(path, number)
    return entries


@cache
def _tell(path: Path, number: int) -> None:
    """Warn only once, because a journal is read each epoch."""
    log.warning("%s: line %d is damaged and skipped; it was truncated or overwritten", path, number)


def restore_journal(journal: Path, text: str) -> None:
    """Restore the journal to an earlier text, including lines that a power cut may have lost."""
    entries = [entry for line in text.splitlines() if (entry := _entry(line)) is not None]
    late = [entry for entry in read_journal(journal) if entry["event"] in OF_PROCESSES and entry not in entries]
    write_atomically(journal, "".join(json.dumps(entry) + "\n" for entry in [*entries, *late]))


def _entry(line: str) -> dict[str, Any] | None:
    """Parse the entry in a line; None if it holds none."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and "event" in entry else None

"""The journal of a run: one JSON object a line, for every epoch and for every event that changes the experiment."""

import json
import time
from pathlib import Path
from typing import Any

from src.files import write_atomically

# Of the processes that a run took, not of its training: they stay when its training goes back to an earlier epoch.
OF_PROCESSES = {"resume", "checkpoint_damaged"}


def append_entry(journal: Path, event: str, **details: Any) -> None:
    """Append one line."""
    with journal.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"event": event, "time": time.time(), **details}) + "\n")


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The journal's entries, in order; a last line cut short by a killed process is left out."""
    if not path.exists():
        return []
    entries = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return entries


def restore_journal(journal: Path, text: str) -> None:
    """Put the journal back to an earlier text, which also holds what a power cut may have lost."""
    entries = [json.loads(line) for line in text.splitlines()]
    late = [entry for entry in read_journal(journal) if entry["event"] in OF_PROCESSES and entry not in entries]
    write_atomically(journal, "".join(json.dumps(entry) + "\n" for entry in [*entries, *late]))

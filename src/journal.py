"""The journal of a run: one JSON object a line, for every epoch and for every event that changes the experiment."""

import json
import time
from pathlib import Path
from typing import Any


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

"""The journal of a run: one JSON object per line, for every epoch and every event that changes the experiment."""

import json
import logging
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from yolo26_attention.files.atomic import write_atomically

log = logging.getLogger(__name__)
LATEST = 5  # epochs from which the next ones are estimated; the first one is often slower


class Trait(Enum):
    """What kinds of entries have in common."""

    EXPECTED = "every run has it, so it is no event"
    OF_PROCESS = "it stays when the training returns to an earlier epoch"
    HARMLESS = "it leaves the numbers of a run as they would have been"


class Kind(StrEnum):
    """Every kind of entry, with its traits."""

    traits: frozenset[Trait]

    def __new__(cls, name: str, *traits: Trait) -> "Kind":
        """Create a kind from its name on disk and its traits."""
        kind = str.__new__(cls, name)
        kind._value_ = name
        kind.traits = frozenset(traits)
        return kind

    # What a training began with: `files.start`.
    WEIGHTS = "weights", Trait.EXPECTED
    GRAFT = "graft", Trait.EXPECTED
    OPTIMIZER = "optimizer", Trait.EXPECTED
    TRAINING = "training", Trait.EXPECTED
    EPOCH = "epoch", Trait.EXPECTED
    BATCH_HALVED = "batch_halved"
    CHECKPOINT_DAMAGED = "checkpoint_damaged", Trait.OF_PROCESS
    CLOCK_SET = "clock_set", Trait.HARMLESS
    DATA_REWRITTEN = "data_rewritten"
    HARDWARE_CHANGED = "hardware_changed"
    IMAGES_DROPPED = "images_dropped"
    NAN_RECOVERY = "nan_recovery"
    RESUME = "resume", Trait.OF_PROCESS, Trait.HARMLESS
    TRACKING_LOST = "tracking_lost", Trait.HARMLESS


@dataclass(frozen=True)
class Entry:
    """One line of the journal, or one event of a record.

    Attributes:
        event: a `Kind`, or a word of a later version.
        time: seconds since the epoch; None if it is not known.
        details: what else the line says.
    """

    event: str
    time: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def has(self, trait: Trait) -> bool:
        """Whether its kind has a trait; a kind of a later version has none."""
        try:
            return trait in Kind(self.event).traits
        except ValueError:
            return False

    @property
    def plain(self) -> dict[str, Any]:
        """The line on disk."""
        time = {} if self.time is None else {"time": self.time}
        return {"event": str(self.event), **time, **self.details}

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> "Entry":
        """Read the content of a line."""
        details = {key: value for key, value in line.items() if key not in {"event", "time"}}
        return cls(str(line.get("event")), line.get("time"), details)


@dataclass(frozen=True)
class Epoch:
    """One completed epoch, counted from 1: losses and metrics by Ultralytics' names, and the graft's scalars."""

    epoch: int
    values: Mapping[str, float]
    scalars: Mapping[str, float]


def epochs(entries: Iterable[Entry]) -> list[Epoch]:
    """The completed epochs of a journal, in order."""
    found = [entry.details for entry in entries if entry.event == Kind.EPOCH]
    return [Epoch(each["epoch"], each.get("values", {}), each.get("scalars", {})) for each in found]


def epoch_seconds(entries: Iterable[Entry]) -> float | None:
    """How long an epoch of a training takes with its validation, in seconds; None if the journal does not tell.

    It is the median of the latest epochs. The time between the processes of a resumed training does not count.
    """
    seconds = _seconds_of_epochs(entries)
    return median(seconds[-LATEST:]) if seconds else None


def training_seconds(entries: Iterable[Entry]) -> float:
    """How long the completed epochs of a training took in all its processes, with their validation, in seconds."""
    return sum(_seconds_of_epochs(entries))


def _seconds_of_epochs(entries: Iterable[Entry]) -> list[float]:
    began: float | None = None
    seconds = []
    for entry in entries:
        if entry.event == Kind.EPOCH and entry.time is not None and began is not None and entry.time > began:
            seconds.append(entry.time - began)
        if entry.event in {Kind.TRAINING, Kind.RESUME, Kind.EPOCH}:
            began = entry.time
    return seconds


def append_entry(journal: Path, kind: Kind, **details: Any) -> None:
    """Append one line and flush it to disk; an unfinished line of a killed process stays on its own line."""
    line = json.dumps(Entry(kind, time.time(), details).plain) + "\n"
    with journal.open("ab+") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else "\n" + line
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def read_journal(path: Path) -> list[Entry]:
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
    late = [entry for entry in read_journal(journal) if entry.has(Trait.OF_PROCESS) and entry not in entries]
    write_atomically(journal, "".join(json.dumps(entry.plain) + "\n" for entry in [*entries, *late]))


def _entry(line: str) -> Entry | None:
    """Parse the entry in a line; None if it holds none."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return Entry.of(entry) if isinstance(entry, dict) and "event" in entry else None

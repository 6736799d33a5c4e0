"""How far a study is, read from study.json, the runs' records and their journals; torch is not needed for that.

outputs/studies/NAME/study.json
    {"name", "question", "command", "runs": [{"run", "variant", "seed", "overrides", "swept", "baseline"}, ...]}
where `run` is the name of a folder in outputs/runs. A run without a folder is pending.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from src.config import ConfigError
from src.files import write_atomically
from src.journal import read_journal
from src.record import Record, is_locked, lock_file

STATES = ("finished", "running", "interrupted", "failed", "pending")


@dataclass(frozen=True)
class RunState:
    """One run of a study: its entry in study.json, what it is at, its record if there is one, and its last epoch."""

    entry: Mapping[str, Any]
    state: str
    record: Record | None = None
    epoch: int = 0

    @property
    def done(self) -> float:
        """The part of its epochs that is trained."""
        if self.record is None:
            return 0.0
        epochs: int = self.record.config["trainer"]["epochs"]
        return min(self.epoch / epochs, 1.0)


@dataclass(frozen=True)
class TimeLeft:
    """An estimate of seconds, None if nothing is known, and the number of measured runs that it rests on."""

    seconds: float | None
    measured: int

    def __str__(self) -> str:
        if self.seconds is None:
            return "unknown (no run like these has been measured yet)"
        runs = "1 measured run" if self.measured == 1 else f"{self.measured} measured runs"
        return f"about {duration(self.seconds)} one run after the other (from {runs})"


def study_file(output_dir: Path, name: str) -> Path:
    """Where a study keeps the list of its runs."""
    return output_dir / "studies" / name / "study.json"


def write_study(output_dir: Path, name: str, question: str, command: str, runs: Sequence[Mapping[str, Any]]) -> None:
    """Write study.json, in one step."""
    path = study_file(output_dir, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"name": name, "question": question, "command": command, "runs": list(runs)}
    write_atomically(path, json.dumps(content, indent=2) + "\n")


def read_study(output_dir: Path, name: str) -> dict[str, Any] | None:
    """Content of study.json; None where there is none.

    Raises:
        ConfigError: if the file is there but is no study.
    """
    path = study_file(output_dir, name)
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {key: content[key] for key in ("name", "question", "command", "runs")}
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no study ({error}); move it away and start the study again") from error


def entry_of(output_dir: Path, study: str, run: str) -> dict[str, Any] | None:
    """A run's entry in its study; None if it was started without one."""
    content = read_study(output_dir, study)
    entries = [] if content is None else [entry for entry in content["runs"] if entry["run"] == run]
    return entries[0] if entries else None


def run_state(output_dir: Path, entry: Mapping[str, Any]) -> RunState:
    """What a run is at. A record that says running without a process that holds the lock was killed."""
    folder = output_dir / "runs" / entry["run"]
    try:
        record = Record.read(folder)
    except ValueError:  # a record that cannot be read belongs to a run that says so when it is started
        record = None
    if record is None:
        return RunState(entry, "pending")
    state = record.status
    if state in {"running", "interrupted"}:
        state = "running" if is_locked(lock_file(output_dir, entry["run"])) else "interrupted"
    epoch = 0
    if state in {"running", "interrupted"}:
        epochs = [line["epoch"] for line in read_journal(folder / "journal.jsonl") if line["event"] == "epoch"]
        epoch = max(epochs, default=0)
    return RunState(entry, state, record, epoch)


def run_states(output_dir: Path, entries: Iterable[Mapping[str, Any]]) -> list[RunState]:
    """What each run of a study is at; a run that two points share is there twice."""
    known: dict[str, RunState] = {}
    states = []
    for entry in entries:
        if entry["run"] not in known:
            known[entry["run"]] = run_state(output_dir, entry)
        found = known[entry["run"]]
        states.append(RunState(entry, found.state, found.record, found.epoch))
    return states


def distinct(states: Iterable[RunState]) -> list[RunState]:
    """Each run once."""
    return list({state.entry["run"]: state for state in states}.values())


def time_left(states: Sequence[RunState], elsewhere: Sequence[float] = ()) -> TimeLeft:
    """Estimate what is left, one run after the other.

    A run takes as long as finished runs of its variant did; without one, as all finished runs of the study; without
    one, as those elsewhere.

    Args:
        states: of the study.
        elsewhere: seconds of finished runs outside the study, of the same training.
    """
    runs = distinct(states)
    # A run that was continued knows only how long its last process took.
    measured = [
        (state.entry["variant"], state.record.seconds)
        for state in runs
        if state.state == "finished" and state.record is not None and state.record.attempts == 1
    ]
    known = [seconds for _, seconds in measured] or list(elsewhere)
    todo = [state for state in runs if state.state not in {"finished", "failed"}]
    if not todo:
        return TimeLeft(0.0, len(known))
    if not known:
        return TimeLeft(None, 0)
    seconds = 0.0
    for state in todo:
        own = [seconds for variant, seconds in measured if variant == state.entry["variant"]]
        seconds += mean(own or known) * (1.0 - state.done)
    return TimeLeft(seconds, len(known))


def best(states: Iterable[RunState]) -> tuple[float, RunState] | None:
    """The highest mAP50-95 of a finished run, and the run."""
    finished = [
        (state.record.metrics["map50_95"], state)
        for state in states
        if state.state == "finished" and state.record is not None
    ]
    return max(finished, key=lambda scored: scored[0], default=None)


def duration(seconds: float) -> str:
    """A time in the two units that matter: 45 s, 12 min, 3 h 20 min, 2 d 4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"

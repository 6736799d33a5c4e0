"""The runs on disk: listed, found by the words people have for them, and removed. Free of torch."""

import json
import re
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.counts import some
from yolo26_attention.durations import duration
from yolo26_attention.files.folder import OutputFolder, RunFolder
from yolo26_attention.files.journal import epochs, read_journal
from yolo26_attention.files.locks import LockError, holder, lock_file, run_lock
from yolo26_attention.files.record import Record, RunHeldError
from yolo26_attention.study.definition import study_name
from yolo26_attention.study.rerun_command import command_of
from yolo26_attention.study.runs import STATES, StudyEntry, find_run, read_study
from yolo26_attention.study.text import error_line
from yolo26_attention.text_tables import aligned

MOST_NAMES = 8
NO_RECORD = "no record"
LISTED_STATES = tuple(NO_RECORD if state == "pending" else state for state in STATES)


@dataclass(frozen=True)
class ListedRun:
    """A run on disk.

    Attributes:
        name: of its folder.
        state: one of LISTED_STATES.
        record: None if there is none, or if it cannot be read.
        size: of its files, in bytes.
        age: seconds since its record changed.
    """

    name: str
    folder: Path
    state: str
    record: Record | None
    size: int
    age: float

    @property
    def study(self) -> str:
        """The study that it was started for."""
        return "" if self.record is None else self.record.study

    @property
    def score(self) -> float | None:
        """Its mAP50-95; None if it has not finished."""
        return None if self.record is None else self.record.score


def list_runs(output_dir: Path, study: str = "", status: str = "") -> list[ListedRun]:
    """The runs in a folder, newest first.

    Args:
        output_dir: where the runs are.
        study: only runs of this study: those that it lists, and those that were started for it.
        status: only runs in this state.
    """
    listed = {entry.run for entry in _entries(output_dir, study)} if study else set()
    found = []
    for folder in OutputFolder(output_dir).runs.glob("*"):
        if folder.is_dir():
            run = _listed(output_dir, folder)
            if (not study or study == run.study or run.name in listed) and status in ("", run.state):
                found.append(run)
    return sorted(found, key=lambda run: run.age)


def _listed(output_dir: Path, folder: Path) -> ListedRun:
    state = find_run(output_dir, folder.name)
    record = RunFolder(folder).record
    changed = (record if record.is_file() else folder).stat().st_mtime
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    shown = NO_RECORD if state.state == "pending" else state.state
    return ListedRun(folder.name, folder, shown, state.record, size, max(time.time() - changed, 0.0))


def table(runs: Sequence[ListedRun]) -> list[str]:
    """The runs as lines of a table."""
    rows = [["run", "study", "status", "mAP50-95", "age", "size"]]
    for run in runs:
        score = "" if run.score is None else f"{run.score:.4f}"
        rows.append([run.name, run.study, run.state, score, duration(run.age), megabytes(run.size)])
    return aligned(rows, right=(3, 4, 5))


def unfinished(record: Record, folder: Path) -> str:
    """Describe a run without results: its state, how far it is, and what continues it, or its error.

    Args:
        record: of the run.
        folder: of the run.
    """
    output_dir, files = folder.parent.parent, RunFolder(folder)
    inside = OutputFolder(output_dir).run(folder.name).path == folder
    state = find_run(output_dir, folder.name).state if inside else record.status
    trained = len({entry.epoch for entry in epochs(read_journal(files.journal))})
    rows = [("run", record.name), ("status", state), ("folder", str(folder))]
    rows += [("epochs", f"{trained} completed")] if trained else []
    if state == "running":
        rows += [("trained by", who)] if (who := holder(lock_file(output_dir, folder.name))) else []
        return "\n".join(aligned(rows))
    rows += [("ended with", re.sub(r"^[\w.]*\.(?=\w+:)", "", error_line(record.error)))] if record.error else []
    if state == "interrupted":
        rows.append(("continue", _continuing(record, folder)))
        return "\n".join(aligned(rows))
    traceback = ["", record.error] if record.error and "\n" in record.error else []
    return "\n".join([*aligned([*rows, ("try again", _continuing(record, folder))]), *traceback])


def _continuing(record: Record, folder: Path) -> str:
    """The command that trains an unfinished run to its end, from its last completed epoch if there is a state."""
    if not RunFolder(folder).config.is_file():
        return "with the command that started it"
    parts = [record.config.get("attention"), record.config.get("placebo")]
    own = ["-cd", "DIR"] if '"source": "' in json.dumps(parts) else []
    paused = ["pause=null"] if record.config.get("pause") is not None else []
    command = command_of(folder, (), *own, *paused)
    return f"{command}  (DIR: the folder of your own code)" if own else command


def megabytes(size: int) -> str:
    """A number of bytes in MB."""
    return f"{size / 1e6:.1f} MB"


def resolve_run(run: str, output_dir: Path, study: str | None = None) -> Path:
    """Find the folder of a run.

    Args:
        run: its name, hash or folder; STUDY/VARIANT, the run with the highest score of a variant, the study by its name
            or the path of its file; `best`, that of a study.
        output_dir: where to look for runs.
        study: the study of `best`, by its name or the path of its file; None otherwise.

    Raises:
        ConfigError: if there is no such run.
    """
    if study is not None and run != "best":
        raise ConfigError(f"study={study} has no effect on run={run}; it says of which study run=best is")
    if run == "best":
        if study is None:
            raise ConfigError("run=best: of which study? give study=NAME")
        return _highest(f"run=best study={study}", list_runs(output_dir, study_name(study)))
    output = OutputFolder(output_dir)
    runs = output.runs
    candidates = [Path(run), runs / run, *runs.glob(f"*-{run}")]
    folder = next((path for path in candidates if RunFolder(path).record.is_file()), None)
    if folder is not None:
        return folder
    of_study = re.fullmatch(r"(.+\.ya?ml|[^/]+)/(.+)", run)
    if of_study and (entries := _entries(output_dir, study_name(of_study[1]))):
        return _of_variant(run, of_study[1], of_study[2], entries, output_dir)
    there = [folder.name for folder in output.recorded()]
    raise ConfigError(f"run={run}: no such run in {runs.absolute()}; it has {some(there, MOST_NAMES) or 'no runs'}")


def _of_variant(run: str, study: str, label: str, entries: Sequence[StudyEntry], output_dir: Path) -> Path:
    """The run with the highest score of a variant of a study."""
    labels = list(dict.fromkeys(entry.variant for entry in entries))
    if label not in labels:
        raise ConfigError(f"run={run}: study {study} has no variant {label}; it has {some(labels, MOST_NAMES)}")
    names = {entry.run for entry in entries if entry.variant == label}
    return _highest(f"run={run}", [each for each in list_runs(output_dir) if each.name in names])


def _highest(asked: str, runs: Iterable[ListedRun]) -> Path:
    """The folder of the run with the highest score."""
    scored = [(run.score, run.folder) for run in runs if run.score is not None]
    if not scored:
        raise ConfigError(f"{asked}: none of its runs has finished with a score; see python -m src.runs")
    return max(scored, key=lambda pair: pair[0])[1]


def _entries(output_dir: Path, study: str) -> list[StudyEntry]:
    """The runs that a study lists; none without a study.json."""
    content = read_study(output_dir, study)
    return [] if content is None else content.runs


def remove_run(output_dir: Path, name: str) -> None:
    """Delete a run's folder.

    Raises:
        ConfigError: if a process is training it.
    """
    try:
        with run_lock(lock_file(output_dir, name)):
            shutil.rmtree(OutputFolder(output_dir).run(name).path)
    except RunHeldError as error:
        raise ConfigError(f"remove={name}: {error.process} is training this run; stop it first") from error
    except LockError as error:
        raise ConfigError(f"remove={name}: {error}") from error

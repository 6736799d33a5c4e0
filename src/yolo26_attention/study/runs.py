"""The one reader and writer of outputs/studies/NAME/study.json, and of the state of the runs that it lists.

It does not import torch.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.files.folder import OutputFolder
from yolo26_attention.files.locks import is_locked, lock_file, run_lock
from yolo26_attention.files.record import Record, RunHeldError
from yolo26_attention.files.typed import NewerFormatError, read_file, write_file
from yolo26_attention.study.declaration import Declaration, declaration_hash

# Format of study.json, with the same rule as for records.
FORMAT = 1
STATES = ("finished", "running", "interrupted", "failed", "unreadable", "stopped", "pending")


@dataclass(frozen=True)
class StudyEntry:
    """One run of a study.

    Attributes:
        run: name of its folder in outputs/runs, which exists once the run has started.
        variant: label of the variant.
        seed: seed of the run.
        overrides: its command line for `python -m src.train`.
        swept: values that distinguish this run from the others of its variant.
        baseline: label of the variant that it is compared with; None in studies of earlier versions.
        components: of its variant; None in a study of variants.
    """

    run: str
    variant: str
    seed: int
    overrides: list[str] = field(default_factory=list)
    swept: dict[str, Any] = field(default_factory=dict)
    baseline: str | None = None
    components: list[str] | None = None


@dataclass(frozen=True)
class Declared(Declaration):
    """A declaration as it was written down.

    Attributes:
        hash: eight digits that change with anything that was declared.
        known: number of results that were known at the time.
    """

    hash: str = field(kw_only=True)
    known: int = field(kw_only=True)


@dataclass(frozen=True)
class StudyFile:
    """Content of study.json.

    `declared` is None for a study that declares nothing. `components` has the options of each component, by name.
    """

    runs: list[StudyEntry]
    name: str = ""
    question: str = ""
    command: str = ""
    declared: Declared | None = None
    components: dict[str, dict[str, Any]] = field(default_factory=dict)

    def entry(self, run: str) -> StudyEntry | None:
        """Return the entry of a run; None if the study does not list it."""
        return next((entry for entry in self.runs if entry.run == run), None)


@dataclass(frozen=True)
class FoundRun:
    """A run on disk.

    Attributes:
        name: name of its folder.
        folder: that folder, which may not exist.
        state: one of STATES.
        record: None if the run is pending, unreadable, or was only just begun.
        problem: why the record cannot be read; None if it can, or does not exist.
    """

    name: str
    folder: Path
    state: str
    record: Record | None = None
    problem: str | None = None


def repeats_another(overrides: Iterable[str]) -> bool:
    """Whether a run is the training of another one once more (`repeats:` of a study file), by its overrides."""
    return any(override.startswith("repeat=") for override in overrides)


def find_run(output_dir: Path, name: str) -> FoundRun:
    """Find the state of a run, which is running while a process holds its lock, with or without a record.

    If its record says running but no process holds its lock, the process was killed.
    """
    folder = OutputFolder(output_dir).run(name).path
    try:
        record = Record.read(folder)
    except (ValueError, OSError) as error:
        return FoundRun(name, folder, "unreadable", problem=str(error))
    state = "pending" if record is None else record.status
    if state in {"pending", "running", "interrupted"} and is_locked(lock_file(output_dir, name)):
        state = "running"
    elif state == "running":
        state = "interrupted"
    return FoundRun(name, folder, state, record)


def record_killed(output_dir: Path, given: Mapping[str, Any], problem: str) -> None:
    """Record a killed run as failed, so that a study does not wait for it.

    Without a record there is nothing to do, nor for a run that another process has taken up.

    Args:
        output_dir: where the run is.
        given: its configuration as composed, by which its record is found.
        problem: why no process tries it again.
    """
    for folder in OutputFolder(output_dir).recorded():
        if not _is_killed(find_run(output_dir, folder.name), given):
            continue
        with suppress(RunHeldError), run_lock(lock_file(output_dir, folder.name)):
            record = Record.read(folder)  # as it is now that nobody else can change it
            if record is not None and record.status in {"running", "interrupted"} and record.given == given:
                record.status, record.error = "failed", problem
                record.write(folder)


def _is_killed(found: FoundRun, given: Mapping[str, Any]) -> bool:
    return found.state == "interrupted" and found.record is not None and found.record.given == given


def study_file(output_dir: Path, name: str) -> Path:
    """Return the path of a study's study.json."""
    return OutputFolder(output_dir).studies / name / "study.json"


def write_study(
    output_dir: Path,
    name: str,
    question: str,
    command: str,
    runs: Sequence[StudyEntry],
    declared: Declaration | None = None,
    components: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write study.json, in one step.

    The declaration is stored with the number of results that were known when it was first written, `known`. A changed
    declaration has the number of those that are known now.

    Args:
        output_dir: folder of all output.
        name: name of the study.
        question: the question that it answers.
        command: the command that starts it.
        runs: its runs.
        declared: how it is to be answered; None for a study that declares nothing.
        components: options of each component, by name; None for a study of variants.
    """
    path = study_file(output_dir, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = None
    if declared is not None:
        content = read_study(output_dir, name)
        digest = declaration_hash(declared, question, runs)
        known = sum(find_run(output_dir, run.run).state == "finished" for run in runs)
        if content is not None and content.declared is not None:
            # Computed anew, because earlier versions counted options that have no effect.
            if declaration_hash(content.declared, content.question, content.runs) == digest:
                known = content.declared.known
        written = Declared(**vars(declared), hash=digest, known=known)
    switched = {component: dict(options) for component, options in (components or {}).items()}
    study = StudyFile(list(runs), name, question, command, written, switched)
    write_file(path, study, FORMAT)


def read_study(output_dir: Path, name: str) -> StudyFile | None:
    """Read a study's study.json; None if it does not exist.

    Raises:
        ConfigError: if the file is damaged, or if a later version of the program wrote it.
    """
    path = study_file(output_dir, name)
    try:
        return read_file(StudyFile, path, FORMAT)
    except FileNotFoundError:
        return None
    except NewerFormatError as error:
        raise ConfigError(str(error)) from error
    except ValueError as error:
        raise ConfigError(f"{path} is no study ({error}); move it away and start the study again") from error


def not_listed(output_dir: Path, study: str, run: str) -> str | None:
    """A warning for a run that names a study whose study.json does not list it; None if it does, or there is none."""
    content = read_study(output_dir, study)
    if content is None or content.entry(run) is not None:
        return None
    again = f": {content.command}" if content.command else ""
    return (
        f"study={study} does not list {run} in {study_file(output_dir, study)}, so its status and its comparison leave "
        "this run out; data, code or options that were edited since the study began make another run, and starting "
        f"the study again lists its runs as they are now{again}"
    )


def shared_by(output_dir: Path, study: str, record: Record) -> str | None:
    """A line for a finished run that a study without study.json reuses from another; None for any other run."""
    if record.study == study or study_file(output_dir, study).exists():
        return None
    return (
        f"study={study}: {record.name} was trained by study {record.study} and stays its run, so a report of {study} "
        "does not have it; a study file, started with python -m src.sweep NAME, lists the runs that it shares"
    )


def entry_of(output_dir: Path, study: str, run: str) -> StudyEntry | None:
    """Return a run's entry in its study; None if it was started without one."""
    content = read_study(output_dir, study)
    return None if content is None else content.entry(run)

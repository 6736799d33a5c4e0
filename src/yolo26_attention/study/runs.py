"""The one reader of a study: study.json, and what each run that it lists is at. Free of torch.

outputs/studies/NAME/study.json
    {"format", "name", "question", "command", "declared": {..., "hash", "known"},
     "runs": [{"run", "variant", "seed", "overrides", "swept", "baseline"}, ...]}
where `run` is the name of a folder in outputs/runs. A run without a folder is pending.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.files.atomic import write_atomically
from yolo26_attention.files.locks import is_locked, lock_file
from yolo26_attention.files.record import NewerFormatError, Record, read_json
from yolo26_attention.study.declaration import Declaration, declaration_hash

# Of study.json; what is said of the format of records holds for it, too.
FORMAT = 1
STATES = ("finished", "running", "interrupted", "failed", "unreadable", "stopped", "pending")


@dataclass(frozen=True)
class FoundRun:
    """A run as it lies on disk.

    Attributes:
        name: of its folder.
        folder: that folder, which need not be there.
        state: one of STATES.
        record: None if it is pending or unreadable.
        problem: why its record cannot be read; None if it can, or is not there.
    """

    name: str
    folder: Path
    state: str
    record: Record | None = None
    problem: str | None = None


def find_run(output_dir: Path, name: str) -> FoundRun:
    """What a run is at. A record that says running without a process that holds the lock was killed."""
    folder = output_dir / "runs" / name
    try:
        record = Record.read(folder)
    except (ValueError, OSError) as error:
        return FoundRun(name, folder, "unreadable", problem=str(error))
    if record is None:
        return FoundRun(name, folder, "pending")
    state = record.status
    if state in {"running", "interrupted"}:
        state = "running" if is_locked(lock_file(output_dir, name)) else "interrupted"
    return FoundRun(name, folder, state, record)


def record_killed(output_dir: Path, given: Mapping[str, Any], problem: str) -> None:
    """Record a killed run as failed, so that a study does not wait for it; without a record there is nothing to do.

    Args:
        output_dir: where the run is.
        given: its configuration as composed, by which its record is found.
        problem: why no process tries it again.
    """
    for folder in (output_dir / "runs").glob("*"):
        found = find_run(output_dir, folder.name)
        if found.state == "interrupted" and found.record is not None and found.record.given == given:
            found.record.status, found.record.error = "failed", problem
            found.record.write(folder)


def study_file(output_dir: Path, name: str) -> Path:
    """Where a study keeps the list of its runs."""
    return output_dir / "studies" / name / "study.json"


def write_study(
    output_dir: Path,
    name: str,
    question: str,
    command: str,
    runs: Sequence[Mapping[str, Any]],
    declared: Declaration | None = None,
) -> None:
    """Write study.json, in one step.

    What is declared keeps the number of results that were known when it was first written, `known`; a declaration that
    was changed since has the number of those that are known now.

    Args:
        output_dir: where the study is.
        name: of the study.
        question: that it answers.
        command: that starts it.
        runs: entries of its runs.
        declared: how it is to be answered; None for a study that declares nothing.
    """
    path = study_file(output_dir, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {"format": FORMAT, "name": name, "question": question, "command": command}
    if declared is not None:
        before = (read_study(output_dir, name) or {}).get("declared")
        digest = declaration_hash(declared, question, runs)
        known = sum(find_run(output_dir, run["run"]).state == "finished" for run in runs)
        if before is not None and before.get("hash") == digest:
            known = before["known"]
        content["declared"] = {**declared.plain, "hash": digest, "known": known}
    content["runs"] = list(runs)
    write_atomically(path, json.dumps(content, indent=2) + "\n")


def read_study(output_dir: Path, name: str) -> dict[str, Any] | None:
    """Name, question, command, declaration and runs of study.json, each run with all its keys.

    None where there is no study.json. `declared` is None for a study of an earlier version, which declared nothing.

    Raises:
        ConfigError: if the file is there but is no study, or is of a later version of the program.
    """
    path = study_file(output_dir, name)
    try:
        content = read_json(path, FORMAT)
        runs = [
            {"overrides": [], "swept": {}, "baseline": None, **run, "variant": run["variant"], "seed": run["seed"]}
            for run in content["runs"]
            if isinstance(run["run"], str)
        ]
    except FileNotFoundError:
        return None
    except NewerFormatError as error:
        raise ConfigError(str(error)) from error
    except (ValueError, KeyError, TypeError) as error:
        problem = f"it has no {error.args[0]}" if isinstance(error, KeyError) else error
        raise ConfigError(f"{path} is no study ({problem}); move it away and start the study again") from error
    known = {key: content.get(key, "") for key in ("name", "question", "command")}
    return known | {"declared": content.get("declared"), "runs": runs}


def left_out(output_dir: Path, study: str, run: str) -> str | None:
    """A warning for a run that names a study whose study.json does not list it; None if it does, or there is none."""
    content = read_study(output_dir, study)
    if content is None or any(entry["run"] == run for entry in content["runs"]):
        return None
    again = f": {content['command']}" if content["command"] else ""
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


def entry_of(output_dir: Path, study: str, run: str) -> dict[str, Any] | None:
    """A run's entry in its study; None if it was started without one."""
    content = read_study(output_dir, study)
    entries = [] if content is None else [entry for entry in content["runs"] if entry["run"] == run]
    return entries[0] if entries else None

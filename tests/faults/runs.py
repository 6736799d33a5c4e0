"""Faults of what runs and studies leave on disk, and of the disk that they lie on."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from tests.faults.data import cut
from tests.faults.doing import EPOCHS, at_epoch, configuration, logged
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.files.record import RunSkippedError
from yolo26_attention.plan.checks import check
from yolo26_attention.run.runner import run
from yolo26_attention.study.runs import StudyEntry, read_study, write_study
from yolo26_attention.study.text import status


def later(path: Path) -> None:
    """Let a file be of a later version of the program, which means other things by the same fields."""
    path.write_text(json.dumps({"format": 99, "status": {"now": "finished"}, "runs": {}}))


def of_another_kind(path: Path) -> None:
    """Let a field of a record hold another kind of value."""
    path.write_text(json.dumps({**json.loads(path.read_text()), "metrics": None}))


def with_more(path: Path) -> None:
    """Let a record have a field that nobody knows."""
    path.write_text(json.dumps({**json.loads(path.read_text()), "mood": "good"}))


def journal_cut(folder: Path) -> str:
    """A process is killed while it writes to the journal, and the state of the same epoch is damaged."""
    plan = check(configuration(folder, *EPOCHS))

    def stop() -> None:
        raise KeyboardInterrupt

    try:
        with at_epoch(2, stop):
            run(plan, "")
    except KeyboardInterrupt:
        journal = plan.folder / "journal.jsonl"
        os.truncate(journal, journal.stat().st_size - 9)
        cut(plan.folder / "state.pt")
    record, _ = run(plan, "")
    return f"{record.status}; {[event.event for event in record.events]}"


def without_locks(folder: Path) -> str:
    """The disk has no locks, as NFS without its lock daemon."""
    plan = check(configuration(folder, "attention=baseline"))
    answer = OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    try:
        with mock.patch("filelock._unix.fcntl.flock", side_effect=answer):
            run(plan, "")
    except RunSkippedError as error:
        return f"refused: {error}; {'trained' if plan.folder.exists() else 'nothing trained'}"
    return "trained without a lock"


def own_labels(folder: Path) -> str:
    """A run of the version before identities followed content; then two classes are exchanged, sizes kept."""
    from tests.faults.data import pets
    from yolo26_attention.plan.identity import readable_name
    from yolo26_attention.plan.identity_v0 import identity_v0

    yaml = pets(folder)
    plan = check(configuration(folder, "attention=baseline", f"data.yaml={yaml}"))
    old = f"{readable_name(plan.config)}-{identity_v0(plan.config.plain(), plan.dataset.sizes_identity, None)}"
    earlier = folder / "outputs" / "runs" / old
    earlier.mkdir(parents=True)
    (earlier / "record.json").write_text("{}")
    (earlier / "journal.jsonl").write_text(json.dumps({"event": "weights", "time": plan.dataset.changed_at + 1}) + "\n")
    found = check(configuration(folder, "attention=baseline", f"data.yaml={yaml}"))
    label = folder / "labels/train/a.txt"
    label.write_text(label.read_text().translate(str.maketrans("01", "10")).replace("1.", "0."))
    os.utime(label, (plan.dataset.changed_at + 2,) * 2)
    again = check(configuration(folder, "attention=baseline", f"data.yaml={yaml}"))
    return "; ".join("the old run" if each.folder == earlier else str(each.remark) for each in (found, again))


def study_json(damage: Callable[[Path], object]) -> Callable[[Path], str]:
    """A study's list of runs is damaged."""

    def happens(folder: Path) -> str:
        write_study(folder, "s", "why", "command", [])
        damage(folder / "studies" / "s" / "study.json")
        try:
            return f"read: {read_study(folder, 's')}"
        except ConfigError as error:
            return f"refused: {error}"

    return happens


def record_of_a_study(damage: Callable[[Path], object]) -> Callable[[Path], str]:
    """A record of a study is damaged, and the study's status is asked for."""

    def happens(folder: Path) -> str:
        plan = check(configuration(folder, "attention=baseline"))
        run(plan, "")
        entry = StudyEntry(plan.folder.name, "baseline", 0)
        write_study(folder / "outputs", "s", "why", "command", [entry])
        damage(plan.folder / "record.json")
        with logged():
            return str(status(folder / "outputs", "s"))

    return happens

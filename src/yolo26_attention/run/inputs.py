"""What a run reads and does not own: its data set, which must be at the end of a training what it was at the check.

The identity of a run covers the content of its data set, so a training on files that were edited meanwhile belongs to
no identity. It is not recorded as finished, and its state is removed: the same command then trains on the files as they
are, which is another run. If the files are put back, retry=true trains this run from the start. Files that cannot be
read any more say nothing about what was trained on, so the state stays, and retry=true checks again.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from yolo26_attention.data.datasets import Dataset, DatasetError, resolve_dataset
from yolo26_attention.files.digest import file_digest
from yolo26_attention.files.folder import OutputFolder, RunFolder
from yolo26_attention.files.journal import Kind, append_entry
from yolo26_attention.files.record import Record
from yolo26_attention.plan.checks import Plan


class DataChangedError(RuntimeError):
    """The data set changed while the run trained; the message says what to do."""


class DataUnreadableError(RuntimeError):
    """The data set cannot be read after the training; the message says what to do."""


def starting_checkpoint(plan: Plan) -> dict[str, str]:
    """The digest of the checkpoint that the training starts from, for the record; empty for a random start."""
    weights = plan.arguments["pretrained"]
    return {"weights": file_digest(Path(weights))} if weights else {}


def data_at_start(plan: Plan, previous: Record | None, resumes: bool) -> dict[str, Any]:
    """The data set for the record, with the newest mtime of its files when the training began.

    Args:
        plan: plan of the run.
        previous: record of the attempt before.
        resumes: whether the training continues where that attempt stopped.
    """
    before: Mapping[str, Any] = {} if previous is None or not resumes else previous.data
    return {**plan.dataset.counts, "changed_at": before.get("changed_at", plan.dataset.changed_at)}


def check_data(plan: Plan, record: Record) -> Dataset:
    """Compare the data set after a training with the one that was checked before it; returns it as it is now.

    The test split, on which nothing was trained, may differ. Files with another mtime and the same content are an
    event, because they may have changed in between.

    Raises:
        DataChangedError: if the content of an image, a label, a list or the YAML changed.
        DataUnreadableError: if files are missing or cannot be read.
    """
    try:
        now = _data_now(plan)
    except OSError as error:  # DatasetMissingError, too
        raise DataUnreadableError(
            f"data={plan.dataset.yaml} cannot be compared with what this run trained on ({error}); make it readable, "
            "and use retry=true: the run goes on after its last epoch"
        ) from error
    except DatasetError as error:
        raise DataChangedError(_changed(plan, f"changed ({error})")) from error
    if now.identity != plan.dataset.identity:
        raise DataChangedError(_changed(plan, f"changed, last at {_clock(now.changed_at)}"))
    if now.changed_at != record.data["changed_at"]:
        append_entry(RunFolder(plan.folder).journal, Kind.DATA_REWRITTEN, changed_at=_clock(now.changed_at))
    return now


def _data_now(plan: Plan) -> Dataset:
    return resolve_dataset(
        plan.dataset.yaml,
        single_cls=plan.arguments["single_cls"],
        fraction=plan.arguments["fraction"],
        cache=OutputFolder(Path(plan.config.output_dir).absolute()).data,
    )


def _changed(plan: Plan, what: str) -> str:
    return (
        f"data={plan.dataset.yaml} {what} while this run trained on it, so the result belongs to neither version of "
        "the data set and is not recorded as finished; the same command trains on the files as they are now, or put "
        "them back and use retry=true to train this run from the start"
    )


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")

"""How long a run should take, from finished runs like it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from yolo26_attention.durations import duration
from yolo26_attention.files.folder import OutputFolder, RunFolder
from yolo26_attention.files.record import Record
from yolo26_attention.plan.identity import defining

if TYPE_CHECKING:
    from yolo26_attention.plan.checks import Plan

LATEST = 100  # records that are read before a run starts


def expectation(plan: Plan) -> str | None:
    """Describe how long a run should take; None if it has begun, or if no run like it has finished.

    A run like it has its network, data, training and device; if some also have its attention, they alone count.
    """
    if RunFolder(plan.folder).record.is_file():
        return None
    from yolo26_attention.run.environment import device_name  # imports torch

    config, device = plan.config.plain(), device_name(plan.device)
    folders = OutputFolder(Path(plan.config.output_dir)).recorded()
    folders.sort(key=lambda folder: RunFolder(folder).record.stat().st_mtime, reverse=True)
    alike = [
        record
        for record in finished_records(folders[:LATEST])
        if training_of(record.config) == training_of(config) and record.environment.get("device") == device
    ]
    same = [record for record in alike if _attention(record.config) == _attention(config)]
    if not alike:
        return None
    seconds = [record.seconds for record in same or alike]
    runs = "a run like it" if len(seconds) == 1 else f"{len(seconds)} runs like it"
    return f"takes about {duration(median(seconds))}, as {runs} did"


def finished_records(folders: Iterable[Path]) -> Iterator[Record]:
    """The records of finished runs that were never resumed, as earlier versions timed only the last process."""
    for folder in folders:
        try:
            record = Record.read(folder)
        except ValueError:
            continue  # an unreadable record has no duration
        if record is not None and record.status == "finished" and record.attempts == 1:
            yield record


def training_of(config: Mapping[str, Any]) -> str:
    """What determines the duration of a training, apart from the attention and the machine."""
    return json.dumps([config["model"]["name"], config["data"], defining(config)["trainer"]], sort_keys=True)


def _attention(config: Mapping[str, Any]) -> Any:
    return config["attention"].get("name"), config["placement"]

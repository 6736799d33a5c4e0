"""Where a run belongs: in a folder named by its identity, or in that of a run of an earlier version of this program.

A run of an earlier version is the same experiment if the identity of then says so. That identity knew a data set of
one's own by names and sizes of its files, and a class by one file: so there must also be no file that changed after the
run began. Its folder stays where it is, under its name, by which study.json has it.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from glob import escape
from pathlib import Path
from typing import Any

from yolo26_attention.data.datasets import Dataset
from yolo26_attention.detector.building import find_class
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.journal import read_journal
from yolo26_attention.files.record import Record
from yolo26_attention.plan.identity import VERSION, identity, images_in_memory, readable_name
from yolo26_attention.plan.identity_v0 import identity_v0
from yolo26_attention.plan.own_code import OwnCode, file_fingerprint, own_code


@dataclass(frozen=True)
class Place:
    """Where a run belongs.

    Attributes:
        run_id: its identity.
        identity_version: of that identity.
        folder: of the run.
        replaces: the finished run of an earlier version that force=true trains anew; None otherwise.
        remark: what is to be said about a run of an earlier version; None without one.
    """

    run_id: str
    identity_version: int
    folder: Path
    replaces: Path | None = None
    remark: str | None = None


def place_of(runs: Path, config: Mapping[str, Any], dataset: Dataset, weights: str | None) -> Place:
    """Where a run belongs.

    Args:
        runs: the folder with all runs.
        config: the resolved configuration as plain values.
        dataset: its data set.
        weights: fingerprint of the starting checkpoint; None for a random start.
    """
    name = readable_name(config)
    run_id = identity(config, dataset.identity, weights)
    place = Place(run_id, VERSION, runs / f"{name}-{run_id}")
    if place.folder.exists():
        return place
    if config["data"]["yaml"] is not None and not any(runs.glob(f"{escape(name)}-*")):
        return place  # before a large set is looked at once more
    code = _code(config)
    try:
        earlier_id = identity_v0(_as_then(config, code), dataset.sizes_identity, weights)
    except (OSError, ValueError):  # a set that could not be read then
        return place
    earlier = runs / f"{name}-{earlier_id}"
    if earlier_id is None or not RunFolder(earlier).record.exists():
        return place
    if problem := _changed_since(earlier, config, dataset, code):
        return Place(run_id, VERSION, place.folder, remark=f"{earlier} is not taken for this run: {problem}")
    if config["force"]:
        return Place(run_id, VERSION, place.folder, replaces=earlier)
    remark = "a run of an earlier version of this program is taken for it"
    if config["data"]["yaml"] is not None:
        remark += "; its data set was recognised by names, sizes and dates of its files"
    return Place(earlier_id, 0, earlier, remark=remark)


def _code(config: Mapping[str, Any]) -> OwnCode | None:
    """The code of one's own that a run depends on."""
    if "source" in config["attention"]:
        return own_code(find_class(config["attention"]["_target_"]))
    if config["attention"]["name"] == "placebo" and "source" in config["placebo"]:
        return own_code(find_class(config["placebo"]["matches"]))
    return None


def _as_then(config: Mapping[str, Any], code: OwnCode | None) -> Mapping[str, Any]:
    """The configuration with the source of a class as it was then: its own file."""
    if code is None or "source" not in config["attention"]:
        return config
    return {**config, "attention": {**config["attention"], "source": file_fingerprint(code.file)}}


def _changed_since(folder: Path, config: Mapping[str, Any], dataset: Dataset, code: OwnCode | None) -> str | None:
    """What may differ, or have changed since a run began, without a part in the identity of then; None if nothing."""
    with suppress(ValueError):  # a record that cannot be read is said when the run is started
        record = Record.read(folder)
        if record is not None and images_in_memory(record.config.get("trainer", {})):
            return "it was trained with trainer.cache=ram, which makes other mosaics"
    changes = {}
    if config["data"]["yaml"] is not None:  # the embedded set was known by its content
        changes["an image, a label or a list of the data set"] = dataset.changed_at
    if code is not None:
        changes[f"the code of {code.file}, or what it imports,"] = code.changed_at
    times = [entry["time"] for entry in read_journal(RunFolder(folder).journal)[:1]]
    for what, changed_at in changes.items():
        if not times:
            return "its journal does not say when it began"
        if changed_at >= times[0]:
            then, now = (datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S") for at in (times[0], changed_at))
            return f"it began at {then}, and {what} changed at {now}"
    return None

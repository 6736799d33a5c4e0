"""Find a run's folder: the one named by its identity, or that of the same run by an earlier version of this program.

A run of an earlier version is the same experiment if its identity under that version is equal. That identity covered
only names and sizes of a user's data files, and one file of a user's class, so no file may have changed since the run
began. The same holds for runs by an identity of today that left out files which only functions of the class import.
Its folder keeps its place and its name, which study.json refers to.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from glob import escape
from pathlib import Path

from yolo26_attention.config.run_config import OwnPlaceboConfig, RunConfig
from yolo26_attention.config.schema import VocDataConfig
from yolo26_attention.data.datasets import Dataset
from yolo26_attention.detector.importing import find_class
from yolo26_attention.files.digest import file_digest
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.journal import read_journal
from yolo26_attention.files.record import Record
from yolo26_attention.plan.identity import VERSION, identity, images_in_memory, readable_name
from yolo26_attention.plan.identity_v0 import identity_v0
from yolo26_attention.plan.own_code import OwnCode, own_code


@dataclass(frozen=True)
class Place:
    """The identity and the folder of a run.

    Attributes:
        run_id: identity of the run.
        identity_version: version of that identity.
        folder: folder of the run.
        replaces: the finished run of an earlier version that force=true retrains; None otherwise.
        remark: message about a run of an earlier version; None without one.
    """

    run_id: str
    identity_version: int
    folder: Path
    replaces: Path | None = None
    remark: str | None = None


def place_of(runs: Path, config: RunConfig, dataset: Dataset, weights: str | None) -> Place:
    """Find the identity and the folder of a run.

    Args:
        runs: the folder with all runs.
        config: the resolved configuration.
        dataset: data set of the run.
        weights: fingerprint of the starting checkpoint; None for a random start.
    """
    former = readable_name(config, config.data.name)  # earlier versions had no other name for a data set
    run_id = identity(config.plain(), dataset.identity, weights)
    place = Place(run_id, VERSION, runs / f"{readable_name(config)}-{run_id}")
    if place.folder.exists():
        return place
    if RunFolder(runs / f"{former}-{run_id}").record.exists():
        return Place(run_id, VERSION, runs / f"{former}-{run_id}")
    if isinstance(config.data, VocDataConfig):
        return place  # no earlier version read it
    if config.data.yaml is not None and not any(runs.glob(f"{escape(former)}-*")):
        return place  # early, to save another pass over a large data set
    if config.attention["name"] == "mix":
        return place  # no earlier version had it
    code = _code(config)
    earlier_id, version = _identity_at_import(config, code, dataset, weights), VERSION
    if earlier_id is None or not RunFolder(runs / f"{former}-{earlier_id}").record.exists():
        version = 0
        try:
            earlier_id = identity_v0(_as_then(config, code).plain(), dataset.sizes_identity, weights)
        except (OSError, ValueError):  # the earlier version could not read this data set
            return place
    earlier = runs / f"{former}-{earlier_id}"
    if earlier_id is None or not RunFolder(earlier).record.exists():
        return place
    by_sizes = version == 0 and config.data.yaml is not None  # else by content
    if problem := _changed_since(earlier, dataset if by_sizes else None, code, version):
        return Place(run_id, VERSION, place.folder, remark=f"{earlier} is not reused for this run: {problem}")
    if config.force:
        return Place(run_id, VERSION, place.folder, replaces=earlier)
    remark = "a run of an earlier version of this program is reused"
    if by_sizes:
        remark += "; its data set was recognised by names, sizes and dates of its files"
    return Place(earlier_id, version, earlier, remark=remark)


def _code(config: RunConfig) -> OwnCode | None:
    """The user's code that a run depends on."""
    if "source" in config.attention:
        return own_code(find_class(config.attention["_target_"]))
    if config.attention["name"] == "placebo" and isinstance(config.placebo, OwnPlaceboConfig):
        return own_code(find_class(config.placebo.matches))
    return None


def _identity_at_import(config: RunConfig, code: OwnCode | None, dataset: Dataset, weights: str | None) -> str | None:
    """The identity without the files that only functions import, which covered them only once they were imported."""
    if code is None or code.at_import == code.imported:
        return None
    if isinstance(config.placebo, OwnPlaceboConfig):
        then = replace(config, placebo=replace(config.placebo, source=code.earlier_fingerprint))
    else:
        then = _with_source(config, code.earlier_fingerprint)
    return identity(then.plain(), dataset.identity, weights)


def _as_then(config: RunConfig, code: OwnCode | None) -> RunConfig:
    """The configuration with the source of a class as the earlier version had it: the class's file alone."""
    if code is None or "source" not in config.attention:
        return config
    return _with_source(config, file_digest(code.file))


def _with_source(config: RunConfig, source: str | None) -> RunConfig:
    return replace(config, attention={**config.attention, "source": source})


def _changed_since(folder: Path, dataset: Dataset | None, code: OwnCode | None, version: int) -> str | None:
    """What may have changed since a run began and the earlier identity does not cover; None if nothing."""
    with suppress(ValueError):  # an unreadable record is reported when the run starts
        record = Record.read(folder)
        if version == 0 and record is not None and images_in_memory(record.config.get("trainer", {})):
            return "it was trained with trainer.cache=ram, which makes other mosaics"
    changes = {}
    if dataset is not None:
        changes["an image, a label or a list of the data set"] = dataset.changed_at
    if code is not None:
        changes[f"the code of {code.file}, or what it imports,"] = code.changed_at
    began = next((entry.time for entry in read_journal(RunFolder(folder).journal)), None)
    for what, changed_at in changes.items():
        if began is None:
            return "its journal has no start time"
        if changed_at >= began:
            then, now = (datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S") for at in (began, changed_at))
            return f"it began at {then}, and {what} changed at {now}"
    return None

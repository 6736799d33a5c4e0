"""The terminal output of a finished run."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.journal import Kind
from yolo26_attention.files.metrics import MAP50, MAP50_95, PRECISION, RECALL, ULTRALYTICS
from yolo26_attention.files.model import PlaceboMatch, TrainedModel
from yolo26_attention.files.record import Record
from yolo26_attention.latency.text import flops_text, latency_rows
from yolo26_attention.run.wandb_names import is_offline, sync_command
from yolo26_attention.statistics import UNTRAINED
from yolo26_attention.text_tables import aligned

MOST_NAMES = 4


def missing_results(record: Record) -> list[str]:
    """Names of the results that the record of a finished run lacks; the table of such a record cannot be shown."""
    missing = [f"metrics.{name}" for name in ULTRALYTICS if name not in record.metrics]
    return missing + (["model"] if record.model is None else [])


def table(record: Record, folder: Path) -> str:
    """Format the run's results as lines of text for a terminal.

    Raises:
        ValueError: if results are missing.
    """
    model = record.model
    missing = missing_results(record)
    if model is None or missing:
        raise ValueError(f"{record.name} has no {', '.join(missing)}")
    rows = [
        ("run", record.name),
        *_test(record),
        ("mAP50-95", _score(record.metrics[MAP50_95])),
        ("mAP50", f"{record.metrics[MAP50]:.4f}"),
        ("AP by size", _sizes(record.ap_by_size)),
        ("precision", f"{record.metrics[PRECISION]:.4f}"),
        ("recall", f"{record.metrics[RECALL]:.4f}"),
        ("parameters", f"{model.parameters:,} (fused)"),
        ("GFLOPs", flops_text(model)),
        ("stock tensors", _tensors(model)),
        *_placebo(model.placebo),
        *_unlabelled(record.data),
        *latency_rows(record.latency),
        ("time", f"{record.seconds:.0f} s"),
        ("events", ", ".join(entry.event for entry in record.events) or "none"),
        ("folder", str(folder)),
        ("weights", str(RunFolder(folder).best)),
    ]
    if record.tracking is not None:
        rows.append(("look at it", f"wandb leet {record.tracking}"))
        if is_offline(record.tracking) or any(entry.event == Kind.TRACKING_LOST for entry in record.events):
            rows.append(("upload it", sync_command(record.tracking)))
    return "\n".join(aligned(rows))


def _test(record: Record) -> list[tuple[str, str]]:
    """The score on the test images, as table rows; the scores below it are those of the validation images."""
    if record.test is None:
        problem = record.data.get("test", {}).get("problem", "")
        return [("test images", f"not scored: {problem}")] if problem else []
    score = _score(record.test.metrics[MAP50_95])
    return [("test mAP50-95", f"{score} on {record.test.images} images on which nothing was chosen")]


def _score(map50_95: float) -> str:
    """The score, with a remark if it is no better than that of an untrained network."""
    nothing = " (learned nothing: an untrained network has as much)" if map50_95 <= UNTRAINED else ""
    return f"{map50_95:.4f}{nothing}"


def _tensors(model: TrainedModel) -> str:
    """The number of stock tensors loaded from weights, and the blocks of those that have no place."""
    text = f"{model.stock_tensors_loaded} of {model.stock_tensors_total} loaded from weights"
    if lost := model.stock_tensors_lost:
        text += f"; {len(lost)} have no place: {shorten_names(lost)}"
    return text


def _sizes(ap: Mapping[str, float | None]) -> str:
    """AP of small, medium and large objects as one line."""
    return ", ".join(f"{size} {'none here' if value is None else f'{value:.4f}'}" for size, value in ap.items())


def _placebo(matches: Mapping[str, PlaceboMatch]) -> list[tuple[str, str]]:
    """The placebo's worst match, as a table row."""
    if not matches:
        return []
    worst = max(matches.values(), key=lambda match: abs(match.mismatch))
    return [("placebo", f"{worst.by} within {abs(worst.mismatch):.2%} of what it stands for, at every place")]


def _unlabelled(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The number of images without a label file, as a table row; empty if there are none."""
    counts = [(name, data[name]) for name in ("train", "val") if name in data and data[name]["unlabelled"]]
    text = "; ".join(f"{split['unlabelled']} of {split['images']} images of {name}" for name, split in counts)
    return [("no label file", text)] if counts else []


def shorten_names(names: Sequence[str]) -> str:
    """Group tensor names by block: model.16.cv1.conv.weight, ... becomes model.16.* (18 tensors)."""
    blocks = Counter(".".join(name.split(".")[:2]) for name in names)
    if len(names) <= MOST_NAMES:
        return ", ".join(names)
    return ", ".join(f"{block}.* ({count} tensors)" for block, count in blocks.items())

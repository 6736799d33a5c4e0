"""The life of one run: found finished, continued, or trained; measured; recorded."""

import dataclasses
import logging
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from src.checks import Plan
from src.flops import count_flops, count_parameters
from src.latency import compare_latency, fused_checkpoint, fused_stock
from src.record import Record, environment, readable_name, run_lock, set_aside, write_atomically
from src.tracking import Tracker, open_tracker
from src.trainer import GraftTrainer, read_journal, resumable, validate

log = logging.getLogger(__name__)
MOST_NAMES = 4
# What every run notes, so that it is no event that sets a run apart.
NOT_EVENTS = {"epoch", "weights", "graft", "optimizer"}
METRICS = {
    "map50_95": "metrics/mAP50-95(B)",
    "map50": "metrics/mAP50(B)",
    "precision": "metrics/precision(B)",
    "recall": "metrics/recall(B)",
}


def run(plan: Plan, config_yaml: str) -> tuple[Record, bool]:
    """Bring a planned run to its end.

    Args:
        plan: a checked configuration.
        config_yaml: the resolved configuration as text, kept in the run's folder.

    Returns:
        The run's record, and whether this call trained (False: it had been finished before).

    Raises:
        RuntimeError: if another process is at this run.
        Exception: whatever stopped the training; the record then says failed or interrupted.
    """
    output_dir = Path(plan.config["output_dir"])
    with run_lock(output_dir / "locks" / f"{plan.folder.name}.lock"):
        previous = Record.read(plan.folder)
        if previous is not None and previous.status == "finished":
            if not plan.config["force"]:
                return previous, False
            log.info("force=true: the finished run is kept in %s", set_aside(plan.folder, output_dir))
            previous = None
        plan.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(plan.folder / "config.yaml", config_yaml)
        record = Record(
            run_id=plan.run_id,
            name=plan.folder.name,
            study=plan.config["study"],
            seed=plan.config["seed"],
            config=plan.config,
            attempts=1 if previous is None else previous.attempts + 1,
            environment=environment(_device_name(plan.device)),
        )
        record.write(plan.folder)
        return _recorded(plan, record), True


def _recorded(plan: Plan, record: Record) -> Record:
    """Train, measure and track; whatever happens, the record says so."""
    start = time.monotonic()
    try:
        with open_tracker(
            plan.config["tracking"],
            run_id=f"{plan.run_id}-{record.attempts}-{int(time.time())}",
            name=readable_name(plan.config),
            group=record.study,
            tags=[
                plan.config["attention"]["name"],
                plan.config["model"]["name"],
                plan.config["data"]["name"],
            ],
            config={**plan.config, "run_id": plan.run_id, "attempt": record.attempts},
            folder=Path(plan.config["output_dir"]).absolute(),
        ) as tracker:
            metrics = _train(plan, tracker)
            record.metrics = {name: float(metrics[key]) for name, key in METRICS.items()}
            _measure(plan, record)
            record.seconds = time.monotonic() - start
            record.status = "finished"
            tracker.finish(record, plan.folder / "train")
            if plan.config["tracking"]["upload_weights"]:
                tracker.upload(_best(plan), plan.folder.name)
            record.tracking = None if tracker.folder is None else str(tracker.folder)
    except BaseException as error:
        record.status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        record.error = traceback.format_exc()
        raise
    finally:
        record.events = [entry for entry in _journal(plan) if entry["event"] not in NOT_EVENTS]
        record.seconds = time.monotonic() - start
        record.write(plan.folder)
    return record


def _journal(plan: Plan) -> list[dict[str, Any]]:
    return read_journal(plan.folder / "journal.jsonl")


def _best(plan: Plan) -> Path:
    return plan.folder / "train" / "weights" / "best.pt"


def _train(plan: Plan, tracker: Tracker) -> dict[str, float]:
    """Train to the end from wherever the folder stands; Ultralytics' metrics of best.pt on the validation images."""
    journal = plan.folder / "journal.jsonl"
    last = _best(plan).with_name("last.pt")
    arguments = dict(plan.arguments)
    if resumable(last):
        arguments["resume"] = str(last)
        tracker.follow(_journal(plan))
    elif last.exists() and _best(plan).exists():  # every epoch is trained; killed before the result was written
        tracker.follow(_journal(plan))
        return validate(_best(plan), arguments)
    else:
        shutil.rmtree(plan.folder / "train", ignore_errors=True)
        journal.unlink(missing_ok=True)
    options = plan.config["trainer"]
    trainer = GraftTrainer.configured(plan.graft, journal, options["threads"], plan.graft_options, options["steps"])(
        overrides=arguments
    )
    if not trainer.ddp:  # callbacks travel to the workers of a multi-GPU run, an open W&B run cannot
        trainer.add_callback("on_fit_epoch_end", lambda _: tracker.follow(_journal(plan)))
    trainer.train()
    tracker.follow(_journal(plan))
    return validate(_best(plan), arguments) if trainer.ddp else trainer.metrics


def _measure(plan: Plan, record: Record) -> None:
    """Parameters, FLOPs and latency of best.pt as it is deployed: fused, float32."""
    options = plan.config["latency"]
    imgsz = options["imgsz"] or plan.arguments["imgsz"]
    channels = plan.dataset.channels
    model = fused_checkpoint(str(_best(plan)), plan.device)
    latest = {entry["event"]: entry for entry in _journal(plan)}
    record.model = {
        "parameters": count_parameters(model),
        "gflops": count_flops(model, channels, imgsz, imgsz) / 1e9,
        "stock_tensors_loaded": latest["weights"]["loaded"],
        "stock_tensors_total": latest["weights"]["total"],
        "stock_tensors_lost": latest["weights"]["lost"],
        "graft_tensors_loaded": latest["weights"]["graft_loaded"],
        "placebo": latest["graft"]["placebo"],
    }
    record.optimizer = latest["optimizer"]["groups"]
    if options["enabled"]:
        stock = fused_stock(plan.config["model"]["name"], len(plan.dataset.names), channels, plan.device)
        image = torch.rand(options["batch"], channels, imgsz, imgsz, generator=torch.Generator().manual_seed(0)).to(
            plan.device
        )
        latency = compare_latency(model, stock, image, seconds=options["seconds"], max_pairs=options["max_pairs"])
        record.latency = dataclasses.asdict(latency)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _tensors(model: Mapping[str, Any]) -> str:
    """How many stock tensors came from weights, and which have no place any more, block by block."""
    text = f"{model['stock_tensors_loaded']} of {model['stock_tensors_total']} loaded from weights"
    if lost := model["stock_tensors_lost"]:
        text += f"; {len(lost)} have no place: {shorten_names(lost)}"
    return text


def _placebo(matches: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The placebo's worst match, as a row of the table."""
    if not matches:
        return []
    worst = max(matches.values(), key=lambda match: abs(match["mismatch"]))
    return [("placebo", f"{worst['by']} within {abs(worst['mismatch']):.2%} of what it stands for, at every place")]


def shorten_names(names: Sequence[str]) -> str:
    """Names of tensors with what they share said once: model.16.cv1.conv.weight, ... is model.16.* (18 tensors)."""
    blocks = Counter(".".join(name.split(".")[:2]) for name in names)
    if len(names) <= MOST_NAMES:
        return ", ".join(names)
    return ", ".join(f"{block}.* ({count} tensors)" for block, count in blocks.items())


def table(record: Record, folder: Path) -> str:
    """The run's results as lines of text for a terminal."""
    latency = record.latency
    timed = [("latency", "not measured (latency.enabled=false)")]
    if latency:
        stock = f"stock p50 {latency['stock_p50_ms']:.2f} ms, {latency['pairs']} pairs timed in turn"
        timed = [
            ("latency p50, p95", f"{latency['p50_ms']:.2f} ms, {latency['p95_ms']:.2f} ms"),
            ("latency / stock", f"{latency['ratio_to_stock']:.3f} ({stock})"),
        ]
    model = record.model
    rows = [
        ("run", record.name),
        ("mAP50-95", f"{record.metrics['map50_95']:.4f}"),
        ("mAP50", f"{record.metrics['map50']:.4f}"),
        ("precision", f"{record.metrics['precision']:.4f}"),
        ("recall", f"{record.metrics['recall']:.4f}"),
        ("parameters", f"{model['parameters']:,} (fused)"),
        ("GFLOPs", f"{model['gflops']:.3f}"),
        ("stock tensors", _tensors(model)),
        *_placebo(model["placebo"]),
        *timed,
        ("time", f"{record.seconds:.0f} s"),
        ("events", ", ".join(entry["event"] for entry in record.events) or "none"),
        ("folder", str(folder)),
        ("weights", str(folder / "train" / "weights" / "best.pt")),
    ]
    if record.tracking is not None:
        rows += [
            ("look at it", f"wandb leet {record.tracking}"),
            ("upload it", f"wandb sync {record.tracking}"),
        ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)

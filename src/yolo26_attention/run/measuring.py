"""The cost of a trained network, counted and timed. A failure does not affect the training; finished runs can be timed.

`Record.latency` is the first successful measurement. `Record.measurements` holds those with other options, newest
first, each with its options and its machine.
"""

import dataclasses
import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from yolo26_attention.detector.trust import Trust, known_classes_only
from yolo26_attention.evaluation.flops import count_flops_by_thop, count_operators, count_parameters
from yolo26_attention.files.digest import json_digest
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.latency import Latency, NoLatency
from yolo26_attention.files.model import NetworkCost, TrainedModel
from yolo26_attention.files.record import Record, replaced_best, without_passwords
from yolo26_attention.files.start import TrainingStart
from yolo26_attention.latency.precision import measured_precision
from yolo26_attention.latency.trained import fused, load_best, measure_run
from yolo26_attention.plan.checks import Plan
from yolo26_attention.run.environment import device_name, environment
from yolo26_attention.run.interrupts import interruptible
from yolo26_attention.run.ownership import other_network
from yolo26_attention.training.state import damage

log = logging.getLogger(__name__)
NO_GPU = ("", "cpu", "mps")  # names of devices that are no GPU's product name
SWITCHES = ("enabled", "again", "patience")  # options of the latency group that do not shape a measurement


class CheckpointError(RuntimeError):
    """best.pt of a finished run cannot be measured; the message says why."""


def network_cost(model: Any, channels: int, imgsz: int) -> NetworkCost:
    """Count the parameters and GFLOPs of a fused network at an image size.

    A failed count is None, and `not_counted` gives the reason.
    """
    gflops, thop_gflops = None, None
    try:
        counted = count_operators(model, channels, imgsz, imgsz)
        gflops, not_counted = counted.flops / 1e9, list(counted.not_counted)
    except Exception as error:  # noqa: BLE001  a failed count must not lose the finished training
        not_counted = [f"everything, as the network fails at {imgsz} px: {_text(error)}"]
    try:
        thop_gflops = count_flops_by_thop(model, channels, imgsz, imgsz) / 1e9
    except Exception as error:  # noqa: BLE001  as above
        log.warning("thop cannot count this network: %s", _text(error))
    return NetworkCost(count_parameters(model), gflops, thop_gflops, imgsz, not_counted)


def measure_best(plan: Plan, start: TrainingStart) -> tuple[TrainedModel, Latency | NoLatency | None]:
    """Count and time best.pt of a training that has just finished, as deployed.

    Args:
        plan: plan of the run.
        start: what the training began with.
    """
    imgsz = plan.config.latency.imgsz or plan.config.trainer.imgsz
    trained = load_best(RunFolder(plan.folder).best, plan.device)
    model = TrainedModel(
        **vars(network_cost(fused(trained), plan.dataset.channels, imgsz)),
        stock_tensors_loaded=start.weights.loaded,
        stock_tensors_total=start.weights.total,
        stock_tensors_lost=start.weights.lost,
        graft_tensors_loaded=start.weights.graft_loaded,
        placebo=start.placebo,
    )
    if not plan.config.latency.enabled:
        return model, None
    return model, _measured(plan, trained, RunFolder(plan.folder).samples.name)


def measure_again(plan: Plan, record: Record) -> Record:
    """Time best.pt of a run that finished before, unless these options are measured and `latency.again` is not set.

    The record on disk keeps its existing values.

    Returns:
        The record, with the requested measurement as its `latency`.
    """
    options = plan.config.latency
    if not options.enabled:
        return record
    wanted = _asked(plan)
    known = find(record, wanted)
    if known is not None and not options.again:
        return dataclasses.replace(record, latency=known)
    before = record.latency
    first = not isinstance(before, Latency) or _is_of(before, record, wanted)
    samples = RunFolder(plan.folder).samples.name if first else f"latency-{json_digest(wanted)[:8]}.npz"
    with interruptible():
        new = _measured_from_disk(plan, record, samples)
    new = dataclasses.replace(new, environment=environment(plan.latency_device))
    if known is not None and isinstance(new, NoLatency):
        return dataclasses.replace(record, latency=new)  # keep the earlier measurement on disk
    kept = [old for old in record.measurements if isinstance(old, Latency) or not _same(old.options or {}, wanted)]
    if first:
        kept = [before, *kept] if known is not None and before is not None else kept
        record.latency = new
    else:
        kept = [new, *kept]
    record.measurements = kept
    record.write(plan.folder)
    return dataclasses.replace(record, latency=new)


def asked(config: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Key of a measurement: its resolved options, and the name of the device.

    Args:
        config: a run's configuration as plain values, also of a record of an earlier version, which lacks options.
        device: name of the device: a GPU's product name, or the type of any other.
    """
    trainer = config["trainer"]
    options = {key: value for key, value in config["latency"].items() if key not in SWITCHES}
    options["threads"] = options.get("threads") or trainer["threads"]
    if options.get("precision") is None:
        options["precision"] = measured_precision(None, gpu=device not in NO_GPU).value
    return {**options, "imgsz": options.get("imgsz") or trainer["imgsz"], "device": device}


def _asked(plan: Plan) -> dict[str, Any]:
    return asked(plan.config.plain(), device_name(plan.latency_device))


def find(record: Record, wanted: Mapping[str, Any]) -> Latency | None:
    """Find a record's successful measurement with these options; None if there is none.

    Args:
        record: record of a finished run.
        wanted: key from `asked`.
    """
    for measured in (record.latency, *record.measurements):
        if isinstance(measured, Latency) and _is_of(measured, record, wanted):
            return measured
    return None


def _is_of(measured: Latency, record: Record, wanted: Mapping[str, Any]) -> bool:
    """Whether a measurement is the one that is wanted; one of an earlier version has no options of its own."""
    return _same(measured.options or asked(record.config, record.environment.get("device", "")), wanted)


def _same(options: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether options agree; options that did not exist at the time of the measurement are ignored."""
    return all(wanted[key] == value for key, value in options.items() if key in wanted)


def _measured_from_disk(plan: Plan, record: Record, samples: str) -> Latency | NoLatency:
    """Measure a run that finished earlier, whose best.pt may have changed since."""
    try:
        trained = load_finished(record, plan.folder, plan.trust, plan.latency_device)
    except CheckpointError as error:
        return _failed(plan, str(error))
    log.info("finished before; nothing is trained, and best.pt is measured with other latency options")
    return _measured(plan, trained, samples)


def load_finished(record: Record, folder: Path, trust: Trust, device: torch.device) -> Any:
    """Load best.pt of a finished run, in evaluation mode and not fused, if it is still what the run trained.

    Args:
        record: record of the run.
        folder: folder of the run.
        trust: whose classes the checkpoint may hold.
        device: where to load it.

    Raises:
        CheckpointError: if it is gone, damaged, another network, or holds classes that are not trusted.
    """
    best = RunFolder(folder).best
    if problem := damage(best) or replaced_best(record, folder):
        raise CheckpointError(f"{problem}; force=true trains the run anew")
    try:
        with known_classes_only("best.pt", best, trust):
            trained = load_best(best, device)
    except (ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(str(error)) from error
    except Exception as error:  # an untrusted file may raise anything
        raise CheckpointError(_text(error)) from error
    if "best" not in record.checkpoints and (problem := other_network(record, best, trained, fused(trained))):
        raise CheckpointError(f"{problem}; force=true trains the run anew")
    return trained


def _measured(plan: Plan, trained: Any, samples: str) -> Latency | NoLatency:
    """A measurement, or the text of its error, with the requested options."""
    wanted = _asked(plan)
    try:
        return dataclasses.replace(measure_run(plan, trained, wanted["imgsz"], samples), options=wanted)
    except (Exception, SystemExit) as error:
        log.warning("the latency could not be measured", exc_info=True)
        return _failed(plan, _text(error))


def _failed(plan: Plan, error: str) -> NoLatency:
    return NoLatency(without_passwords(error), _asked(plan))


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"

"""The cost of a trained network, counted and timed. A failure does not affect the training; finished runs can be timed.

`Record.latency` is the first successful measurement. `Record.measurements` holds those with other options, newest
first, each with its options and its machine.
"""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Any

from yolo26_attention.detector.trust import known_classes_only
from yolo26_attention.evaluation.flops import count_flops_by_thop, count_operators, count_parameters
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.record import Record, replaced_best, without_passwords
from yolo26_attention.latency.trained import fused, load_best, measure_run
from yolo26_attention.plan.checks import Plan
from yolo26_attention.run.environment import device_name, environment
from yolo26_attention.run.interrupts import interruptible
from yolo26_attention.run.ownership import other_network
from yolo26_attention.training.state import damage

log = logging.getLogger(__name__)
SWITCHES = ("enabled", "again")  # options of the latency group that do not shape a measurement


def network_costs(model: Any, channels: int, imgsz: int) -> dict[str, Any]:
    """Count the parameters and GFLOPs of a fused network at an image size, as stored in the record.

    A failed count is None, and `not_counted` gives the reason.
    """
    costs: dict[str, Any] = {"parameters": count_parameters(model), "flops_imgsz": imgsz}
    try:
        counted = count_operators(model, channels, imgsz, imgsz)
        costs |= {"gflops": counted.flops / 1e9, "not_counted": list(counted.not_counted)}
    except Exception as error:  # noqa: BLE001  a failed count must not lose the finished training
        costs |= {"gflops": None, "not_counted": [f"everything, as the network fails at {imgsz} px: {_text(error)}"]}
    try:
        costs["thop_gflops"] = count_flops_by_thop(model, channels, imgsz, imgsz) / 1e9
    except Exception as error:  # noqa: BLE001  as above
        log.warning("thop cannot count this network: %s", _text(error))
        costs["thop_gflops"] = None
    return costs


def measure_costs(plan: Plan, record: Record) -> None:
    """Count and time best.pt of a training that has just finished, as deployed."""
    imgsz = plan.config.latency.imgsz or plan.config.trainer.imgsz
    trained = load_best(RunFolder(plan.folder).best, plan.device)
    record.model |= network_costs(fused(trained), plan.dataset.channels, imgsz)
    if plan.config.latency.enabled:
        record.latency = _measured(plan, trained, RunFolder(plan.folder).samples.name)


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
    if known and not options.again:
        return dataclasses.replace(record, latency=known)
    first = find(record, wanted, record.latency) or not record.latency or "error" in record.latency
    samples = RunFolder(plan.folder).samples.name if first else f"latency-{_digest(wanted)}.npz"
    with interruptible():
        new = _measured_from_disk(plan, record, samples)
    new["environment"] = environment(plan.device)
    if known and "error" in new:
        return dataclasses.replace(record, latency=new)  # keep the earlier measurement on disk
    kept = [old for old in record.measurements if "error" not in old or not _same(old["options"], wanted)]
    if first:
        kept = [record.latency, *kept] if known else kept
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
        device: name of the device.
    """
    trainer = config["trainer"]
    options = {key: value for key, value in config["latency"].items() if key not in SWITCHES}
    options["threads"] = options.get("threads") or trainer["threads"]
    return {**options, "imgsz": options.get("imgsz") or trainer["imgsz"], "device": device}


def _asked(plan: Plan) -> dict[str, Any]:
    return asked(plan.config.plain(), device_name(plan.device))


def find(record: Record, wanted: Mapping[str, Any], *among: Mapping[str, Any]) -> dict[str, Any]:
    """Find a record's successful measurement with these options; empty if there is none.

    Args:
        record: record of a finished run.
        wanted: key from `asked`.
        among: measurements to search; all of the record's if none are given.
    """
    for measured in among or (record.latency, *record.measurements):
        if measured and "error" not in measured:
            options = measured.get("options") or asked(record.config, record.environment.get("device", ""))
            if _same(options, wanted):
                return dict(measured)
    return {}


def _same(options: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether options agree; options that did not exist at the time of the measurement are ignored."""
    return all(wanted[key] == value for key, value in options.items() if key in wanted)


def _measured_from_disk(plan: Plan, record: Record, samples: str) -> dict[str, Any]:
    """Measure a run that finished earlier, whose best.pt may have changed since."""
    best = RunFolder(plan.folder).best
    if problem := damage(best) or replaced_best(record, plan.folder):
        return _failed(plan, f"{problem}; force=true trains the run anew")
    log.info("finished before; nothing is trained, and best.pt is measured with other latency options")
    try:
        with known_classes_only("best.pt", best, plan.trust):
            trained = load_best(best, plan.device)
    except Exception as error:  # noqa: BLE001  an untrusted file may raise anything
        return _failed(plan, _text(error))
    if "best" not in record.checkpoints and (problem := other_network(record, best, trained, fused(trained))):
        return _failed(plan, f"{problem}; force=true trains the run anew")
    return _measured(plan, trained, samples)


def _measured(plan: Plan, trained: Any, samples: str) -> dict[str, Any]:
    """A measurement, or the text of its error, with the requested options."""
    wanted = _asked(plan)
    try:
        return {**measure_run(plan, trained, wanted["imgsz"], samples), "options": wanted}
    except (Exception, SystemExit) as error:
        log.warning("the latency could not be measured", exc_info=True)
        return _failed(plan, _text(error))


def _failed(plan: Plan, error: str) -> dict[str, Any]:
    return {"error": without_passwords(error), "options": _asked(plan)}


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _digest(options: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]

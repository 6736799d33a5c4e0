"""What the targets of a study are called, and what was timed on one, as text. Free of torch."""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from yolo26_attention.counts import number_of
from yolo26_attention.files.timings import Target, Timings
from yolo26_attention.latency.text import interval_text, machine_text
from yolo26_attention.text_tables import aligned

NO_NAMES = re.compile(r"\((R|TM)\)|\bCPU\b|\bProcessor\b|@.*", re.IGNORECASE)


def read_targets(path: Path, listed: Collection[tuple[str, str]]) -> tuple[Target, ...]:
    """The targets of a study, with the variants whose timed run is still part of it.

    Args:
        path: of timings.json, which need not exist.
        listed: variant and run of each entry of the study.

    Raises:
        ValueError: if the file is damaged, or of a later version.
    """
    found = []
    for target in Timings.read(path).targets:
        kept = {label: timed for label, timed in target.variants.items() if (label, timed.run) in listed}
        found += [replace(target, variants=kept)] if kept else []
    return tuple(found)


def described(target: Target) -> str:
    """Machine, backend and everything else that a latency holds for, as part of a sentence."""
    return ", ".join(filter(None, _parts(target).values()))


def short_names(targets: Sequence[Target]) -> list[str]:
    """What tells targets apart, a name for each; of a single one, its backend."""
    parts = [_parts(target) for target in targets]
    differing = [key for key in parts[0] if len({each[key] for each in parts}) > 1] if parts else []
    names = [", ".join(filter(None, (each[key] for key in differing or ["backend"]))) for each in parts]
    return [f"{name}, {number}" if names.count(name) > 1 else name for number, name in enumerate(names, 1)]


def timing_table(target: Target) -> list[str]:
    """The variants of a target as lines of a table, fastest first."""
    beside = any(timed.to_baseline is not None for timed in target.variants.values())
    rows = [["variant", "p50 (ms)", "p95 (ms)", "times stock", "(interval)"]]
    rows[0] += ["times baseline", "(interval)"] if beside else []
    rows[0].append("end to end, times stock")
    for label, timed in sorted(target.variants.items(), key=lambda item: item[1].latency.ratio_to_stock):
        latency = timed.latency
        row = [label, f"{latency.p50_ms:.2f}", f"{latency.p95_ms:.2f}", f"{latency.ratio_to_stock:.3f}"]
        row.append(interval_text(latency.ratio_low, latency.ratio_high))
        if beside:
            base = timed.to_baseline
            row += ["", ""] if base is None else [f"{base.ratio:.3f}", interval_text(base.low, base.high)]
        rows.append([*row, f"{latency.end_to_end.ratio_to_stock:.3f}"])
    return [
        described(target),
        *aligned(rows, right=range(1, len(rows[0]))),
        *_explained(target, beside),
        *disturbances(target),
        *(f"not timed: {label}: {error}" for label, error in target.failed.items()),
    ]


def _explained(target: Target, beside: bool) -> list[str]:
    """What the columns of `timing_table` are, and how long the timing may take."""
    baseline = ", times baseline to that of its baseline" if beside else ""
    lines = [
        "p50 and p95 are of the network alone; end to end is from the image to the boxes. times stock is the ratio to "
        f"the latency of the stock model{baseline}, each with its 95 % interval."
    ]
    if (seconds := target.options.get("seconds")) is not None:
        lines.append(
            f"latency.seconds={seconds:g} is the longest time for two networks; more take as much longer, and end to "
            "end takes it again."
        )
    return lines


def disturbances(target: Target) -> list[str]:
    """What disturbed a measurement, a line each: the networks were timed in turn, so that it is the same for all."""
    latency = next(iter(target.variants.values())).latency
    wide = [label for label, timed in target.variants.items() if not timed.latency.narrow]
    lines = [warning] if (warning := machine_text(latency)) else []
    if waited := latency.machine.waited_seconds:
        lines.append(f"paused for {waited:.0f} s because the machine was busy or throttled")
    if wide:
        width = target.options.get("width", 0.0)
        lines.append(f"the time ran out before the interval was {width:.1%} wide or less: {', '.join(wide)}")
    return lines


def _parts(target: Target) -> dict[str, str]:
    options = target.options
    cpu = options["device"] == "cpu"
    sizes = sorted({timed.latency.imgsz for timed in target.variants.values()})
    parts = {
        "machine": _model(str(options["cpu"] or "an unknown CPU")) if cpu else str(options["device"]),
        "backend": str(options["backend"]),
        "precision": str(options["precision"]),
        "batch": f"batch {options['batch']}",
        "imgsz": f"{' and '.join(map(str, sizes))} px",
        "threads": "",
    }
    if cpu:
        threads = next(iter(target.variants.values())).latency.threads
        parts["threads"] = "" if threads is None else number_of(threads, "CPU thread")
    return parts


def _model(name: str) -> str:
    """A CPU's name without what every name of its vendor has."""
    return " ".join(NO_NAMES.sub(" ", name).split())

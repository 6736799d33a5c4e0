"""Format a measurement for a terminal."""

from yolo26_attention.counts import number_of
from yolo26_attention.files.latency import Latency, NoLatency, NoThroughput, Parity, Throughput, Timing
from yolo26_attention.files.model import NetworkCost


def latency_rows(latency: Latency | NoLatency | None) -> list[tuple[str, str]]:
    """Rows of a table, name and value; for a failed measurement, or none, one row with the reason."""
    if latency is None:
        return [("latency", "not measured (latency.enabled=false)")]
    if isinstance(latency, NoLatency):
        return [("latency", f"NOT MEASURED: {latency.error}; the same command tries again")]
    where = f"{latency.backend}, {latency.precision}, batch {latency.batch}, {latency.imgsz} px"
    where += f", {number_of(latency.threads, 'CPU thread')}" if latency.threads else ""
    rows = [
        ("deployed", where),
        ("latency p50, p95, p99", _quantiles(latency)),
        ("latency / stock", f"{ratio_text(latency)}, stock p50 {latency.stock_p50_ms:.2f} ms"),
        ("end to end p50, p95, p99", _quantiles(latency.end_to_end)),
        ("end to end / stock", ratio_text(latency.end_to_end)),
    ]
    for size, throughput in latency.throughput.items():
        rows.append((f"images/s at batch {size}", _throughput(throughput)))
    if memory := latency.memory:
        rows.append(("peak memory", f"{memory.peak_mb:.1f} MB, stock {memory.stock_peak_mb:.1f} MB ({memory.counted})"))
    if parity := latency.parity:
        rows.append(("against PyTorch", _parity(parity)))
    if warning := machine_text(latency):
        rows.append(("machine", warning))
    return rows


def flops_text(cost: NetworkCost) -> str:
    """GFLOPs by the counter and by thop, with the image size and what is not counted."""
    text = "not counted" if cost.gflops is None else f"{cost.gflops:.3f}"
    if cost.flops_imgsz is not None:
        text += f" at {cost.flops_imgsz} px"
    text += " (thop fails here)" if cost.thop_gflops is None else f" (thop counts {cost.thop_gflops:.3f})"
    return f"{text}; not counted: {', '.join(cost.not_counted)}" if cost.not_counted else text


def ratio_text(timed: Timing) -> str:
    """The ratio with its interval and the number of pairs."""
    interval = interval_text(timed.ratio_low, timed.ratio_high)
    interval = f"95 %: {interval}" if interval else "no interval"
    return f"{timed.ratio_to_stock:.3f} ({interval}; {timed.pairs} pairs timed in turn)"


def interval_text(low: float | None, high: float | None) -> str:
    """The interval of a ratio; empty if there are too few pairs for one."""
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def machine_text(latency: Latency) -> str:
    """Warnings about the machine during a measurement; empty if there are none."""
    return machine_warning(latency.busy, latency.throttled, latency.machine.others_cores)


def machine_warning(busy: bool, throttled: bool | None, others_cores: float) -> str:
    """As `machine_text`, from what was seen of the machine."""
    said = []
    if busy:
        said.append(f"BUSY: other processes used {others_cores:.2f} cores")
    if throttled:
        said.append("THROTTLED while it measured")
    return "; ".join(said)


def _quantiles(timed: Timing) -> str:
    return f"{timed.p50_ms:.2f} ms, {timed.p95_ms:.2f} ms, {timed.p99_ms:.2f} ms"


def _throughput(throughput: Throughput | NoThroughput) -> str:
    if isinstance(throughput, NoThroughput):
        return throughput.error
    text = f"{throughput.images_per_second:.1f}, stock {throughput.stock_images_per_second:.1f}"
    if throughput.joules_per_image is not None:
        text += f"; {throughput.joules_per_image:.3f} J each, stock {throughput.stock_joules_per_image:.3f} J"
    return text


def _parity(parity: Parity) -> str:
    text = f"largest difference {parity.largest_difference:.1e}"
    if parity.map50_95 is not None:
        text += f", mAP50-95 {parity.map50_95:.4f}, in PyTorch {parity.pytorch_map50_95:.4f}"
        text += "" if parity.pytorch_map50_95 else ", which says nothing"
    return text

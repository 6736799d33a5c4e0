"""The columns of what each variant costs."""

from functools import partial

from yolo26_attention.files.latency import Ratio
from yolo26_attention.reporting.cells import Cell, plain_number, ratio_of, timed_ratio
from yolo26_attention.reporting.column_type import Column
from yolo26_attention.reporting.comparison import Results
from yolo26_attention.reporting.variant import Variant
from yolo26_attention.study.targets import described, short_names


def cost_columns(results: Results) -> list[Column]:
    """What each variant costs."""
    size, batch = _flops_size(results), _largest_batch(results)
    at = f" at {size} px" if size else ""
    timed = f" ({described(results.study.targets[0])})" if results.study.targets else _timed(results)
    throughput = f"latency.throughput.{batch}"
    return [
        *_ratios(results),
        Column(
            "fps", "FPS", f"images per second of a forward pass{timed}", plain_number("latency.fps", ",.0f"),
            best="highest", number="latency.fps",
        ),
        Column(
            "images_per_second", f"images/s at batch {batch}", f"images per second in batches of {batch}",
            plain_number(throughput, ",.1f"), best="highest", number=throughput,
        ),
        Column("p50_ms", "p50 (ms)", f"median time of a forward pass{timed}", plain_number("latency.p50_ms", ".2f")),
        Column(
            "end_to_end", "end to end", "latency ratio with pre- and postprocessing",
            plain_number("latency.end_to_end.ratio_to_stock", ".3f"),
        ),
        Column("memory_mb", "memory (MB)", "peak of a forward pass", plain_number("latency.memory.peak_mb", ",.1f")),
        Column("parameters", "parameters", "of the fused network", plain_number("model.parameters", ",.0f")),
        Column(
            "parameters_m", "Params (M)", "millions of parameters of the fused network",
            plain_number("model.parameters", ".2f", 1e-6), best="lowest", number="model.parameters",
        ),
        Column(
            "gflops", f"GFLOPs{at}", f"of the fused network{at}",
            plain_number("model.gflops", "#.3g"), best="lowest", number="model.gflops",
            latex="GFLOPs",
        ),
    ]  # fmt: skip


def _ratios(results: Results) -> list[Column]:
    """Latency over the stock model's: a column for each target of a study that was timed together."""
    targets = results.study.targets
    names = [f" ({name})" for name in short_names(targets)] if len(targets) > 1 else [""]
    where = [f" on {described(target)}" for target in targets] or [""]
    what = f"latency over the stock model's{where[0]}, {results.level:.0%} interval"
    times = "latency as a multiple of the stock model's"
    found = [
        Column(
            "latency_ratio", f"latency ratio{names[0]}", what, lambda v: ratio_of(v.ratio),
            best="lowest", number="latency.ratio_to_stock",
        ),
        Column(
            "latency_times", f"Latency (×){names[0]}", f"{times}{where[0]}",
            plain_number("latency.ratio_to_stock", ".2f"), best="lowest", number="latency.ratio_to_stock",
        ),
    ]  # fmt: skip
    for number in range(1, len(targets)):
        found += [
            Column(
                f"latency_ratio_{number + 1}", f"latency ratio{names[number]}",
                f"latency over the stock model's{where[number]}, 95% interval", partial(_on_target, target=number),
            ),
            Column(
                f"latency_times_{number + 1}", f"Latency (×){names[number]}", f"{times}{where[number]}",
                partial(_on_target, target=number, short=True),
            ),
        ]  # fmt: skip
    if targets:
        meaning = f"latency over the baseline's{where[0]}, 95% interval"
        found.append(Column("latency_baseline", "latency / baseline", meaning, _beside_baseline))
    return found


def _on_target(variant: Variant, target: int, short: bool = False) -> Cell:
    return timed_ratio(timed_on(variant, target), short)


def _beside_baseline(variant: Variant) -> Cell:
    timed = variant.timed[0]
    return timed_ratio(None if timed is None else timed.to_baseline)


def timed_on(variant: Variant, target: int) -> Ratio | None:
    """Its latency over the stock model's on a target of a study that was timed together; None if it was not timed."""
    timed = variant.timed[target]
    if timed is None:
        return None
    return Ratio(timed.latency.ratio_to_stock, timed.latency.ratio_low, timed.latency.ratio_high)


def _flops_size(results: Results) -> str:
    """The image sizes at which FLOPs were counted; records of earlier versions do not have them."""
    models = [record.model for variant in results.variants for record in variant.records]
    known = {model.flops_imgsz for model in models if model is not None and model.flops_imgsz is not None}
    return " and ".join(map(str, sorted(known)))


def _largest_batch(results: Results) -> int:
    """The largest batch whose throughput was measured; 0 if none was."""
    timed = [record.timed for variant in results.variants for record in variant.records]
    return max((int(size) for latency in timed if latency is not None for size in latency.throughput), default=0)


def _timed(results: Results) -> str:
    """How forward passes were timed, if all runs agree."""
    kinds = {
        f" (batch {timed.batch}, {timed.imgsz} px, {record.environment.get('device')}, {timed.precision})"
        for variant in results.variants
        for record in variant.records
        if (timed := record.timed) is not None
    }
    return kinds.pop() if len(kinds) == 1 else ""

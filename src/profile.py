"""Entry: print the cost of a configuration against the stock model, without training.

    python -m src.profile attention=acmix placement=neck
    python -m src.profile -m attention=baseline,acmix,cbam        # ends with one table, sorted by latency

The attention has random weights (`model.weights` is ignored). Weights do not affect the cost, with one exception: the
number of boxes in non-maximum suppression, in the end-to-end figures.
"""

import dataclasses
import json
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from yolo26_attention.columns import aligned
from yolo26_attention.config.command_line import check_command_line, one_line_errors
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.hydra_errors import job_config
from yolo26_attention.config.registration import register_configs, run_config

if TYPE_CHECKING:
    from yolo26_attention.plan.checks import Plan

HEADER = (
    "variant",
    "parameters",
    "GFLOPs",
    "thop",
    "px",
    "p50",
    "p95",
    "p99",
    "/ stock",
    "95 %",
    "end to end",
    "MB",
    "",
)


def measure_plan(plan: "Plan") -> dict[str, Any]:
    """Measure the cost of a plan's network, as plain values.

    Raises:
        ConfigError: if `latency.enabled` is false.
    """
    from yolo26_attention.detector.grafting import graft
    from yolo26_attention.detector.stock import build_stock
    from yolo26_attention.latency.measure import measure, validation_images
    from yolo26_attention.latency.trained import fused, measurement_options
    from yolo26_attention.run.measuring import network_costs

    options = measurement_options(plan.config.latency, plan.config.trainer)
    if not options.enabled:
        raise ConfigError(
            "latency.enabled=false leaves nothing to profile; use python -m src.describe to count without timing"
        )
    channels = plan.dataset.channels
    imgsz = options.imgsz or plan.arguments["imgsz"]
    stock, model = (build_stock(plan.config.model.name, len(plan.dataset.names), channels).eval() for _ in range(2))
    graft(model, *plan.grafts)
    deployed = fused(model)
    images = validation_images(plan.dataset.yaml, channels)
    return {
        **network_costs(deployed, channels, imgsz),
        "latency": measure(model, stock, options, images=images, imgsz=imgsz, device=plan.device).record,
    }


def report(plan: "Plan", cost: dict[str, Any]) -> str:
    """Format the network's sites and its cost as lines of text."""
    from src.describe import describe
    from yolo26_attention.latency.text import latency_rows

    thop = "none, it fails here" if cost["thop_gflops"] is None else f"{cost['thop_gflops']:.3f}"
    rows = [("GFLOPs by thop", f"{thop} at {cost['flops_imgsz']} px, as published tables count")]
    rows += latency_rows(cost["latency"])
    shown = dataclasses.replace(plan, arguments={**plan.arguments, "imgsz": cost["latency"]["imgsz"]})
    return "\n".join(
        [
            describe(shown),
            "",
            *aligned(rows),
            "",
            "Weights are random: not trained, and no accuracy was looked at.",
        ]
    )


def table(costs: list[dict[str, Any]]) -> str:
    """Format variants as rows, sorted by latency relative to stock; failed variants come last."""
    from yolo26_attention.latency.text import machine_text

    overrides = [set(cost["overrides"]) for cost in costs]
    common = set.intersection(*overrides) if len(costs) > 1 else set()
    rows = []
    for cost in sorted(
        costs, key=lambda cost: cost["latency"]["ratio_to_stock"] if "latency" in cost else float("inf")
    ):
        variant = " ".join(item for item in cost["overrides"] if item not in common) or "defaults"
        if "error" in cost:
            rows.append((variant, *[""] * (len(HEADER) - 2), cost["error"]))
            continue
        latency = cost["latency"]
        known = latency["ratio_low"] is not None
        rows.append(
            (
                variant,
                f"{cost['parameters']:,}",
                *("?" if cost[key] is None else f"{cost[key]:.3f}" for key in ("gflops", "thop_gflops")),
                str(cost["flops_imgsz"]),
                *(f"{latency[key]:.2f}" for key in ("p50_ms", "p95_ms", "p99_ms")),
                f"{latency['ratio_to_stock']:.3f}",
                f"{latency['ratio_low']:.3f} to {latency['ratio_high']:.3f}" if known else "unknown",
                f"{latency['end_to_end']['ratio_to_stock']:.3f}",
                f"{latency['memory']['peak_mb']:.1f}" if latency["memory"] else "",
                "; ".join(filter(None, [machine_text(latency), _not_counted(cost)])),
            )
        )
    return "\n".join(aligned([HEADER, *rows], right=range(1, len(HEADER) - 1)))


def _not_counted(cost: dict[str, Any]) -> str:
    return f"not counted: {', '.join(cost['not_counted'])}" if cost["not_counted"] else ""


class Table(Callback):
    """Prints the table of a sweep from the results of its jobs, for any launcher."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the table; the exit status is 1 if a variant failed."""
        folder = Path(config.hydra.sweep.dir)
        costs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
        if not costs:
            sys.exit(f"error: no variant left a result in {folder}")
        print(f"\n{table(costs)}\n\nTimes in ms; ratios are to the stock model timed in turn. Each variant: {folder}")
        if any("error" in cost for cost in costs):
            sys.exit(1)


@hydra.main(config_path="../conf", config_name="profile", version_base="1.3")
def profile(config: DictConfig) -> None:
    """Print the cost of one configuration; in a sweep, also store it for the table."""
    from yolo26_attention.files.atomic import write_atomically
    from yolo26_attention.latency.parity import ParityError
    from yolo26_attention.plan.checks import check

    job = HydraConfig.get()
    result: dict[str, Any] = {"overrides": list(job.overrides.task)}
    try:
        plan = check(job_config(config, run_config))
        result |= measure_plan(plan)
        print(report(plan, result), flush=True)
    except (ConfigError, ParityError) as error:
        if job.mode != RunMode.MULTIRUN:
            sys.exit(f"error: {error}")
        result["error"] = str(error)
        print(f"error: {error}", file=sys.stderr)
    except Exception as error:  # one failed variant must not prevent the table; the exit status is 1
        if job.mode != RunMode.MULTIRUN:
            raise
        result["error"] = f"{type(error).__name__}: {error}"
        traceback.print_exc()
    if job.mode == RunMode.MULTIRUN:
        folder = Path(job.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{job.job.num:04d}.json", json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    register_configs()
    with one_line_errors():
        check_command_line(sys.argv[1:])
        profile()

"""Entry: print the cost of a configuration against the stock model, without training.

    python -m src.profile attention=acmix placement=neck
    python -m src.profile -m attention=baseline,acmix,cbam        # ends with one table, sorted by latency / stock

The attention has random weights (`model.weights` is ignored). Weights do not affect the cost, with one exception: the
number of boxes in non-maximum suppression, in the end-to-end figures.
"""

import dataclasses
import json
import math
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from yolo26_attention.config.command_line import exit_with, hydra_command, tell_recipe
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.hydra_errors import job_config
from yolo26_attention.config.registration import run_config
from yolo26_attention.files.latency import Latency
from yolo26_attention.files.model import NetworkCost
from yolo26_attention.files.typed import parse, plain
from yolo26_attention.text_tables import aligned

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


@dataclass(frozen=True, kw_only=True)
class Profile(NetworkCost):
    """The cost of one variant, and the command line that made it."""

    overrides: list[str]
    latency: Latency


@dataclass(frozen=True)
class NoProfile:
    """Why a variant could not be measured, and the command line that made it."""

    overrides: list[str]
    error: str


def measure_plan(plan: "Plan", overrides: list[str]) -> Profile:
    """Measure the cost of a plan's network.

    Args:
        plan: a checked configuration.
        overrides: the command line.

    Raises:
        ConfigError: if `latency.enabled` is false.
    """
    from yolo26_attention.detector.grafting import graft
    from yolo26_attention.detector.stock import build_stock
    from yolo26_attention.latency.end_to_end import validation_images
    from yolo26_attention.latency.measure import measure
    from yolo26_attention.latency.trained import fused, measurement_options
    from yolo26_attention.run.measuring import network_cost

    options = measurement_options(plan.config.latency, plan.config.trainer)
    if not options.enabled:
        raise ConfigError(
            "latency.enabled=false leaves nothing to profile; use python -m src.describe to count without timing"
        )
    channels = plan.dataset.channels
    imgsz = options.imgsz or plan.arguments["imgsz"]
    stock, model = (build_stock(plan.config.model.source, len(plan.dataset.names), channels).eval() for _ in range(2))
    graft(model, *plan.grafts)
    deployed = fused(model)
    images = validation_images(plan.dataset.yaml, channels)
    cost = network_cost(deployed, channels, imgsz)
    measured = measure(model, stock, options, images=images, imgsz=imgsz, device=plan.latency_device)
    return Profile(**vars(cost), overrides=overrides, latency=measured.latency)


def report(plan: "Plan", cost: Profile) -> str:
    """Format the network's sites and its cost as lines of text."""
    from src.describe import describe
    from yolo26_attention.latency.text import latency_rows

    thop = "none, it fails here" if cost.thop_gflops is None else f"{cost.thop_gflops:.3f}"
    rows = [("GFLOPs by thop", f"{thop} at {cost.flops_imgsz} px, as published tables count")]
    rows += latency_rows(cost.latency)
    shown = dataclasses.replace(plan, arguments={**plan.arguments, "imgsz": cost.latency.imgsz})
    return "\n".join(
        [
            describe(shown),
            "",
            *aligned(rows),
            "",
            "Weights are random: not trained, and no accuracy was looked at.",
        ]
    )


def table(costs: Sequence[Profile | NoProfile]) -> str:
    """Format variants as rows, sorted by latency relative to stock; failed variants come last."""
    from yolo26_attention.latency.text import machine_text

    common = set.intersection(*(set(cost.overrides) for cost in costs)) if len(costs) > 1 else set()
    rows = []
    for cost in sorted(costs, key=lambda cost: cost.latency.ratio_to_stock if isinstance(cost, Profile) else math.inf):
        variant = " ".join(item for item in cost.overrides if item not in common) or "defaults"
        if isinstance(cost, NoProfile):
            rows.append((variant, *[""] * (len(HEADER) - 2), cost.error))
            continue
        timed = cost.latency
        known = timed.ratio_low is not None
        rows.append(
            (
                variant,
                f"{cost.parameters:,}",
                *("?" if count is None else f"{count:.3f}" for count in (cost.gflops, cost.thop_gflops)),
                str(cost.flops_imgsz),
                *(f"{quantile:.2f}" for quantile in (timed.p50_ms, timed.p95_ms, timed.p99_ms)),
                f"{timed.ratio_to_stock:.3f}",
                f"{timed.ratio_low:.3f} to {timed.ratio_high:.3f}" if known else "unknown",
                f"{timed.end_to_end.ratio_to_stock:.3f}",
                f"{timed.memory.peak_mb:.1f}" if timed.memory else "",
                "; ".join(filter(None, [machine_text(timed), _not_counted(cost)])),
            )
        )
    return "\n".join(aligned([HEADER, *rows], right=range(1, len(HEADER) - 1)))


def _not_counted(cost: NetworkCost) -> str:
    return f"not counted: {', '.join(cost.not_counted)}" if cost.not_counted else ""


def read(text: str) -> Profile | NoProfile:
    """Read what one job of a sweep left."""
    return parse(NoProfile, text) if "error" in json.loads(text) else parse(Profile, text)


class Table(Callback):
    """Prints the table of a sweep from the results of its jobs, for any launcher."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the table; the exit status is 1 if a variant failed."""
        folder = Path(config.hydra.sweep.dir)
        costs = [read(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
        if not costs:
            sys.exit(f"error: no variant left a result in {folder}")
        print(f"\n{table(costs)}\n\nTimes in ms; ratios are to the stock model timed in turn. Each variant: {folder}")
        if any(isinstance(cost, NoProfile) for cost in costs):
            sys.exit(1)


@hydra.main(config_path="../conf", config_name="profile", version_base="1.3")
def profile(config: DictConfig) -> None:
    """Print the cost of one configuration; in a sweep, also store it for the table."""
    from yolo26_attention.files.atomic import write_atomically
    from yolo26_attention.latency.parity import ParityError
    from yolo26_attention.plan.checks import check

    job = HydraConfig.get()
    overrides = list(job.overrides.task)
    try:
        plan = check(job_config(config, run_config))
        tell_recipe()
        cost = measure_plan(plan, overrides)
        print(report(plan, cost), flush=True)
        result: Profile | NoProfile = cost
    except (ConfigError, ParityError) as error:
        if job.mode != RunMode.MULTIRUN:
            exit_with(error)
        result = NoProfile(overrides, str(error))
        print(f"error: {error}", file=sys.stderr)
    except Exception as error:  # one failed variant must not prevent the table; the exit status is 1
        if job.mode != RunMode.MULTIRUN:
            raise
        result = NoProfile(overrides, f"{type(error).__name__}: {error}")
        traceback.print_exc()
    if job.mode == RunMode.MULTIRUN:
        folder = Path(job.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{job.job.num:04d}.json", json.dumps(plain(result), indent=2) + "\n")


if __name__ == "__main__":
    with hydra_command("run the same command again"):
        profile()

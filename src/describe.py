"""Entry: print the network of a configuration, site by site or layer by layer, without training.

python -m src.describe attention=acmix placement=neck trainer.imgsz=640
python -m src.describe attention=acmix placement=neck layers=true
"""

import copy
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from yolo26_attention.config.command_line import exit_with, hydra_command, tell_recipe
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.hydra_errors import job_config
from yolo26_attention.config.registration import run_config
from yolo26_attention.config.schema import DescribeConfig
from yolo26_attention.text_tables import aligned, markdown_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yolo26_attention.detector.specification import Graft
    from yolo26_attention.plan.checks import Plan

NUMBERS = {1, 2, 3, 5, 6}  # columns of the table


def describe(plan: "Plan") -> str:
    """Format the network of a plan as lines of text.

    They tell its sites, their maps, the graft's cost, and the stock tensors that it removes.
    """
    from yolo26_attention.detector.costs import site_costs
    from yolo26_attention.detector.grafted import graft_of, grafts_at, placebo_matches
    from yolo26_attention.detector.grafting import graft
    from yolo26_attention.detector.stock import build_stock
    from yolo26_attention.evaluation.flops import count_operators, count_parameters

    name, imgsz = plan.config.model.name, plan.arguments["imgsz"]
    stock = build_stock(plan.config.model.source, len(plan.dataset.names), plan.dataset.channels).eval()
    grafted = copy.deepcopy(stock)
    graft(grafted, *plan.grafts)
    attention, grafts = plan.config.attention["name"], graft_of(grafted)
    rows = [("site", "layer", "channels", "map", "attention", "parameters", "GFLOPs")]
    for cost in site_costs(stock, grafted, imgsz):
        added = ("-", "", "")
        if cost.parameters is not None and cost.flops is not None:
            added = (_added(grafts_at(grafts, cost.name)), f"{cost.parameters:+,}", f"{cost.flops / 1e9:+.3f}")
        rows.append((cost.name, str(cost.layer), str(cost.channels), f"{cost.height}x{cost.width}", *added))
    fused = [copy.deepcopy(model).fuse(verbose=False) for model in (stock, grafted)]
    parameters = [count_parameters(model) for model in fused]
    counted = [count_operators(model, plan.dataset.channels, imgsz, imgsz) for model in fused]
    gflops = [count.flops / 1e9 for count in counted]
    kept = grafted.state_dict()
    lost = [tensor for tensor in stock.state_dict() if tensor not in kept]
    total = len(stock.state_dict())
    lines = [
        f"{name} at {imgsz} px, {len(plan.dataset.names)} classes, fused as it is deployed",
        "",
        *aligned(rows, right=NUMBERS),
        "",
        f"stock          {parameters[0]:>12,} parameters  {gflops[0]:9.3f} GFLOPs at {imgsz} px",
        f"{attention:<14} {parameters[1]:>12,} parameters  {gflops[1]:9.3f} GFLOPs at {imgsz} px  "
        f"({parameters[1] / parameters[0] - 1:+.1%}, {gflops[1] / gflops[0] - 1:+.1%})",
        f"stock tensors  {total - len(lost)} of {total} keep their place",
    ]
    if counted[1].not_counted:
        lines.append(f"not counted    {', '.join(counted[1].not_counted)}")
    if lost:
        lines.append(f"lost           {', '.join(lost)}")
    for place, match in placebo_matches(grafted).items():
        lines.append(
            f"placebo        {place}: {match['got']:,} {match['by']} for {match['wanted']:,} ({match['mismatch']:+.2%})"
        )
    return "\n".join([*lines, *plan.dataset.notes])


def describe_layers(plan: "Plan", markdown: bool = False) -> str:
    """Measure every layer of a plan's deployed network, and format the costs as a table.

    Args:
        plan: a checked configuration.
        markdown: a Markdown table instead of columns.

    Raises:
        ConfigError: if the options of `latency` do not allow timing layers.
    """
    from yolo26_attention.detector.grafted import graft_of, grafts_at
    from yolo26_attention.detector.grafting import graft
    from yolo26_attention.detector.stock import build_stock
    from yolo26_attention.latency.layers import NUMBERS as RIGHT
    from yolo26_attention.latency.layers import check_layer_options, layer_costs, layer_note, layer_rows
    from yolo26_attention.latency.trained import fused, measurement_options

    options = measurement_options(plan.config.latency, plan.config.trainer)
    check_layer_options(options)
    channels = plan.dataset.channels
    stock = build_stock(plan.config.model.source, len(plan.dataset.names), channels).eval()
    grafted = copy.deepcopy(stock)
    graft(grafted, *plan.grafts)
    grafts = graft_of(grafted)
    joins: dict[int, str] = {}
    for site, layer in getattr(grafted, "grafted_sites", {}).items():
        joins[layer] = ", ".join(filter(None, [joins.get(layer), _added(grafts_at(grafts, site))]))
    costs = layer_costs(
        fused(stock),
        fused(grafted),
        joins,
        options,
        channels=channels,
        imgsz=options.imgsz or plan.arguments["imgsz"],
        device=plan.latency_device,
    )
    lines = (markdown_table if markdown else aligned)(layer_rows(costs), RIGHT)
    return "\n".join([*lines, "", layer_note(costs)])


def _added(grafts: "Sequence[Graft]") -> str:
    return ", ".join(f"{graft.mode} {graft.name}" for graft in grafts)


@hydra.main(config_path="../conf", config_name="describe", version_base="1.3")
def main(config: DictConfig) -> None:
    """Print the network."""
    from yolo26_attention.plan.checks import check

    try:
        if config.markdown and not config.layers:
            raise ConfigError(
                "markdown=true with layers=false: only the table of layers is printed so; add layers=true"
            )
        plan = check(job_config(config, run_config))
        tell_recipe()
        if not config.markdown:
            print(describe(plan), flush=True)
        if config.layers:
            table = describe_layers(plan, config.markdown)
            print(table if config.markdown else f"\n{table}")
    except ConfigError as error:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise
        exit_with(error)


if __name__ == "__main__":
    with hydra_command("run the same command again", DescribeConfig):
        main()

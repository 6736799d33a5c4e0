"""What a study's dashboard in Weights & Biases shows, and the numbers that its lines are drawn of."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from yolo26_attention.reporting.comparison import Results
from yolo26_attention.reporting.settings import flatten
from yolo26_attention.reporting.study import Study
from yolo26_attention.reporting.swept import swept_lines


def swept_points(results: Results) -> Iterator[dict[str, float]]:
    """Each value of a swept number with the mean score there and its interval, for a plot with it as its axis.

    Weights & Biases draws lines over what was logged, never over configurations, so the report's run logs them.
    """
    for key, lines in swept_lines(results).items():
        for value in sorted({variant.swept[key] for line in lines.values() for variant in line}):
            point = {f"swept/{key}": float(value)}
            for name, line in lines.items():
                for variant in line:
                    if variant.swept[key] == value:
                        mean = variant.mean
                        numbers = {"mean": mean.mean, "low": mean.low, "high": mean.high}
                        point |= {f"swept/{key}/{name}/{n}": v for n, v in numbers.items() if v is not None}
            yield point


def swept_options(study: Study) -> list[str]:
    """Dotted keys of the configuration that differ between the study's runs, the seed's and places aside."""
    kept = ("attention.", "placement.", "model.", "data.", "optimizer.", "trainer.", "placebo.")
    values: dict[str, set[str]] = {}
    for run in study.runs:
        if run.record is not None:
            for key, value in flatten(run.record.config).items():
                if key.startswith(kept) and not key.endswith("_target_"):
                    values.setdefault(key, set()).add(str(value))
    return [key for key, found in values.items() if len(found) > 1 and key != "attention.name"]


def build_workspace(
    study: str, *, entity: str, project: str, metric: str, options: Sequence[str], lines: Mapping[str, Sequence[str]]
) -> Any:
    """The workspace of a study.

    Args:
        study: its name, the group of its runs.
        entity: user or team in Weights & Biases.
        project: as in `tracking.project`.
        metric: what readers call the metric by which the study is compared.
        options: dotted keys of the configuration that the study varies.
        lines: swept key to the names of its lines, as `swept_points` logs them.

    Returns:
        A wandb_workspaces Workspace, not yet saved.
    """
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    attention = wr.Config("attention.name")
    score, latency = wr.SummaryMetric("map50_95"), wr.SummaryMetric("latency_ratio_to_stock")
    columns = [wr.ParallelCoordinatesPlotColumn(attention, display_name="attention")]
    columns += [wr.ParallelCoordinatesPlotColumn(wr.Config(key), display_name=key) for key in options]
    columns += [
        wr.ParallelCoordinatesPlotColumn(latency, display_name="latency / stock"),
        wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric("parameters"), display_name="parameters"),
        wr.ParallelCoordinatesPlotColumn(score, display_name="mAP50-95"),
    ]
    over_seeds: dict[str, Any] = {"groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}
    answer: list[Any] = [
        wr.ScatterPlot(title="mAP50-95 against latency / stock", x=latency, y=score),
        wr.ParallelCoordinatesPlot(title="options, cost and mAP50-95", columns=columns),
        wr.BarPlot(title="mAP50-95 by attention", metrics=["map50_95"], groupby=attention, **over_seeds),
    ]
    answer += [
        wr.BarPlot(title=f"mAP50-95 by {key}", metrics=["map50_95"], groupby=wr.Config(key), **over_seeds)
        for key in options
    ]
    swept = [
        wr.LinePlot(
            title=f"{metric} over {key}",
            x=f"swept/{key}",
            y=[f"swept/{key}/{name}/{number}" for name in names for number in ("mean", "low", "high")],
            title_x=key,
            title_y=metric,
        )
        for key, names in lines.items()
    ]
    training = [
        wr.LinePlot(title=name, x="epoch", y=[name], groupby=attention, **over_seeds)
        for name in ("metrics/mAP50-95", "train/box_loss", "train/cls_loss", "val/box_loss", "val/cls_loss")
    ]
    rates = [
        wr.LinePlot(title=f"{rate} ({path}) by site", x="epoch", metric_regex=f"attention/.*/{rate}")
        for rate, path in (("rate1", "attention"), ("rate2", "convolution"))
    ]
    sections = {"Answer": answer, "Swept": swept, "Training": training, "ACmix's rates": rates}
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"Study {study}",
        sections=[ws.Section(name=name, panels=panels, is_open=True) for name, panels in sections.items() if panels],
        runset_settings=ws.RunsetSettings(filters=ws.And(ws.Metric("Group") == study)),
    )

"""Pictures of a study's numbers."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from yolo26_attention.reporting.comparison import Results
from yolo26_attention.reporting.signs import interval, signed
from yolo26_attention.reporting.style import (
    GRID,
    INK,
    MUTED,
    PAPER,
    Picture,
    colour_of,
    dashes_of,
    legend_above,
    marker_of,
    new_figure,
    styled,
)
from yolo26_attention.reporting.swept import swept_lines
from yolo26_attention.reporting.variant import Variant
from yolo26_attention.statistics import Estimate
from yolo26_attention.study.targets import described

# More variants in one picture cannot be told apart; the table has them all.
MOST_DRAWN = 12
MOST_IN_FOREST = 40
MOST_SWEPT = 30
MOST_TICKS = 12


def draw_all(results: Results) -> list[Picture]:
    """Every picture that the study's numbers suffice for."""
    drawn = (forest(results), trade_off(results), *swept(results), sizes(results))
    return [picture for picture in drawn if picture is not None]


def drawn_variants(results: Results) -> tuple[list[Variant], str]:
    """The baselines and the highest of the others, in the study's order, and a remark if some are not among them."""
    known = [variant for variant in results.variants if variant.scores]
    highest = sorted(known, key=lambda v: (not v.is_baseline, -v.score))[:MOST_DRAWN]
    remark = f" Drawn are {MOST_DRAWN} of {len(known)} variants." if len(known) > MOST_DRAWN else ""
    return [variant for variant in known if variant in highest], remark + _unlearned(results)


def _unlearned(results: Results) -> str:
    """The sentence of a caption about variants that no verdict is passed on."""
    return f" No verdict on what learned nothing: {', '.join(results.unlearned)}." if results.unlearned else ""


def look_of(variant: Variant, results: Results) -> dict[str, str]:
    """Colour, marker and line style of a variant, the same in every picture; baselines are grey."""
    if variant.is_baseline:
        return {"color": MUTED, "marker": "o", "linestyle": "-"}
    index = [v.label for v in results.variants if not v.is_baseline].index(variant.label)
    return {"color": colour_of(index), "marker": marker_of(index), "linestyle": dashes_of(index)}


def forest_axes(labels: Sequence[str], margin: float, measured: str) -> tuple[Figure, Axes]:
    """Axes with a row for each label, zero as a line, and a band of differences that do not matter."""
    figure, (axes,) = new_figure(1.2 + 0.34 * len(labels))
    axes.axvspan(-margin, margin, color=GRID, alpha=0.6, linewidth=0, zorder=0)
    axes.axvline(0, color=MUTED, linewidth=1)
    axes.set_yticks(range(len(labels)), labels, color=INK)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(measured)
    return figure, axes


def forest(results: Results) -> Picture | None:
    """Differences to the baseline, largest first."""
    compared = results.judged[:MOST_IN_FOREST]
    if not compared:
        return None
    with styled():
        labels = [each.variant.label for each in compared]
        figure, axes = forest_axes(labels, results.margin, f"difference of {results.study.score_name} to the baseline")
        for row, each in enumerate(compared):
            look = look_of(each.variant, results)
            _bar(axes, each.comparison.difference, row, look["color"], vertical=False)
            axes.plot(each.mean, row, look["marker"], color=look["color"], markersize=6)
            paired = [score - each.reference.scores.get(seed, math.nan) for seed, score in each.variant.scores.items()]
            axes.plot(paired, [row + 0.22] * len(paired), "|", color=look["color"], markersize=6, alpha=0.8)
    told = compared[:MOST_DRAWN]
    words = "; ".join(f"{each.variant.label} {_plus_minus(each.comparison.difference)}" for each in told)
    more = f" Drawn are {MOST_IN_FOREST} of {len(results.judged)}." if len(results.judged) > len(compared) else ""
    more += _unlearned(results)
    return Picture(
        "differences",
        "Differences to the baseline",
        f"Difference with its simultaneous {results.level:.0%} interval; the small strokes are single pairs of seeds. "
        f"The grey band is ±{results.margin:g}, what does not matter.{more}",
        f"Forest plot of the difference of {results.study.score_name} to the baseline: {words}.",
        figure,
    )


def trade_off(results: Results) -> Picture | None:
    """Score against latency, both with intervals, and the variants that no other beats in both."""
    variants, remark = drawn_variants(results)
    timed = [(variant, ratio) for variant in variants if (ratio := variant.ratio.mean) is not None]
    if len(timed) < 2:
        return None
    able = [(variant, ratio) for variant, ratio in timed if variant.learned]
    front = [able[index] for index in pareto_front([(ratio, variant.score) for variant, ratio in able])]
    with styled():
        figure, (axes,) = new_figure(3.7)
        along, up = [ratio for _, ratio in front], [variant.score for variant, _ in front]
        axes.plot(along, up, color=MUTED, linewidth=1, drawstyle="steps-post", zorder=1)
        for variant, ratio in timed:
            look = look_of(variant, results)
            _bar(axes, variant.mean, ratio, look["color"])
            _bar(axes, variant.ratio, variant.score, look["color"], vertical=False)
            axes.plot(
                ratio, variant.score, look["marker"], color=look["color"], label=variant.label,
                markersize=7, markeredgecolor=PAPER, zorder=4,
            )  # fmt: skip
        axes.set_xlabel("latency / latency of the stock model (1 = as fast)")
        axes.set_ylabel(f"{results.study.score_name} on the {results.study.images}")
        legend_above(figure, *axes.get_legend_handles_labels())
    best = ", ".join(variant.label for variant, _ in front) or "none"
    targets = results.study.targets
    timed_at = f" (latency: one network of each variant on {described(targets[0])})" if targets else ""
    return Picture(
        "trade_off",
        "Accuracy against cost",
        f"Means over seeds with {results.level:.0%} intervals both ways{timed_at}. The line joins the Pareto front, "
        f"the variants that no other beats in both: {best}.{remark}",
        f"Scatter plot of {results.study.score_name} against latency relative to the stock model: "
        + "; ".join(f"{variant.label} {variant.score:.3f} at {ratio:.2f} times" for variant, ratio in timed)
        + ".",
        figure,
    )


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other beats: none is at most as costly and at least as good, cheapest first."""
    front: list[int] = []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not front or points[index][1] > points[front[-1]][1]:
            front.append(index)
    return front


def swept(results: Results) -> list[Picture]:
    """For each number that the study varies: mAP over it, a line for each setting of everything else."""
    found = swept_lines(results)
    last = [key.split(".")[-1] for key in found]
    return [
        _swept(results, key, short if last.count(short) == 1 else key, lines)
        for short, (key, lines) in zip(last, found.items(), strict=True)
    ]


def _swept(results: Results, key: str, short: str, lines: Mapping[str, list[Variant]]) -> Picture:
    drawn = {name: _evenly(line) for name, line in list(lines.items())[:MOST_DRAWN]}
    flat = [v for v in results.variants if v.scores and (v.is_baseline or (v.is_placebo and key not in v.swept))]
    with styled():
        figure, (axes,) = new_figure(3.5)
        for variant in flat[:3]:
            colour, dashes = (MUTED, "-") if variant.is_baseline else (look_of(variant, results)["color"], "--")
            axes.axhline(variant.score, color=colour, linestyle=dashes, linewidth=1.2, label=variant.label)
            if variant.mean.bounds is not None:
                axes.axhspan(*variant.mean.bounds, color=colour, alpha=0.12, linewidth=0)
        for name, line in drawn.items():
            at = [variant.swept[key] for variant in line]
            look = look_of(line[0], results)
            colour = look["color"]
            for variant in line:
                _bar(axes, variant.mean, variant.swept[key], colour)
                axes.plot([variant.swept[key]] * len(variant.scores), list(variant.scores.values()), "_",
                          color=colour, alpha=0.7, markersize=7)  # fmt: skip
            axes.plot(at, [variant.score for variant in line], look["marker"] + look["linestyle"],
                      color=colour, label=name, markersize=6)  # fmt: skip
        values = sorted({variant.swept[key] for line in drawn.values() for variant in line})
        if len(values) <= MOST_TICKS:
            axes.set_xticks(values, [f"{value:g}" for value in values])
        unit = " (pixels)" if key.split(".")[-1] in ("kernel_att", "kernel_conv") else ""
        axes.set_xlabel(short + unit)
        axes.set_ylabel(f"{results.study.score_name} on the {results.study.images}")
        legend_above(figure, *axes.get_legend_handles_labels())
    words = "; ".join(
        f"{name}: " + ", ".join(f"{v.score:.3f} at {v.swept[key]:g}" for v in line) for name, line in drawn.items()
    )
    there, shown = (sum(map(len, each.values())) for each in (lines, drawn))
    remark = (f" Drawn are {shown} of {there} variants." if shown < there else "") + _unlearned(results)
    return Picture(
        f"swept_{short.replace('.', '_')}",
        f"{results.study.score_name} over {short}",
        f"Means over seeds with {results.level:.0%} t intervals; the small strokes are single seeds, bands are the "
        f"intervals of what does not vary.{remark}",
        f"Line plot of {results.study.score_name} over {short}: {words}.",
        figure,
    )


def _evenly(line: list[Variant]) -> list[Variant]:
    """The line, or as many of its variants as can be told apart, from its first to its last."""
    at = (
        np.unique(np.linspace(0, len(line) - 1, MOST_SWEPT).astype(int)) if len(line) > MOST_SWEPT else range(len(line))
    )
    return [line[index] for index in at]


def sizes(results: Results) -> Picture | None:
    """AP of small, medium and large objects."""
    names = {"small": "small\n(< 32² px)", "medium": "medium", "large": "large\n(> 96² px)"}
    variants, remark = drawn_variants(results)
    variants = [v for v in variants if any(f"ap_by_size.{name}" in v.numbers for name in names)]
    if not variants:
        return None
    with styled():
        figure, (axes,) = new_figure(3.4)
        step = 0.7 / len(variants)
        for index, variant in enumerate(variants):
            look = look_of(variant, results)
            at = np.arange(3) + (index - (len(variants) - 1) / 2) * step
            values = [variant.numbers.get(f"ap_by_size.{name}", math.nan) for name in names]
            axes.plot(at, values, look["marker"], color=look["color"], label=variant.label, markersize=6)
            for record in variant.records:
                single = [record.ap_by_size.get(name) for name in names]
                axes.plot(at, np.array(single, dtype=float), "_", color=look["color"], alpha=0.7, markersize=6)
        axes.set_xticks(range(3), list(names.values()))
        axes.set_xlim(-0.5, 2.5)
        axes.grid(axis="x", visible=False)
        axes.set_ylabel("AP50-95, COCO's definition")
        legend_above(figure, *axes.get_legend_handles_labels())
    return Picture(
        "sizes",
        "AP by object size",
        f"Means over seeds; the small strokes are single seeds. A size without an object has no point.{remark}",
        "Dot plot of AP for small, medium and large objects: " + "; ".join(_sizes_in_words(v) for v in variants) + ".",
        figure,
    )


def _sizes_in_words(variant: Variant) -> str:
    known = {name: variant.numbers.get(f"ap_by_size.{name}") for name in ("small", "medium", "large")}
    return f"{variant.label} " + ", ".join(f"{value:.3f} {name}" for name, value in known.items() if value is not None)


def _bar(axes: Axes, estimate: Estimate, at: float, colour: str, vertical: bool = True) -> None:
    """The interval of an estimate as a line, where it has one."""
    if estimate.bounds is not None:
        along, across = estimate.bounds, (at, at)
        axes.plot(*((across, along) if vertical else (along, across)), color=colour, linewidth=1.6, alpha=0.9)


def _plus_minus(estimate: Estimate) -> str:
    assert estimate.mean is not None, "what is compared has a difference"
    text = signed(estimate.mean, 4)
    return text if estimate.bounds is None else f"{text} ({interval(estimate.bounds, 4)})"

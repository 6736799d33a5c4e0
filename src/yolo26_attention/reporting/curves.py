"""Pictures of what happened over the epochs, from the journals of the runs that are drawn."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.journal import epochs, read_journal
from yolo26_attention.files.metrics import MAP50_95, ULTRALYTICS
from yolo26_attention.reporting.comparison import Results
from yolo26_attention.reporting.figures import drawn_variants, look_of
from yolo26_attention.reporting.style import MUTED, Picture, legend_above, new_figure, styled
from yolo26_attention.reporting.variant import Variant

MAP = ULTRALYTICS[MAP50_95]
MOST_SITES = 6
# More seeds of one variant are read for nothing: the band would not change to the eye.
MOST_SEEDS = 20

Curves = Mapping[str, Mapping[int, Sequence[float]]]  # name to epoch to the seeds' values


def draw_curves(results: Results) -> list[Picture]:
    """Training curves, and the rates of ACmix where it was trained."""
    variants, remark = drawn_variants(results)
    journals = {variant.label: _curves(variant) for variant in variants}
    drawn = (training(results, variants, journals, remark), rates(results, variants, journals, remark))
    return [picture for picture in drawn if picture is not None]


def _curves(variant: Variant) -> Curves:
    curves: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in variant.counted[:MOST_SEEDS]:
        for epoch in epochs(read_journal(RunFolder(run.folder).journal)):
            for name, value in {MAP: epoch.values.get(MAP), **epoch.scalars}.items():
                if value is not None:
                    curves[name][epoch.epoch].append(value)
    return curves


def training(
    results: Results, variants: Sequence[Variant], journals: Mapping[str, Curves], remark: str
) -> Picture | None:
    """mAP over epochs: the mean of the seeds, and the band from the lowest to the highest."""
    variants = [variant for variant in variants if journals[variant.label].get(MAP)]
    if not variants:
        return None
    with styled():
        figure, (axes,) = new_figure(3.6)
        for variant in variants:
            _band(axes, journals[variant.label][MAP], look_of(variant, results), variant.label)
        axes.set_xlabel("epoch")
        axes.set_ylabel("mAP50-95 on the validation images")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        legend_above(figure, *axes.get_legend_handles_labels())
    last = {v.label: journals[v.label][MAP] for v in variants}
    return Picture(
        "training",
        "Training curves",
        f"Lines are means over seeds, bands reach from the lowest seed to the highest.{remark}",
        "Line plot of mAP50-95 over epochs, ending at "
        + "; ".join(f"{label} {np.mean(curve[max(curve)]):.3f}" for label, curve in last.items())
        + ".",
        figure,
    )


def rates(results: Results, variants: Sequence[Variant], journals: Mapping[str, Curves], remark: str) -> Picture | None:
    """rate1 (attention) and rate2 (convolution) over epochs, a panel a site, as the ACmix paper plots them a layer."""
    variants = [v for v in variants if any(name.endswith(("/rate1", "/rate2")) for name in journals[v.label])]
    sites = sorted({name.rsplit("/", 1)[0] for v in variants for name in journals[v.label] if "/rate" in name})
    if not sites:
        return None
    with styled():
        columns = min(3, len(sites[:MOST_SITES]))
        rows = -(-len(sites[:MOST_SITES]) // columns)
        figure, panels = new_figure(0.9 + 2.2 * rows, rows=rows, columns=columns)
        for site, axes in zip(sites[:MOST_SITES], panels, strict=False):
            for variant in variants:
                look = look_of(variant, results)
                for rate, dashes in (("rate1", "-"), ("rate2", (0, (4, 2)))):
                    if curve := journals[variant.label].get(f"{site}/{rate}"):
                        _band(axes, curve, {"color": look["color"], "linestyle": dashes}, None)
            axes.set_title(site)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        for axes in panels[len(sites[:MOST_SITES]) :]:
            axes.set_visible(False)
        panels[0].set_ylabel("rate (a factor)")
        handles = [Line2D([], [], color=look_of(v, results)["color"], label=v.label) for v in variants]
        handles += [
            Line2D([], [], color=MUTED, label="rate1, attention"),
            Line2D([], [], color=MUTED, linestyle=(0, (4, 2)), label="rate2, convolution"),
        ]
        legend_above(figure, handles, [str(handle.get_label()) for handle in handles])
    ends = "; ".join(
        f"{variant.label} at {site}: " + ", ".join(
            f"{rate} {np.mean(curve[max(curve)]):.2f}"
            for rate in ("rate1", "rate2")
            if (curve := journals[variant.label].get(f"{site}/{rate}"))
        )
        for variant in variants[:4]
        for site in sites[:MOST_SITES]
    )  # fmt: skip
    more = f" Drawn are {MOST_SITES} of {len(sites)} sites." if len(sites) > MOST_SITES else ""
    return Picture(
        "rates",
        "What ACmix makes of its two paths",
        "The learned factors of the attention (solid) and of the convolution (dashed) at every site; bands reach from "
        f"the lowest seed to the highest.{remark}{more}",
        f"Line plots of rate1 and rate2 over epochs; at the end: {ends}.",
        figure,
    )


def _band(axes: Axes, curve: Mapping[int, Sequence[float]], look: Mapping[str, Any], label: str | None) -> None:
    epochs = sorted(curve)
    axes.plot(
        epochs, [np.mean(curve[epoch]) for epoch in epochs],
        color=look["color"], linestyle=look["linestyle"], label=label,
    )  # fmt: skip
    low, high = ([extreme(curve[epoch]) for epoch in epochs] for extreme in (min, max))
    axes.fill_between(epochs, low, high, color=look["color"], alpha=0.15, linewidth=0)

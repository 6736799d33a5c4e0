"""Figures of what networks found on the images that score them: precision over recall, kinds of errors, confusions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from yolo26_attention.evaluation.detections import Detections
from yolo26_attention.evaluation.errors import CONFIDENCE, KINDS, confusion, count_errors
from yolo26_attention.reporting.answer import Answer
from yolo26_attention.reporting.comparison import Results
from yolo26_attention.reporting.detections import data_of, kept_matches
from yolo26_attention.reporting.figures import drawn_variants, look_of
from yolo26_attention.reporting.over_images import groups_of
from yolo26_attention.reporting.placebos import side_by_side
from yolo26_attention.reporting.style import INK, Picture, folded, legend_above, new_figure, styled
from yolo26_attention.reporting.variant import Variant
from yolo26_attention.statistics import (
    RECALL_POINTS,
    half_counts,
    interval_of_halves,
    mean_average_precision,
    number_groups,
    precision_over_recall,
)

MOST_SIDE_BY_SIDE = 6  # variants whose errors can be told apart in one figure
MOST_NAMED = 20  # classes whose names fit beside a matrix
WORDS = {
    "class": "wrong class",
    "localisation": "wrong place",
    "both": "both",
    "duplicate": "duplicate",
    "background": "background",
    "missed": "missed object",
}


def draw_matched(results: Results, said: Answer, resamples: int) -> list[Picture]:
    """Every figure for which runs kept matches.

    Args:
        results: of the study.
        said: its answer, which says whose confusions are drawn.
        resamples: random halves of the images; 0 draws no intervals.
    """
    variants, remark = drawn_variants(results)
    kept = {variant.label: _kept(variant) for variant in variants}
    able = [variant for variant in variants if kept[variant.label]]
    if not able:
        return []
    pictures = [precision_recall(results, able, kept, remark), errors(results, able, kept, resamples)]
    if said.about is not None:
        rivals = [v for v in side_by_side(results, said.about) if kept.get(v.label)]
        pictures.append(confusions(rivals, kept))
    return [picture for picture in pictures if picture is not None]


def _kept(variant: Variant) -> list[Detections]:
    """The matches of a variant's runs; those on other images than the first run's are left out, as the notes say."""
    kept = [found for run in variant.counted if (found := kept_matches(run)) is not None]
    return [own for own in kept if np.array_equal(own.images, kept[0].images)]


def precision_recall(
    results: Results, variants: Sequence[Variant], kept: dict[str, list[Detections]], remark: str
) -> Picture:
    """Precision over recall at an IoU of 0.5: means over seeds, and the band from the lowest to the highest."""
    areas = {}
    with styled():
        figure, (axes,) = new_figure(3.8)
        for variant in variants:
            look = look_of(variant, results)
            curves = np.array([precision_over_recall(own.matches) for own in kept[variant.label]])
            areas[variant.label] = np.mean([mean_average_precision(own.matches)[1] for own in kept[variant.label]])
            label = f"{variant.label} ({areas[variant.label]:.3f})"
            axes.plot(RECALL_POINTS, curves.mean(axis=0), color=look["color"], linestyle=look["linestyle"], label=label)
            axes.fill_between(RECALL_POINTS, curves.min(axis=0), curves.max(axis=0), color=look["color"], alpha=0.15,
                              linewidth=0)  # fmt: skip
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("recall")
        axes.set_ylabel("precision at IoU 0.5")
        legend_above(figure, *axes.get_legend_handles_labels())
    return Picture(
        "precision_recall",
        "Precision over recall",
        "Means over classes and seeds; bands reach from the lowest seed to the highest. The numbers are mAP50, from "
        f"the stored matches.{remark}",
        "Line plot of precision over recall at an IoU of 0.5; mAP50 is "
        + "; ".join(f"{label} {area:.3f}" for label, area in areas.items())
        + ".",
        figure,
    )


def errors(
    results: Results, variants: Sequence[Variant], kept: dict[str, list[Detections]], resamples: int
) -> Picture | None:
    """Errors of each kind per 100 objects, with intervals over images."""
    ranked = sorted(variants, key=lambda variant: (not variant.is_baseline, -variant.score))[:MOST_SIDE_BY_SIDE]
    shown = [variant for variant in variants if variant in ranked]
    found = {variant.label: _rates(results, variant, kept[variant.label], resamples) for variant in shown}
    rates = {label: rate for label, rate in found.items() if rate is not None}
    shown = [variant for variant in shown if variant.label in rates]
    if not shown:
        return None
    with styled():
        figure, (axes,) = new_figure(1.1 + len(KINDS) * (0.22 + 0.08 * len(shown)))
        step = 0.7 / len(shown)
        for index, variant in enumerate(shown):
            look, (mean, low, high) = look_of(variant, results), rates[variant.label]
            at = np.arange(len(KINDS)) + (index - (len(shown) - 1) / 2) * step
            axes.hlines(at, low, high, color=look["color"], linewidth=1.6, alpha=0.9)
            axes.plot(mean, at, look["marker"], color=look["color"], label=variant.label, markersize=5)
        axes.set_yticks(range(len(KINDS)), [WORDS[kind] for kind in KINDS], color=INK)
        axes.set_ylim(len(KINDS) - 0.5, -0.5)
        axes.set_xlim(0, max(1.0, axes.get_xlim()[1]))
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("errors per 100 objects")
        legend_above(figure, *axes.get_legend_handles_labels())
    more = f" Drawn are {len(shown)} of {len(variants)} variants." if len(shown) < len(variants) else ""
    intervals = f" Lines are {results.level:.0%} intervals over images." if resamples else ""
    words = "; ".join(
        f"{label} " + ", ".join(f"{value:.1f} {WORDS[kind]}" for kind, value in zip(KINDS, rate[0], strict=True))
        for label, rate in rates.items()
    )
    return Picture(
        "errors",
        "Kinds of errors",
        f"Means over seeds, after TIDE (Bolya et al. 2020), of detections with a confidence of at least {CONFIDENCE:g}."
        f"{intervals} Wrong place: IoU 0.1 to 0.5 with an object of the class; both: wrong class and place; "
        f"background: IoU of at most 0.1.{more}",
        f"Dot plot of errors per 100 objects by kind: {words}.",
        figure,
    )


Rates = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def _rates(results: Results, variant: Variant, kept: Sequence[Detections], resamples: int) -> Rates | None:
    """Errors per 100 objects of each kind, with the bounds of its interval; None without an object."""
    counted = [count_errors(own) for own in kept]
    counts = np.mean([own.counts for own in counted], axis=0)
    objects = counted[0].objects
    if not objects.sum():
        return None
    mean = 100 * counts.sum(axis=0) / objects.sum()
    if not resamples or len(objects) < 2:
        return mean, mean, mean
    try:
        number = number_groups(groups_of(variant), len(objects))
    except ValueError:  # the notes say why there are no intervals over images
        return mean, mean, mean
    halves = np.array(half_counts(number, resamples, np.random.default_rng(0)))
    drawn = halves @ objects
    draws = 100 * (halves @ counts)[drawn > 0] / drawn[drawn > 0, None]
    if len(draws) < 2:
        return mean, mean, mean
    low, high = interval_of_halves(mean, draws, int(number.max()) + 1, results.level)
    return mean, np.maximum(low, 0), high


def confusions(variants: Sequence[Variant], kept: dict[str, list[Detections]]) -> Picture | None:
    """Confusion matrices side by side, each row as shares."""
    if len(variants) < 2:
        return None
    names = next((names for v in variants for run in v.counted if (names := data_of(run)[1])), {})
    most = max(int(values.max(initial=-1)) for v in variants for own in kept[v.label]
               for values in (own.cls, own.object_cls))  # fmt: skip
    classes = max(len(names), most + 1)
    shares = {v.label: _shares(kept[v.label], classes) for v in variants}
    labels = [names.get(number, str(number)) for number in range(classes)] + ["background"]
    with styled():
        figure, panels = new_figure(2.6 if classes <= MOST_NAMED else 2.3, columns=len(variants))
        for panel, variant in zip(panels, variants, strict=True):
            image = panel.imshow(shares[variant.label], cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
            panel.set_title(folded(variant.label, len(variants)), fontsize=8.5)
            panel.grid(visible=False)
            ticks = range(len(labels)) if classes <= MOST_NAMED else ()
            size = min(7.5, 80 / len(labels))
            panel.set_xticks(ticks, labels if ticks else (), rotation=90, fontsize=size)
            panel.set_yticks(ticks, labels if ticks else (), fontsize=size)
            panel.set_xlabel("detected")
        panels[0].set_ylabel("object")
        bar = figure.colorbar(image, ax=panels, shrink=0.7, aspect=30, pad=0.02)
        bar.set_label("share of the row", color=INK)
    seen = [share.sum(axis=1)[:classes] > 0 for share in shares.values()]  # classes with an object
    right = {
        label: np.mean(np.diag(share)[:classes][there]) if there.any() else 0.0
        for (label, share), there in zip(shares.items(), seen, strict=True)
    }
    return Picture(
        "confusions",
        "Confusion matrices",
        f"Detections with a confidence of at least {CONFIDENCE:g}, paired with objects from an IoU of 0.5 regardless "
        "of class, summed over seeds. The last row is detected background, the last column are missed objects.",
        "Confusion matrices; the mean share of objects that are found in their class is "
        + "; ".join(f"{label} {share:.3f}" for label, share in right.items())
        + ".",
        figure,
    )


def _shares(kept: Sequence[Detections], classes: int) -> NDArray[np.float64]:
    counts = np.sum([confusion(own, classes) for own in kept], axis=0)
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))

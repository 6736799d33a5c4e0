"""The placebo of an attention: which of a study's variants it is, and how the attention does beside it."""

import numpy as np

from yolo26_attention.reporting.comparison import Compared, Results
from yolo26_attention.reporting.signs import interval, signed
from yolo26_attention.reporting.variant import Variant
from yolo26_attention.statistics import compare_seeds

NO_OPTIONS = ("name", "_target_")  # of an attention's group: what it is
AS_LARGE = {"parameters": "as large", "flops": "with as many FLOPs"}


def placebo_of(results: Results, variant: Variant) -> Variant | None:
    """The one placebo that stands for a variant: for its attention, with its options, in its place and surroundings."""
    found = [each for each in results.variants if each.scores and _stands_for(each, variant)]
    return found[0] if len(found) == 1 else None


def _stands_for(placebo: Variant, variant: Variant) -> bool:
    if placebo.attention != f"placebo of {variant.attention}" or placebo.reference != variant.reference:
        return False
    own, other = variant.config, placebo.config
    options = {key: value for key, value in own["attention"].items() if key not in NO_OPTIONS}
    matched = other["placebo"]["options"] or options  # earlier records have no options where none were given
    return own["placement"] == other["placement"] and {**options, **matched} == options


def side_by_side(results: Results, about: Compared) -> list[Variant]:
    """The baseline, a variant, and its placebo if there is one, in this order."""
    placebo = placebo_of(results, about.variant)
    return [about.reference, about.variant, *([] if placebo is None else [placebo])]


def against_placebo(results: Results, about: Compared) -> str | None:
    """The sentence on a variant beside its placebo; None without one, and before the first declared look.

    At a declared look, the two are compared over the seeds of that look and held to its level.
    """
    variant, comparison = about.variant, about.comparison
    placebo = placebo_of(results, variant)
    looks = results.study.plan is not None and bool(results.study.plan.looks)
    if placebo is None or (looks and comparison.boundary is None):
        return None
    scores = {each.label: each.scores for each in (placebo, variant)}
    if looks:
        own, _ = comparison.behind
        scores = {label: {s: score for s, score in each.items() if s in own} for label, each in scores.items()}
    beside = compare_seeds(
        scores,
        baseline=placebo.label,
        margin=results.margin,
        floor=results.floor,
        level=results.level,
        boundary=comparison.boundary,
        generator=np.random.default_rng(0),
    )[variant.label]
    difference = beside.difference
    if difference.mean is None:
        return None
    bounds = f" ({interval(difference.bounds)})" if difference.bounds is not None else ""
    size = AS_LARGE[placebo.config["placebo"]["by"]]
    return (
        f"Against {placebo.label}, a plain convolution {size}, it is {signed(difference.mean)}{bounds}: {beside.words}."
    )

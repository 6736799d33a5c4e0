"""The placebo of an attention: which of a study's variants it is, and how the attention does beside it."""

import numpy as np

from yolo26_attention.reporting.comparison import Compared, Results
from yolo26_attention.reporting.declared import compare_at_looks
from yolo26_attention.reporting.signs import interval, signed
from yolo26_attention.reporting.variant import Variant
from yolo26_attention.statistics import Comparison, compare_seeds

AS_LARGE = {"parameters": "as large", "flops": "with as many FLOPs"}


def placebo_of(results: Results, variant: Variant) -> Variant | None:
    """The one placebo that stands for a variant, if it has a score."""
    label = results.placebos.get(variant.label)
    placebo = None if label is None else results.variant(label)
    return None if placebo is None or not placebo.scores else placebo


def side_by_side(results: Results, about: Compared) -> list[Variant]:
    """The baseline, a variant, and its placebo if there is one, in this order."""
    placebo = placebo_of(results, about.variant)
    return [about.reference, about.variant, *([] if placebo is None else [placebo])]


def against_placebo(results: Results, variant: Variant) -> str | None:
    """The sentence on a variant beside its placebo.

    None without a placebo, before the first declared look, and where one of the two has learned nothing.
    """
    found = beside_placebo(results, variant)
    if found is None or (mean := found[1].difference.mean) is None or found[1].unlearned is not None:
        return None
    placebo, beside = found
    bounds = f" ({interval(beside.difference.bounds)})" if beside.difference.bounds is not None else ""
    size = AS_LARGE[placebo.config["placebo"]["by"]]
    return (
        f"Against {placebo.label}, a plain convolution {size}, {variant.label} is {signed(mean)}{bounds}: "
        f"{beside.words}."
    )


def beside_placebo(results: Results, variant: Variant) -> tuple[Variant, Comparison] | None:
    """A variant's placebo and the comparison with it, together with all other variants that the placebo stands for.

    None without a placebo, and before the first declared look.
    """
    placebo = placebo_of(results, variant)
    if placebo is None:
        return None
    family = {placebo.label, *(label for label, other in results.placebos.items() if other == placebo.label)}
    scores = {each.label: each.scores for each in results.variants if each.label in family}
    plan, study = results.study.plan, results.study
    if plan is None or not plan.looks:
        found = compare_seeds(
            scores,
            baseline=placebo.label,
            margin=results.margin,
            floor=results.floor,
            level=results.level,
            generator=np.random.default_rng(0),
        )[variant.label]
        return placebo, found
    found = compare_at_looks(
        study, plan.against_placebo, scores, placebo.label, results.margin, results.floor, results.level
    )[variant.label]
    return None if found.boundary is None else (placebo, found)

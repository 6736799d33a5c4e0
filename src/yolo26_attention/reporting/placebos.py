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


def placebo_sentence(found: Compared) -> str:
    """The sentence on a variant beside its placebo.

    Args:
        found: by `beside_placebo`.
    """
    placebo, beside = found.reference, found.comparison
    bounds = f" ({interval(beside.difference.bounds)})" if beside.difference.bounds is not None else ""
    size = AS_LARGE[placebo.config["placebo"]["by"]]
    return (
        f"Against {placebo.label}, a plain convolution {size}, {found.variant.label} is {signed(found.mean)}{bounds}: "
        f"{beside.words}."
    )


def beside_placebo(results: Results, variant: Variant) -> Compared | None:
    """A variant beside its placebo, compared together with all other variants that the placebo stands for.

    None without a placebo, before the first declared look, and where one of the two has learned nothing.
    """
    placebo = placebo_of(results, variant)
    if placebo is None:
        return None
    found = _compared(results, placebo)[variant.label]
    early = bool(results.study.plan and results.study.plan.looks) and found.boundary is None
    if early or found.unlearned is not None or (mean := found.difference.mean) is None:
        return None
    return Compared(variant, placebo, mean, found)


def _compared(results: Results, placebo: Variant) -> dict[str, Comparison]:
    """All variants that a placebo stands for compared with it, by label; at the declared looks, if there are any."""
    family = {placebo.label, *(label for label, other in results.placebos.items() if other == placebo.label)}
    scores = {each.label: each.scores for each in results.variants if each.label in family}
    margin, floor, level = results.margin, results.floor, results.level
    plan = results.study.plan
    if plan is not None and plan.looks:
        return compare_at_looks(results.study, plan.against_placebo, scores, placebo.label, margin, floor, level)
    generator = np.random.default_rng(0)
    return compare_seeds(scores, baseline=placebo.label, margin=margin, floor=floor, level=level, generator=generator)

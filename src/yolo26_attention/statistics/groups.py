"""Groups of variants that cannot be told apart, instead of a ranking."""

from collections.abc import Mapping
from itertools import combinations

from yolo26_attention.statistics.blocks import compare
from yolo26_attention.statistics.paired import check_level, mean_interval


def indistinguishable(scores: Mapping[str, Mapping[int, float]], *, level: float = 0.95) -> list[list[str]]:
    """Return groups of variants within which no two differ, best group first.

    Every two variants with two seeds or more are compared by the model of all their runs (`blocks.compare` with all
    pairs); where it can estimate no error, none are told apart. A variant with one seed has no spread of its own, so it
    is told apart from nobody. The groups are the largest sets without two that differ: a variant is in several where
    it differs from neither of two that differ from each other, as in a compact letter display.

    Args:
        scores: variant to seed to score; higher is better.
        level: variants are told apart at 1 - level over all pairs of them.

    Returns:
        Groups by their best mean, best first, and so the variants within each. A variant without a finite score is in
        none.

    Raises:
        ValueError: if the level is not between 0 and 1.
    """
    check_level(level)
    estimates = {name: mean_interval(list(own.values()), level) for name, own in scores.items()}
    means = {name: each.mean for name, each in estimates.items() if each.mean is not None}
    ranked = sorted(means, key=lambda name: -means[name])
    pairs = list(combinations(ranked, 2))
    p_values = _all_pairs({name: scores[name] for name in ranked if estimates[name].n > 1}, level)
    groups = [set(ranked)] if ranked else []
    for pair in pairs:
        if p_values.get(frozenset(pair), 1.0) < 1 - level:
            groups = _split(groups, *pair)
    places = sorted(sorted(ranked.index(name) for name in group) for group in groups)
    return [[ranked[place] for place in group] for group in places]


def _all_pairs(scores: Mapping[str, Mapping[int, float]], level: float) -> dict[frozenset[str], float]:
    """Adjusted p of every two; none where no error can be estimated."""
    try:
        model = compare(scores, next(iter(scores), ""), level, pairs=True)
    except ValueError:  # too few seeds, or scores that do not vary
        return {}
    return {frozenset((each.variant, each.against)): each.p_adjusted for each in model.comparisons}


def _split(groups: list[set[str]], first: str, second: str) -> list[set[str]]:
    """Take two variants that differ apart in every group, and drop groups that lie within another.

    Source: Piepho (2004), An algorithm for a letter-based representation of all-pairwise comparisons.
    """
    split: list[set[str]] = []
    for group in groups:
        split += [group - {first}, group - {second}] if {first, second} <= group else [group]
    unique = [group for index, group in enumerate(split) if group not in split[:index]]
    return [group for group in unique if not any(group < other for other in unique)]

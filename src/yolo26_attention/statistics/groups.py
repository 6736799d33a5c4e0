"""Which variants cannot be told apart: sets of them, instead of a ranking that pretends."""

from collections.abc import Mapping
from itertools import combinations

from yolo26_attention.statistics.paired import holm, mean_interval, paired_t
from yolo26_attention.statistics.seeds import pair_seeds


def indistinguishable(scores: Mapping[str, Mapping[int, float]], *, level: float = 0.95) -> list[list[str]]:
    """Groups of variants within which no two differ, best group first.

    Every two variants are compared by a paired t test over the seeds both have, held to Holm's procedure over all the
    pairs; two that cannot be tested (fewer than two common seeds, or all differences equal) are not told apart. The
    groups are the largest sets without two that differ: a variant is in several where it differs from neither of two
    that differ from each other, as in a compact letter display.

    Args:
        scores: variant to seed to score; higher is better.
        level: variants are told apart at 1 - level over all pairs of them.

    Returns:
        Groups by their best mean, best first, and so the variants within each. A variant without a finite score is in
        none.

    Raises:
        ValueError: if the level is not between 0 and 1.
    """
    estimates = {name: mean_interval(list(own.values()), level).mean for name, own in scores.items()}
    means = {name: mean for name, mean in estimates.items() if mean is not None}
    ranked = sorted(means, key=lambda name: -means[name])
    pairs = list(combinations(ranked, 2))
    p_values = [paired_t(mean_interval(pair_seeds(scores[a], scores[b])[0], level)) for a, b in pairs]
    groups = [set(ranked)] if ranked else []
    for pair, p in zip(pairs, holm(p_values), strict=True):
        if p is not None and p < 1 - level:
            groups = _split(groups, *pair)
    places = sorted(sorted(ranked.index(name) for name in group) for group in groups)
    return [[ranked[place] for place in group] for group in places]


def _split(groups: list[set[str]], first: str, second: str) -> list[set[str]]:
    """Take two variants that differ apart in every group, and drop groups that lie within another.

    Source: Piepho (2004), An algorithm for a letter-based representation of all-pairwise comparisons.
    """
    split: list[set[str]] = []
    for group in groups:
        split += [group - {first}, group - {second}] if {first, second} <= group else [group]
    unique = [group for index, group in enumerate(split) if group not in split[:index]]
    return [group for group in unique if not any(group < other for other in unique)]

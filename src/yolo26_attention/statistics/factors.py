"""What each component of a study does, and whether components help each other.

A variant is a set of components. The effect of a component is the mean difference between variants that differ in this
component only. The interaction of two components is how much larger the effect of one is if the other is present. Both
are contrasts of the variants' means in the model of `blocks`. The model does not assume that effects add up, so an
effect is estimated only if there are variants that differ in this component only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from yolo26_attention.statistics.blocks import finite_scores
from yolo26_attention.statistics.estimation import estimate, runs_of
from yolo26_attention.statistics.paired import check_level


@dataclass(frozen=True)
class Effect:
    """The effect of one component, or the interaction of two, in units of the score.

    `low` and `high` are a simultaneous interval for all effects of this kind; `p_adjusted` is below 1 - level exactly
    where the interval excludes zero. `p` is the p value of this effect on its own. `pairs` is the number of pairs of
    variants (sets of four for an interaction) over which the effect is averaged.
    """

    components: tuple[str, ...]
    effect: float
    se: float
    df: float
    low: float
    high: float
    p: float
    p_adjusted: float
    pairs: int

    @property
    def name(self) -> str:
        """The component, or both with a times sign between them."""
        return " × ".join(self.components)


@dataclass(frozen=True)
class Effects:
    """Effects of one kind: of the components, or interactions.

    Attributes:
        estimates: in the order of the components.
        reason: why this form of the error was chosen, and whether seeds are blocks; "" without estimates.
        level: simultaneous confidence level of the intervals.
    """

    estimates: tuple[Effect, ...]
    reason: str
    level: float


def main_effects(
    scores: Mapping[str, Mapping[int, float]], components: Mapping[str, Iterable[str]], level: float = 0.95
) -> Effects:
    """Estimate the effect of each component, averaged over the pairs of variants that differ in it only.

    Args:
        scores: score by variant and seed; non-finite scores are left out.
        components: components by variant; the result has them in order of first mention.
        level: simultaneous confidence level of the intervals.

    Raises:
        ValueError: if a variant is not in `components`, two variants have the same, the level is not
            between 0 and 1, or no error can be estimated.

    Source: Montgomery (2017), Design and Analysis of Experiments, chapter 6, for full designs.
    """
    return _effects(scores, components, 1, level)


def interactions(
    scores: Mapping[str, Mapping[int, float]], components: Mapping[str, Iterable[str]], level: float = 0.95
) -> Effects:
    """Estimate the interaction of each pair of components: the effect of one with the other, minus that without it.

    This is twice the interaction as textbooks on factorial designs define it.

    Args:
        scores: score by variant and seed; non-finite scores are left out.
        components: components by variant; the result has them in order of first mention.
        level: simultaneous confidence level of the intervals.

    Raises:
        ValueError: as `main_effects`.

    Source: Montgomery (2017), Design and Analysis of Experiments, chapter 6, for full designs.
    """
    return _effects(scores, components, 2, level)


def _effects(
    scores: Mapping[str, Mapping[int, float]], components: Mapping[str, Iterable[str]], order: int, level: float
) -> Effects:
    check_level(level)
    finite = finite_scores(scores)
    if unnamed := [name for name in finite if name not in components]:
        raise ValueError(f"variant {unnamed[0]!r} has no components; give it an empty set if it has none")
    variants = {name: frozenset(components[name]) for name in finite}
    ordered = list(dict.fromkeys(each for name in components for each in components[name]))
    if twice := _equal(variants):
        raise ValueError(f"variants {twice[0]!r} and {twice[1]!r} have the same components; keep one")
    contrasts = {subset: _contrast(subset, list(variants.values())) for subset in combinations(ordered, order)}
    known = {subset: found for subset, found in contrasts.items() if found is not None}
    if not known:
        return Effects((), "", level)
    design, values = runs_of(finite, tuple(weights for weights, _ in known.values()))
    found = estimate(design, values, level)
    estimates = tuple(
        Effect(
            subset,
            float(found.difference[i]),
            float(found.se[i]),
            found.df,
            float(found.low[i]),
            float(found.high[i]),
            float(found.p[i]),
            float(found.p_adjusted[i]),
            pairs,
        )
        for i, (subset, (_, pairs)) in enumerate(known.items())
    )
    return Effects(estimates, found.reason, level)


def _equal(variants: Mapping[str, frozenset[str]]) -> tuple[str, str] | None:
    """Two variants with the same components, if there are any."""
    seen: dict[frozenset[str], str] = {}
    for name, own in variants.items():
        if own in seen:
            return seen[own], name
        seen[own] = name
    return None


def _contrast(subset: tuple[str, ...], variants: list[frozenset[str]]) -> tuple[tuple[float, ...], int] | None:
    """Weights of the variants in an effect, and the number of pairs (fours) behind it; None without any."""
    index = {own: number for number, own in enumerate(variants)}
    parts = [frozenset(part) for size in range(len(subset) + 1) for part in combinations(subset, size)]
    bases = [own for own in variants if not own & set(subset) and all(own | part in index for part in parts)]
    if not bases:
        return None
    weights = [0.0] * len(variants)
    for base in bases:
        for part in parts:
            weights[index[base | part]] += (-1) ** (len(subset) - len(part)) / len(bases)
    return tuple(weights), len(bases)

"""Does a variant differ from the baseline, as far as the seeds of the training can tell?"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from yolo26_attention.statistics.paired import (
    MOST_SEEDS,
    Estimate,
    check_level,
    equivalence,
    holm,
    mean_interval,
    paired_t,
    seeds_to_decide,
    sign_flip,
)

Verdict = Literal["better", "worse", "equivalent", "identical", "undecided", "unlearned"]
# Of the two that are compared, who has scores no higher than the floor.
Unlearned = Literal["both", "variant", "baseline"]

SCREENING_SEEDS = 3
# mAP50-95 that an untrained network does not reach: 0 on the embedded data set with every seed tried, 1e-5 elsewhere.
UNTRAINED = 0.001


@dataclass(frozen=True)
class Comparison:
    """A variant against the baseline, paired by seed; differences are variant minus baseline.

    `p` is of the paired t test, `p_holm` the same adjusted over all variants compared; `p_sign_flip` is exact up to 13
    pairs and cannot be less than `least_p_sign_flip`; `p_equivalent` is of the two one-sided tests that the difference
    lies within `margin` either way, adjusted by Holm too. Each is None where it cannot be computed. `left_out` says of
    each seed without a pair why. `seeds_to_decide` is the number of pairs with which an undecided comparison would be
    decided; None where it is decided, cannot be told, or more than 1,000. `unlearned` says whose scores lie at the
    floor; there is no test then.
    """

    difference: Estimate
    margin: float
    verdict: Verdict
    p: float | None
    p_holm: float | None
    p_sign_flip: float | None
    least_p_sign_flip: float
    p_equivalent: float | None
    left_out: dict[int, str]
    seeds_to_decide: int | None
    unlearned: Unlearned | None = None

    @property
    def screening(self) -> bool:
        """Whether so few pairs stand behind the verdict (three or fewer) that it only says what to look at next."""
        return self.difference.n <= SCREENING_SEEDS

    @property
    def words(self) -> str:
        """The verdict as a reader should see it."""
        if self.unlearned is not None:
            who = {"both": "neither has", "variant": "the variant has not", "baseline": "the baseline has not"}
            return f"no verdict: {who[self.unlearned]} learned anything"
        if self.verdict == "identical":
            return f"undecided (scores identical to the baseline's, pairs: {self.difference.n})"
        if self.difference.n < 2:
            return f"undecided ({'one pair' if self.difference.n else 'no pair'} of seeds)"
        text = f"no difference larger than {self.margin:g}" if self.verdict == "equivalent" else self.verdict
        if self.seeds_to_decide is not None:
            text += f" (about {self.seeds_to_decide} seeds would decide)"
        return f"screening: {text}" if self.screening else text

    @property
    def notes(self) -> list[str]:
        """What a reader must know to take the verdict for what it is, a sentence each."""
        difference, n = self.difference, self.difference.n
        reasons: dict[str, list[int]] = {}
        for seed, reason in self.left_out.items():
            reasons.setdefault(reason, []).append(seed)
        notes = [f"without seed {', '.join(map(str, seeds))}: {reason}" for reason, seeds in reasons.items()]
        if self.unlearned is not None:
            return notes
        if self.verdict == "identical":
            notes.append(f"every score is that of the baseline to the last digit ({n} of {n} seeds)")
        elif n == 0:
            notes.append("no seed was finished by both the variant and the baseline")
        elif n == 1:
            notes.append("one pair of seeds: its difference has no interval over seeds, and no test")
        elif difference.low is None:
            notes.append(f"all {n} differences are equal, so that their spread over other seeds cannot be estimated")
        if 1 < n and self.least_p_sign_flip >= 1 - difference.level:
            notes.append(
                f"{n} pairs cannot reach p < {1 - difference.level:.2g} by sign-flip, whatever their differences "
                f"(least p: {self.least_p_sign_flip:g})"
            )
        if self.verdict == "equivalent" and self.p_holm is not None and self.p_holm < 1 - difference.level:
            notes.append(f"the difference is not zero, but smaller than {self.margin:g}")
        if self.verdict == "undecided" and self.seeds_to_decide is None and difference.low is not None:
            notes.append(f"not even {MOST_SEEDS} seeds would decide")
        return notes


def compare_seeds(
    scores: Mapping[str, Mapping[int, float]],
    *,
    baseline: str = "baseline",
    margin: float,
    floor: float = -math.inf,
    level: float = 0.95,
    generator: np.random.Generator,
) -> dict[str, Comparison]:
    """Compare every variant with the baseline over the seeds that both have; higher scores are better.

    A seed that only one of them has, or whose score is not finite, is left out and said so. Verdicts: `better` or
    `worse` where Holm's p is below 1 - level; `equivalent` where the equivalence test's is (this goes first: a
    difference that is proven smaller than the margin is called so, even if it is proven not to be zero); `identical`
    where all differences are zero; `unlearned` where the scores of either lie at the floor; `undecided` otherwise, and
    always with fewer than two pairs or with all differences equal. What has not learned is no part of Holm's family.

    Args:
        scores: variant to seed to score, the baseline's among them.
        baseline: the variant that the others are compared with.
        margin: the largest difference that does not matter, in units of the score.
        floor: scores up to here are no better than those of something that learned nothing.
        level: of the intervals; tests are held to 1 - level.
        generator: draws sign patterns where there are too many to try all.

    Raises:
        ValueError: if the baseline is missing, the margin is not positive or the level is not between 0 and 1.
    """
    if baseline not in scores:
        raise ValueError(f"no variant {baseline!r} to compare with; there are {', '.join(scores) or 'none'}")
    if not (margin > 0 and math.isfinite(margin)):
        raise ValueError(f"margin={margin}: a positive number, the largest difference that does not matter")
    check_level(level)
    pairs = {name: pair_seeds(own, scores[baseline]) for name, own in scores.items() if name != baseline}
    unlearned = {name: _unlearned(scores[name], scores[baseline], floor) for name in pairs}
    estimates = {name: mean_interval(values, level) for name, (values, _) in pairs.items()}
    tested = {name: estimate for name, estimate in estimates.items() if unlearned[name] is None}
    t_tests = {name: paired_t(estimate) for name, estimate in tested.items()}
    equivalences = {name: equivalence(estimate, margin) for name, estimate in tested.items()}
    p_holm = dict(zip(t_tests, holm(list(t_tests.values())), strict=True))
    p_equivalent = dict(zip(equivalences, holm(list(equivalences.values())), strict=True))
    family = sum(p is not None for p in t_tests.values())
    comparisons = {}
    for name, (values, left_out) in pairs.items():
        estimate = estimates[name]
        verdict = "unlearned" if unlearned[name] else _verdict(values, estimate, p_holm[name], p_equivalent[name])
        needed = None
        if verdict == "undecided" and estimate.mean is not None and estimate.sd:
            needed = seeds_to_decide(estimate.mean, estimate.sd, margin, level=level, family=family)
        comparisons[name] = Comparison(
            difference=estimate,
            margin=margin,
            verdict=verdict,
            p=t_tests.get(name),
            p_holm=p_holm.get(name),
            p_sign_flip=sign_flip(values, generator) if name in tested else None,
            least_p_sign_flip=min(1.0, 2.0 ** (1 - len(values))),
            p_equivalent=p_equivalent.get(name),
            left_out=left_out,
            seeds_to_decide=needed,
            unlearned=unlearned[name],
        )
    return comparisons


def at_floor(scores: Iterable[float], floor: float) -> bool:
    """Whether scores are those of something that learned nothing: their mean, or half of them, at most `floor`.

    Scores that are not finite are left out; False without any.
    """
    finite = [score for score in scores if math.isfinite(score)]
    return bool(finite) and (float(np.mean(finite)) <= floor or float(np.median(finite)) <= floor)


def _unlearned(own: Mapping[int, float], baseline: Mapping[int, float], floor: float) -> Unlearned | None:
    """Whose scores lie at the floor, those of all seeds or of the common ones."""
    common = {*own} & {*baseline}
    low = [
        at_floor(scores.values(), floor) or at_floor((scores[seed] for seed in common), floor)
        for scores in (own, baseline)
    ]
    if not any(low):
        return None
    return "both" if all(low) else "variant" if low[0] else "baseline"


def pair_seeds(
    own: Mapping[int, float], baseline: Mapping[int, float]
) -> tuple[Float64[NDArray[np.float64], " pairs"], dict[int, str]]:
    """Differences of the seeds that both have, and why the other seeds have none."""
    differences, left_out = [], {}
    for seed in sorted({*own, *baseline}):
        if seed not in baseline:
            left_out[seed] = "the baseline has no score"
        elif seed not in own:
            left_out[seed] = "the variant has no score"
        elif not math.isfinite(own[seed]):
            left_out[seed] = f"the variant's score is {own[seed]}"
        elif not math.isfinite(baseline[seed]):
            left_out[seed] = f"the baseline's score is {baseline[seed]}"
        else:
            differences.append(own[seed] - baseline[seed])
    return np.array(differences, dtype=np.float64), left_out


def _verdict(
    values: Float64[NDArray[np.float64], " pairs"],
    difference: Estimate,
    p_holm: float | None,
    p_equivalent: float | None,
) -> Verdict:
    if len(values) and not values.any():
        return "identical"
    if difference.mean is None or p_holm is None or p_equivalent is None:
        return "undecided"
    if p_equivalent < 1 - difference.level:
        return "equivalent"
    if p_holm < 1 - difference.level:
        return "better" if difference.mean > 0 else "worse"
    return "undecided"

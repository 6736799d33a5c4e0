"""Does a variant differ from the baseline, as far as the seeds of the training can tell?

The paired t interval is the headline: with 3 to 10 pairs it is the one that covers what it claims, while bootstrap
intervals over so few seeds are too narrow.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Verdict = Literal["better", "worse", "equivalent", "undecided"]

SCREENING_SEEDS = 3
POWER = 0.8
MOST_SEEDS = 1000
# All 2^n sign patterns are tried up to 13 pairs, as many random ones beyond.
SIGN_PATTERNS = 2**13


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its t interval.

    `mean` is None without a finite value; `sd`, `low` and `high` are None with fewer than two values, and `low` and
    `high` also where all values are equal, because a spread of zero says nothing about other seeds.
    """

    n: int
    mean: float | None
    sd: float | None
    low: float | None
    high: float | None
    level: float


@dataclass(frozen=True)
class Comparison:
    """A variant against the baseline, paired by seed; differences are variant minus baseline.

    `p` is of the paired t test, `p_holm` the same adjusted over all variants compared; `p_sign_flip` is exact up to 13
    pairs and cannot be less than `least_p_sign_flip`; `p_equivalent` is of the two one-sided tests that the difference
    lies within `margin` either way, adjusted by Holm too. Each is None where it cannot be computed. `left_out` says of
    each seed without a pair why. `seeds_to_decide` is the number of pairs with which an undecided comparison would be
    decided; None where it is decided, cannot be told, or more than 1,000.
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

    @property
    def screening(self) -> bool:
        """Whether so few pairs stand behind the verdict (three or fewer) that it only says what to look at next."""
        return self.difference.n <= SCREENING_SEEDS

    @property
    def words(self) -> str:
        """The verdict as a reader should see it."""
        text = f"no difference larger than {self.margin:g}" if self.verdict == "equivalent" else self.verdict
        if self.seeds_to_decide is not None:
            text += f" (about {self.seeds_to_decide} seeds would decide)"
        return f"screening: {text}" if self.screening else text

    @property
    def notes(self) -> list[str]:
        """What a reader must know to take the verdict for what it is, a sentence each."""
        difference, n = self.difference, self.difference.n
        notes = [f"seed {seed} is left out: {reason}" for seed, reason in self.left_out.items()]
        if n == 0:
            notes.append("no seed was finished by both the variant and the baseline")
        elif n == 1:
            notes.append("one pair of seeds: no interval over seeds, and no test")
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
    level: float = 0.95,
    generator: np.random.Generator,
) -> dict[str, Comparison]:
    """Compare every variant with the baseline over the seeds that both have; higher scores are better.

    A seed that only one of them has, or whose score is not finite, is left out and said so. Verdicts: `better` or
    `worse` where Holm's p is below 1 - level; `equivalent` where the equivalence test's is (this goes first: a
    difference that is proven smaller than the margin is called so, even if it is proven not to be zero); `undecided`
    otherwise, and always with fewer than two pairs or with all differences equal.

    Args:
        scores: variant to seed to score, the baseline's among them.
        baseline: the variant that the others are compared with.
        margin: the largest difference that does not matter, in units of the score.
        level: of the intervals; tests are held to 1 - level.
        generator: draws sign patterns where there are too many to try all.

    Raises:
        ValueError: if the baseline is missing, the margin is not positive or the level is not between 0 and 1.
    """
    if baseline not in scores:
        raise ValueError(f"no variant {baseline!r} to compare with; there are {', '.join(scores) or 'none'}")
    if not (margin > 0 and math.isfinite(margin)):
        raise ValueError(f"margin={margin}: a positive number, the largest difference that does not matter")
    _check_level(level)
    pairs = {name: pair_seeds(own, scores[baseline]) for name, own in scores.items() if name != baseline}
    estimates = {name: mean_interval(values, level) for name, (values, _) in pairs.items()}
    t_tests = {name: paired_t(estimate) for name, estimate in estimates.items()}
    equivalences = {name: _equivalence(estimate, margin) for name, estimate in estimates.items()}
    p_holm = dict(zip(t_tests, holm(list(t_tests.values())), strict=True))
    p_equivalent = dict(zip(equivalences, holm(list(equivalences.values())), strict=True))
    tested = sum(p is not None for p in t_tests.values())
    comparisons = {}
    for name, (values, left_out) in pairs.items():
        estimate = estimates[name]
        verdict = _verdict(estimate, p_holm[name], p_equivalent[name])
        needed = None
        if verdict == "undecided" and estimate.low is not None:
            needed = seeds_to_decide(estimate.mean, estimate.sd, margin, level=level, family=tested)
            needed = None if needed is None else max(needed, estimate.n + 1)
        comparisons[name] = Comparison(
            difference=estimate,
            margin=margin,
            verdict=verdict,
            p=t_tests[name],
            p_holm=p_holm[name],
            p_sign_flip=sign_flip(values, generator),
            least_p_sign_flip=min(1.0, 2.0 ** (1 - len(values))),
            p_equivalent=p_equivalent[name],
            left_out=left_out,
            seeds_to_decide=needed,
        )
    return comparisons


def mean_interval(values: ArrayLike, level: float = 0.95) -> Estimate:
    """Estimate a mean over seeds by its t interval; values that are not finite are left out.

    Raises:
        ValueError: if the level is not between 0 and 1.
    """
    _check_level(level)
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    n = len(finite)
    mean = float(finite.mean()) if n else None
    if n < 2:
        return Estimate(n, mean, None, None, None, level)
    if _all_equal(finite):
        return Estimate(n, mean, 0.0, None, None, level)
    sd = float(finite.std(ddof=1))
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * sd / math.sqrt(n)
    return Estimate(n, mean, sd, mean - half, mean + half, level)


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Adjust p values for their number by Holm's step-down procedure; None, a test that was not made, stays None.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    known = [index for index, value in enumerate(p) if value is not None]
    order = sorted(known, key=lambda index: p[index])
    adjusted: list[float | None] = [None] * len(p)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p[index]))
        adjusted[index] = largest
    return adjusted


def sign_flip(differences: ArrayLike, generator: np.random.Generator) -> float | None:
    """Two-sided p of the mean difference if the sign of each were chance: exact up to 13 pairs, None below two."""
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2:
        return None
    result = stats.permutation_test(
        (values,),
        lambda x, axis: x.mean(axis=axis),
        permutation_type="samples",
        n_resamples=SIGN_PATTERNS,
        vectorized=True,
        rng=generator,
    )
    return float(result.pvalue)


def seeds_to_decide(mean: float, sd: float, margin: float, *, level: float = 0.95, family: int = 1) -> int | None:
    """The least number of pairs that decides with a power of 80 %, if mean and spread are as observed.

    Decided is what the paired t test finds different from zero, or the equivalence test within the margin, both held
    to (1 - level) / family, the first step of Holm's procedure. The equivalence test's power is bounded from below by
    that of its two parts. A figure for planning: three seeds know their spread only within a factor of about four.

    Args:
        mean: of the differences.
        sd: of the differences.
        margin: as in `compare_seeds`.
        level: as in `compare_seeds`.
        family: how many variants are compared.

    Returns:
        The number of pairs, or None if 1,000 are not enough.
    """
    alpha = (1 - level) / max(family, 1)
    n = np.arange(2, MOST_SEEDS + 1)
    error, df = sd / np.sqrt(n), n - 1
    two_sided, one_sided = stats.t.isf(alpha / 2, df), stats.t.isf(alpha, df)
    different = stats.nct.sf(two_sided, df, abs(mean) / error)
    equivalent = (
        stats.nct.sf(one_sided, df, (margin + mean) / error) + stats.nct.sf(one_sided, df, (margin - mean) / error) - 1
    )
    enough = np.flatnonzero(np.fmax(different, equivalent) >= POWER)
    return int(n[enough[0]]) if len(enough) else None


def pair_seeds(own: Mapping[int, float], baseline: Mapping[int, float]) -> tuple[NDArray[np.float64], dict[int, str]]:
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


def paired_t(difference: Estimate) -> float | None:
    """Two-sided p of a mean difference; None where there is no interval."""
    if difference.low is None:
        return None
    t = difference.mean / (difference.sd / math.sqrt(difference.n))
    return float(2 * stats.t.sf(abs(t), difference.n - 1))


def _equivalence(difference: Estimate, margin: float) -> float | None:
    """The larger p of the two one-sided t tests that the mean lies above -margin and below margin."""
    if difference.low is None:
        return None
    t = (margin - abs(difference.mean)) / (difference.sd / math.sqrt(difference.n))
    return float(stats.t.sf(t, difference.n - 1))


def _verdict(difference: Estimate, p_holm: float | None, p_equivalent: float | None) -> Verdict:
    if p_holm is None or p_equivalent is None:
        return "undecided"
    if p_equivalent < 1 - difference.level:
        return "equivalent"
    if p_holm < 1 - difference.level:
        return "better" if difference.mean > 0 else "worse"
    return "undecided"


def _all_equal(values: NDArray[np.float64]) -> bool:
    """Equal but for rounding, which must not pass for a spread."""
    return bool(np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())))


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level={level}: between 0 and 1, for example 0.95")

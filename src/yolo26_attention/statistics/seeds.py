"""Differences between variants and the baseline over the seeds of the training."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from yolo26_attention.statistics.blocks import Contrast, StudyModel, compare
from yolo26_attention.statistics.estimation import Form
from yolo26_attention.statistics.needed import MOST_SEEDS, Needed, seeds_needed
from yolo26_attention.statistics.paired import Estimate, check_level, check_margin, mean_interval, paired_t, sign_flip

Verdict = Literal["better", "worse", "equivalent", "identical", "undecided", "unlearned"]
# Which of the two has scores at most at the floor.
Unlearned = Literal["both", "variant", "baseline"]

# mAP50-95 that an untrained network does not reach: 0 on the embedded data set with every seed tried, 1e-5 elsewhere.
UNTRAINED = 0.001
# Variants that one model compares.
MOST_TOGETHER = 40


@dataclass(frozen=True)
class Comparison:
    """A variant against the baseline; differences are variant minus baseline.

    Attributes:
        difference: by the model of all runs (`blocks`), with its simultaneous interval; `n` is the variant's number of
            seeds, `sd` the standard deviation of a run. Without bounds where no error can be estimated.
        paired: difference over the seeds that both have, with the paired t interval of this comparison alone.
        behind: seeds of the finite scores of the variant, and of the baseline.
        margin: the largest difference that does not matter.
        verdict: verdict from the interval of `difference`.
        p: adjusted for all comparisons of the model; below 1 - level exactly where the interval excludes zero.
        p_paired: of the paired t test.
        p_sign_flip: exact up to 13 pairs.
        left_out: seed to the reason why its score does not count.
        needed: seeds with which an undecided comparison would be decided; None where it is decided or cannot be told.
        error: standard error of `difference`; None without a model.
        form: which error the difference is measured against; None without a model.
        reason: why that form.
        unlearned: whose scores lie at the floor; there is no test then.
        look: the declared look behind it, in words; empty without one.
        look_number: of that look, from 1; None without one.
        boundary: nominal level of that look; None without one.
    """

    difference: Estimate
    paired: Estimate
    behind: tuple[tuple[int, ...], tuple[int, ...]]
    margin: float
    verdict: Verdict
    p: float | None
    p_paired: float | None
    p_sign_flip: float | None
    left_out: dict[int, str]
    needed: Needed | None = None
    error: float | None = None
    form: Form | None = None
    reason: str = ""
    unlearned: Unlearned | None = None
    look: str = ""
    look_number: int | None = None
    boundary: float | None = None

    @property
    def seeds(self) -> tuple[int, int]:
        """Numbers of finite scores of the variant and of the baseline."""
        own, base = self.behind
        return len(own), len(base)

    @property
    def words(self) -> str:
        """The verdict in words."""
        if self.unlearned is not None:
            who = {"both": "neither has", "variant": "the variant has not", "baseline": "the baseline has not"}
            return f"no verdict: {who[self.unlearned]} learned anything"
        if self.verdict == "identical":
            return f"undecided (the same scores as the baseline, pairs: {self.paired.n})"
        if self.form is None:
            return "undecided (too few seeds for an interval)"
        text = f"no difference larger than {self.margin:g}" if self.verdict == "equivalent" else self.verdict
        if self.look:
            return f"{text} ({self.look})"
        return f"{text} ({self.needed} would decide)" if self.needed is not None and self.needed.seeds else text

    @property
    def notes(self) -> list[str]:
        """What a reader must know to interpret the verdict, a sentence each."""
        reasons: dict[str, list[int]] = {}
        for seed, reason in self.left_out.items():
            reasons.setdefault(reason, []).append(seed)
        notes = [f"without seed {', '.join(map(str, seeds))}: {reason}" for reason, seeds in reasons.items()]
        if self.unlearned is not None:
            return notes
        n = self.paired.n
        if self.verdict == "identical":
            notes.append(f"every score equals the baseline's in every digit ({n} of {n} seeds)")
        elif self.form is None and self.paired.n > 1 and self.paired.low is None:
            notes.append(f"all {n} differences are equal, so their spread over other seeds cannot be estimated")
        elif self.form is None:
            notes.append("an interval needs two seeds or more of the variant and of the baseline")
        if self.verdict == "equivalent" and self.p is not None and self.p < 1 - self.difference.level:
            notes.append(f"the difference is not zero, but smaller than {self.margin:g}")
        if self.needed is not None and self.needed.seeds is None:
            notes.append(f"not even {MOST_SEEDS} seeds would decide")
        return notes


def compare_seeds(
    scores: Mapping[str, Mapping[int, float]],
    *,
    baseline: str = "baseline",
    margin: float,
    floor: float = -math.inf,
    level: float = 0.95,
    boundary: float | None = None,
    generator: np.random.Generator,
) -> dict[str, Comparison]:
    """Compare every variant with the baseline by one model of all runs; higher scores are better.

    The verdict is read off the simultaneous interval of the difference: `equivalent` where it lies within the margin
    (this goes first: a difference that is proven smaller than the margin is called so, even if it is proven not to be
    zero), `better` or `worse` where it excludes zero, `undecided` otherwise and where there is no interval. `identical`
    means that all scores of common seeds are equal, `unlearned` that the scores of either lie at the floor; what has
    not learned is no part of the model.

    Args:
        scores: variant to seed to score, the baseline's among them; scores that are not finite are left out.
        baseline: the variant that the others are compared with.
        margin: the largest difference that does not matter, in units of the score.
        floor: scores up to here are no better than those of something that learned nothing.
        level: simultaneous level of the intervals.
        boundary: nominal level of a declared look (`sequential.boundaries`), to which intervals and verdicts are held
            instead of 1 - level.
        generator: draws sign patterns where there are too many to try all.

    Raises:
        ValueError: if the baseline is missing, the margin is not positive or the level is not between 0 and 1.
    """
    if baseline not in scores:
        raise ValueError(f"no variant {baseline!r} to compare with; there are {', '.join(scores) or 'none'}")
    check_margin(margin)
    check_level(level)
    others = [name for name in scores if name != baseline]
    unlearned = {name: _unlearned(scores[name], scores[baseline], floor) for name in others}
    learned_scores = {name: own for name, own in scores.items() if unlearned.get(name) is None}
    alpha = 1 - level if boundary is None else boundary
    models = _models(learned_scores, baseline, level, alpha)
    comparisons = {}
    for name in others:
        values, left_out = pair_seeds(scores[name], scores[baseline])
        model = models.get(name)
        contrast = None if model is None else model.contrast
        difference = _estimate(scores[name], scores[baseline], values, model, level)
        learned = unlearned[name] is None
        verdict: Verdict = _verdict(values, model, alpha, margin) if learned else "unlearned"
        needed = None
        if verdict == "undecided" and model is not None and contrast is not None:
            needed = seeds_needed(
                contrast.difference, contrast.se, contrast.df, difference.n, margin, model.critical_for
            )
        comparisons[name] = Comparison(
            difference=difference,
            paired=mean_interval(values, level),
            behind=(_seeds(scores[name]), _seeds(scores[baseline])),
            margin=margin,
            verdict=verdict,
            p=None if model is None else model.p,
            p_paired=paired_t(mean_interval(values, level)) if learned else None,
            p_sign_flip=sign_flip(values, generator) if learned else None,
            left_out=left_out,
            needed=needed,
            error=None if contrast is None else contrast.se,
            form=None if model is None else model.form,
            reason="" if model is None else model.reason,
            unlearned=unlearned[name],
            boundary=boundary,
        )
    return comparisons


@dataclass(frozen=True)
class _Judged:
    """What a model says of one variant: its contrast, adjusted p, sd of a run, and critical values."""

    contrast: Contrast
    p: float
    sd: float
    critical: float
    critical_for: Callable[[float], float]
    form: Form
    reason: str


def _models(scores: Mapping[str, Mapping[int, float]], baseline: str, level: float, alpha: float) -> dict[str, _Judged]:
    """Every variant with two seeds or more, judged by the model of all runs; none where no error can be estimated.

    One seed of a variant could be compared with the error of all others, but says nothing about its own spread. More
    than 40 variants are a search: each is compared with the baseline by itself, adjusted for their number (Bonferroni),
    as a model of them all would take minutes.
    """
    enough = {name: own for name, own in scores.items() if len(_finite(own)) > 1}
    others = [name for name in enough if name != baseline]
    if baseline not in enough or not others:
        return {}
    if len(others) <= MOST_TOGETHER:
        return _judged(enough, baseline, level, alpha, 1)
    found: dict[str, _Judged] = {}
    for name in others:
        found |= _judged({key: enough[key] for key in (baseline, name)}, baseline, level, alpha, len(others))
    return found


def _judged(
    scores: Mapping[str, Mapping[int, float]], baseline: str, level: float, alpha: float, number: int
) -> dict[str, _Judged]:
    """Variants of one model, with their number."""
    try:
        model = compare(scores, baseline, 1 - (1 - level) / number)
    except ValueError:  # too few seeds, or scores that do not vary
        return {}
    own = alpha / number
    critical = model.critical if math.isclose(own, 1 - model.level) else model.critical_at(1 - own)
    alone = "" if number == 1 else f"each of {number} variants by itself, adjusted for their number; "
    critical_for = _critical_values(model, 1 - own)
    return {
        each.variant: _Judged(
            each, min(1.0, number * each.p_adjusted), model.sd, critical, critical_for, model.form, alone + model.reason
        )
        for each in model.comparisons
    }


def _critical_values(model: StudyModel, level: float) -> Callable[[float], float]:
    """Critical values of the model for other degrees of freedom, interpolated over their reciprocal."""

    @cache
    def table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        df = model.df * 2.0 ** np.arange(0, 10)
        return (1 / df)[::-1], np.array([model.critical_at(level, each) for each in df.tolist()])[::-1]

    return lambda wanted: float(np.interp(1 / wanted, *table()))


def _estimate(
    own: Mapping[int, float],
    baseline: Mapping[int, float],
    paired: Float64[NDArray[np.float64], " pairs"],
    model: _Judged | None,
    level: float,
) -> Estimate:
    """The difference by the model; without one, of the seeds that both have, or else of the means."""
    n = len(_finite(own))
    if model is not None:
        difference, half = model.contrast.difference, model.critical * model.contrast.se
        return Estimate(n, difference, model.sd, difference - half, difference + half, level)
    if len(paired):
        return Estimate(n, float(paired.mean()), None, None, None, level)
    if n and _finite(baseline):
        difference = float(np.mean(_finite(own)) - np.mean(_finite(baseline)))
        return Estimate(n, difference, None, None, None, level)
    return Estimate(n, None, None, None, None, level)


def _finite(scores: Mapping[int, float]) -> list[float]:
    return [score for score in scores.values() if math.isfinite(score)]


def _seeds(scores: Mapping[int, float]) -> tuple[int, ...]:
    return tuple(seed for seed, score in scores.items() if math.isfinite(score))


def at_floor(scores: Iterable[float], floor: float) -> bool:
    """Whether scores are those of something that learned nothing: their mean, or half of them, at most `floor`.

    Scores that are not finite are left out; False without any.
    """
    finite = [score for score in scores if math.isfinite(score)]
    return bool(finite) and (float(np.mean(finite)) <= floor or float(np.median(finite)) <= floor)


def _unlearned(own: Mapping[int, float], baseline: Mapping[int, float], floor: float) -> Unlearned | None:
    """Which of the two has scores at the floor, over all seeds or over the common ones."""
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
    """Differences of the seeds that both have, and why scores that are no numbers do not count."""
    differences, left_out = [], {}
    for seed in sorted({*own, *baseline}):
        for who, scores in (("variant", own), ("baseline", baseline)):
            if seed in scores and not math.isfinite(scores[seed]):
                left_out[seed] = f"the {who}'s score is {scores[seed]}"
        if seed in own and seed in baseline and seed not in left_out:
            differences.append(own[seed] - baseline[seed])
    return np.array(differences, dtype=np.float64), left_out


def _verdict(
    paired: Float64[NDArray[np.float64], " pairs"], model: _Judged | None, alpha: float, margin: float
) -> Verdict:
    if len(paired) and not paired.any():
        return "identical"
    if model is None:
        return "undecided"
    if abs(model.contrast.difference) + model.critical * model.contrast.se < margin:
        return "equivalent"
    if model.p < alpha:
        return "better" if model.contrast.difference > 0 else "worse"
    return "undecided"

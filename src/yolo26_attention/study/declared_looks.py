"""The outcome of declared looks, computed from scores alone: which variants are decided, and which are still open."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from yolo26_attention.statistics import (
    FUTILE,
    UNTRAINED,
    StudyModel,
    at_floor,
    boundaries,
    compare,
    decide,
    predictive_power,
)
from yolo26_attention.study.declaration import Declaration

Outcome = Literal["better", "worse", "no_difference", "unlearned", "alone", "futile", "open"]
Scores = Mapping[str, Mapping[int, float]]

WORDS = {
    "better": "better",
    "worse": "worse",
    "no_difference": "no difference larger than the margin",
    "unlearned": "learned nothing",
    "alone": "cannot be compared, because what it is compared with learned nothing or failed",
    "futile": "cannot be decided with the seeds that are left",
    "open": "open",
}


@dataclass(frozen=True)
class Arm:
    """A variant at its latest look.

    Attributes:
        outcome: what that look decided; `futile` where the seeds left would decide with a probability below
            0.1, `unlearned` where its scores are those of an untrained network, `alone` where those of the baseline
            are, or where no run of the baseline has a score.
        look: number of that look, from 1.
        seeds: number of seeds of each variant at that look.
        power: probability that the last look decides, if it is open; None if unknown.
    """

    outcome: Outcome
    look: int
    seeds: int
    power: float | None = None

    @property
    def words(self) -> str:
        """The outcome in words."""
        chance = "" if self.power is None or self.outcome != "open" else f" ({self.power:.0%} to be decided)"
        return f"{WORDS[self.outcome]}{chance}"


@dataclass(frozen=True)
class Standing:
    """A family of variants with one baseline, after the looks that are complete.

    Attributes:
        looks: declared numbers of seeds.
        levels: nominal level of each look.
        complete: number of complete looks.
        arms: variant to its latest look; empty before the first look is complete.
    """

    looks: tuple[int, ...]
    levels: tuple[float, ...]
    complete: int
    arms: Mapping[str, Arm]

    @property
    def text(self) -> str:
        """One line for the log."""
        if not self.complete:
            return f"the first look is at {self.looks[0]} seeds"
        told = "; ".join(f"{variant}: {arm.words}" for variant, arm in self.arms.items())
        return f"look {self.complete} of {len(self.looks)}, at {self.looks[self.complete - 1]} seeds: {told}"


def replay(
    scores: Scores, settled: Callable[[str, int], bool], baseline: str, declared: Declaration, margin: float
) -> Standing:
    """Judge the looks of one baseline's variants in order, each with the runs that belong to it.

    A look is complete when every run up to it is settled; with `stop`, runs of variants that an earlier look stopped
    are not waited for. Their scores stay in the model, so that every look is held to the number of all variants.

    Args:
        scores: variant to seed to score of all finished runs, including the baseline's.
        settled: whether the run of a variant and a seed has ended, finished or not.
        baseline: the variant that the others are compared with.
        declared: with at least one look.
        margin: the largest difference that does not matter.
    """
    others = [variant for variant in scores if variant != baseline]
    levels = look_levels(declared, len(others))
    arms: dict[str, Arm] = {}
    stopped: set[str] = set()
    complete = 0
    for number, (look, level) in enumerate(zip(declared.looks, levels, strict=True), 1):
        running = [variant for variant in [baseline, *others] if variant not in stopped]
        due = [(v, seed) for v in running for seed in declared.seeds_at(look, v == baseline)]
        if not running[1:] or not all(settled(variant, seed) for variant, seed in due):
            break
        complete = number
        kept = scores_at(scores, arms, number, baseline, declared)
        found = _outcomes(kept, baseline, level, levels[-1], margin, look, declared.looks[-1])
        for variant in others:
            # The first decision stands.
            if variant in stopped or (variant in arms and arms[variant].outcome not in {"open", "futile"}):
                continue
            outcome, power = found.get(variant, ("open", None))
            arms[variant] = Arm(outcome, number, look, power)
            if declared.stop and outcome != "open":
                stopped.add(variant)
    return Standing(declared.looks, levels, complete, arms)


def scores_at(
    scores: Scores, arms: Mapping[str, Arm], number: int, baseline: str, declared: Declaration
) -> dict[str, dict[int, float]]:
    """Return the scores that belong to a look; of a variant that an earlier look stopped, those of that look.

    Args:
        scores: variant to seed to score of all finished runs.
        arms: where the variants stand after this look or before it.
        number: of the look, from 1.
        baseline: the variant that the others are compared with.
        declared: with at least one look.
    """
    kept = {}
    for variant, own in scores.items():
        arm, look = arms.get(variant), declared.looks[number - 1]
        if declared.stop and arm is not None and arm.outcome != "open" and arm.look < number:
            look = arm.seeds
        kept[variant] = {seed: own[seed] for seed in declared.seeds_at(look, variant == baseline) if seed in own}
    return kept


def look_model(scores: Scores, baseline: str, margin: float) -> StudyModel:
    """The model by which a look decides: of the variants that have learned something and have two seeds.

    Raises:
        ValueError: if nobody has two seeds, scores do not vary, or the baseline learned nothing.
    """
    floor = max(margin, UNTRAINED)
    learned = {name: own for name, own in scores.items() if not at_floor(own.values(), floor)}
    return compare({name: own for name, own in learned.items() if sum(map(math.isfinite, own.values())) > 1}, baseline)


def needed_seeds(standing: Standing, declared: Declaration, variant: str, baseline: bool) -> tuple[int, ...]:
    """Return the seeds of a variant that are trained before the next look; for a stopped variant, those it has had.

    Args:
        standing: where the variants of its baseline stand.
        declared: declaration of the study.
        variant: label of the variant.
        baseline: whether it is the baseline itself.
    """
    nothing_open = bool(standing.arms) and all(arm.outcome != "open" for arm in standing.arms.values())
    ended = standing.complete == len(standing.looks) or (declared.stop and nothing_open)
    arm = standing.arms.get(variant)
    if declared.stop and not baseline and arm is not None and arm.outcome != "open":
        return declared.seeds_at(arm.seeds, False)
    last = max(standing.complete - 1, 0) if ended else standing.complete
    return declared.seeds_at(standing.looks[last], baseline)


def _outcomes(
    scores: Scores, baseline: str, level: float, last_level: float, margin: float, look: int, last: int
) -> dict[str, tuple[Outcome, float | None]]:
    """The decision of a look for each variant that it can judge, and the power of the remaining seeds."""
    floor = max(margin, UNTRAINED)
    unlearned = [name for name, own in scores.items() if at_floor(own.values(), floor)]
    found: dict[str, tuple[Outcome, float | None]] = dict.fromkeys(unlearned, ("unlearned", None))
    if baseline in unlearned or not any(map(math.isfinite, scores[baseline].values())):
        return dict.fromkeys(scores, ("alone", None)) | found
    try:
        model = look_model(scores, baseline, margin)
    except ValueError:  # there is nothing to compare
        return found
    for variant, decision in decide(model, level, margin).items():
        outcome: Outcome = decision
        power = None
        if outcome == "open" and look < last:
            power = _power(model, variant, look, last - look, margin, last_level)
            outcome = "futile" if power < FUTILE else "open"
        found[variant] = outcome, power
    return found


def _power(model: StudyModel, variant: str, look: int, left: int, margin: float, last_level: float) -> float:
    contrast = model[variant]
    # At the last look, the spread is known more precisely.
    critical = model.critical_at(1 - last_level, model.df * (look + left - 1) / (look - 1))
    return float(predictive_power(contrast.difference, contrast.se, contrast.df, look, left, margin, critical))


def look_levels(declared: Declaration, variants: int) -> tuple[float, ...]:
    """Return the nominal level of each declared look.

    Args:
        declared: with at least one look.
        variants: how many are compared with the baseline.
    """
    base = tuple(len(declared.seeds_at(look, True)) for look in declared.looks)
    return boundaries(declared.looks, max(variants, 1), baseline_seeds=base)

"""What a study declared before its first run, held against what it found."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from yolo26_attention.counts import number_of
from yolo26_attention.files.metrics import COMPARED, MAP50_95
from yolo26_attention.reporting.signs import interval
from yolo26_attention.reporting.study import Study, StudyRun
from yolo26_attention.reporting.variant import Variant
from yolo26_attention.statistics import Comparison, anytime_interval, compare_seeds, pair_seeds, spent_share
from yolo26_attention.study.declaration import Declaration
from yolo26_attention.study.declared_looks import Arm, Standing, replay, scores_at
from yolo26_attention.study.next_runs import ENDED


def compare_at_looks(
    study: Study,
    plan: Declaration,
    scores: Mapping[str, Mapping[int, float]],
    baseline: str,
    margin: float,
    floor: float,
    level: float,
) -> dict[str, Comparison]:
    """Compare every variant at the look that decided it, or else at the last one that is complete.

    Intervals and verdicts are held to the nominal level of that look, so that all looks together are held to 1 - level.
    Before the first look nothing is decided.

    Args:
        study: as read.
        plan: that the study declares, with at least one look.
        scores: variant to seed to score, the baseline's among them.
        baseline: the variant that the others are compared with.
        margin: largest difference that does not matter.
        floor: scores up to here are no better than those of something that learned nothing.
        level: of the whole study.
    """
    ended = {(run.variant, run.seed) for run in study.runs if _has_ended(run)}
    standing = replay(scores, lambda variant, seed: (variant, seed) in ended, baseline, plan, margin)
    found = {}
    for variant in scores:
        if variant == baseline:
            continue
        arm = standing.arms.get(variant)
        number = 1 if arm is None else arm.look
        comparison = compare_seeds(
            scores_at(scores, standing.arms, number, baseline, plan),
            baseline=baseline,
            margin=margin,
            floor=floor,
            level=level,
            boundary=standing.levels[number - 1],
            generator=np.random.default_rng(0),
        )[variant]
        found[variant] = (
            replace(comparison, look=_words(standing, arm), look_number=arm.look)
            if arm is not None
            else _too_early(comparison, plan)
        )
    return found


def _has_ended(run: StudyRun) -> bool:
    """Whether a run will have no other result, as the sweep judges it: by its record, whether it counts here or not."""
    return run.status in ENDED or (run.record is not None and run.record.status in ENDED)


def _words(standing: Standing, arm: Arm) -> str:
    text = f"look {arm.look} of {len(standing.looks)}"
    if arm.outcome == "futile":
        text += "; the seeds that are left cannot decide it"
    elif arm.outcome == "open" and arm.power is not None:
        text += f"; the seeds that are left decide it with a probability of {arm.power:.0%}"
    return text


def _too_early(comparison: Comparison, plan: Declaration) -> Comparison:
    comparison = replace(comparison, boundary=None)  # no look is complete
    if comparison.unlearned is not None or comparison.form is None:
        return comparison
    return replace(comparison, verdict="undecided", needed=None, look=f"first look at {plan.looks[0]} seeds")


def on_declaration(study: Study, variants: Sequence[Variant]) -> list[str]:
    """What was declared and when, and what undeclared seeds allow to be said."""
    if study.plan is None:
        return []
    plan = study.plan
    looks = f", looks at {', '.join(map(str, plan.looks))} seeds" if plan.looks else ""
    stop = ", stopping when decided" if plan.stop else ""
    metric = "" if plan.metric == MAP50_95 else f"{COMPARED[plan.metric]}, "
    margin = "no margin" if plan.margin is None else f"a margin of {plan.margin:g}"
    total = len(study.runs)
    when = "before the first result" if not study.known else f"when {study.known} of {total} results were known"
    notes = [
        f"declared {when} (plan {study.plan_hash}): {metric}{number_of(len(plan.seeds), 'seed')}, {margin}{looks}{stop}"
    ]
    notes += _level_spent(plan, variants)
    if study.metric != plan.metric:
        notes.append(f"the study declares {COMPARED[plan.metric]}, but this report compares {study.score_name}")
    if study.known and not plan.looks:
        notes += [text for variant in variants if (text := _undeclared(study.known, variant, variants)) is not None]
    return notes


def _level_spent(plan: Declaration, variants: Sequence[Variant]) -> list[str]:
    """The level of the last look that judged a variant, and the share of the whole level that is spent by then."""
    comparisons = [variant.comparison for variant in variants if variant.comparison is not None]
    reached = [(c.look_number, c.boundary, 1 - c.difference.level) for c in comparisons if c.look_number is not None]
    if not reached:
        return []
    number, boundary, alpha = max(reached)
    spent = alpha * spent_share(plan.looks, number)
    spenders = "it spends" if number == 1 else f"looks 1 to {number} spend"
    return [
        f"at look {number} of {len(plan.looks)}, a difference is shown by an adjusted p below {boundary:.3f}; "
        f"{spenders} {spent:.3f} of the {alpha:.2g} allowed for false verdicts"
    ]


def _undeclared(known: int, variant: Variant, variants: Sequence[Variant]) -> str | None:
    """An interval that holds although seeds were added after results were known."""
    comparison = variant.comparison
    if comparison is None or comparison.form is None or variant.reference is None:
        return None
    reference = next(each for each in variants if each.label == variant.reference)
    compared = sum(each.reference == variant.reference for each in variants)
    differences, _ = pair_seeds(variant.scores, reference.scores)
    level = 1 - (1 - comparison.difference.level) / compared
    found = anytime_interval(differences, level) if len(differences) else None
    if found is None or not math.isfinite(found.low):
        bounds = "no interval that holds for seeds that were added later"
    else:
        bounds = f"{interval((found.low, found.high), 4)} holds however often one looked"
    return f"{variant.label}: seeds may have been added after {known} results were known; {bounds}"

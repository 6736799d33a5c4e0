"""What each component of a study does, and whether components help each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from yolo26_attention.reporting.study import Study
from yolo26_attention.reporting.variant import Variant
from yolo26_attention.statistics import Effect, Effects, interactions, main_effects

Verdict = Literal["better", "worse", "equivalent", "undecided"]


@dataclass(frozen=True)
class ComponentEffects:
    """The answer of a study of components.

    Attributes:
        components: all of the study.
        main: effect of each component; None if no error can be estimated.
        together: interaction of each pair of components; None as well.
        margin: largest difference of the metric that does not matter.
        metric: what readers call the metric.
        reason: why there are no estimates; "" if there are.
        notes: what a reader must know about them.
    """

    components: tuple[str, ...]
    main: Effects | None
    together: Effects | None
    margin: float
    metric: str
    reason: str
    notes: tuple[str, ...]

    @property
    def estimates(self) -> tuple[Effect, ...]:
        """Effects of components, then interactions."""
        return tuple(each for part in (self.main, self.together) if part is not None for each in part.estimates)

    def verdict(self, effect: Effect) -> Verdict:
        """The verdict, read off the simultaneous interval as that of a comparison."""
        if -self.margin < effect.low and effect.high < self.margin:
            return "equivalent"
        if effect.low > 0 or effect.high < 0:
            return "better" if effect.low > 0 else "worse"
        return "undecided"

    def words(self, effect: Effect) -> str:
        """The verdict in words."""
        one = len(effect.components) == 1
        return {
            "better": "helps" if one else "help each other",
            "worse": "hurts" if one else "get in each other's way",
            "equivalent": f"no {'effect' if one else 'interaction'} larger than {self.margin:g}",
            "undecided": "undecided",
        }[self.verdict(effect)]


def component_effects(
    study: Study, variants: Sequence[Variant], margin: float, level: float
) -> ComponentEffects | None:  # fmt: skip
    """Estimate effects and interactions from all runs; None for a study of variants.

    Args:
        study: as read.
        variants: with their scores.
        margin: largest difference of the metric that does not matter.
        level: simultaneous level of the intervals.
    """
    if not study.components:
        return None
    components = tuple(study.components)
    able = [v for v in variants if v.components is not None and v.scores and v.learned]
    # The order of the components is that of the first mention.
    ordered = sorted(able, key=lambda v: [name not in (v.components or ()) for name in components])
    own = {v.label: v.components or () for v in ordered}
    scores = {v.label: v.scores for v in ordered}
    if reason := _no_error(ordered):
        return ComponentEffects(components, None, None, margin, study.score_name, reason, ())
    try:
        main, together = main_effects(scores, own, level), interactions(scores, own, level)
    except ValueError as error:  # scores without any spread
        return ComponentEffects(components, None, None, margin, study.score_name, str(error), ())
    notes = tuple(_notes(study, variants, main, together))
    return ComponentEffects(components, main, together, margin, study.score_name, "", notes)


def _no_error(variants: Sequence[Variant]) -> str:
    if len(variants) < 2:
        return "fewer than two combinations have a result"
    if sum(len(variant.scores) > 1 for variant in variants) < 2:
        return "an interval needs two combinations with two seeds each"
    return ""


def _notes(study: Study, variants: Sequence[Variant], main: Effects, together: Effects) -> list[str]:
    notes = []
    if main.estimates:
        notes.append(f"effects of components: {main.reason}")
    if unseen := _unseen(study, main, 1):
        notes.append(f"no two combinations with a result differ in {' alone, or in '.join(unseen)} alone: no effect")
    if study.components and len(study.components) > 1 and not together.estimates:
        notes.append(
            "no four combinations with a result show whether two components help each other; design: full has them"
        )
    elif unseen := _unseen(study, together, 2):
        notes.append(f"no four combinations with a result show the interaction of {', '.join(unseen)}")
    if left := [v.label for v in variants if v.scores and not v.learned]:
        notes.append(f"effects of components leave out what learned nothing: {', '.join(left)}")
    if study.plan is not None and study.plan.looks:
        notes.append("effects of components are of all runs that there are: their intervals do not allow for looks")
    return notes


def _unseen(study: Study, found: Effects, order: int) -> list[str]:
    known = {frozenset(each.components) for each in found.estimates}
    return [" × ".join(part) for part in combinations(study.components, order) if frozenset(part) not in known]

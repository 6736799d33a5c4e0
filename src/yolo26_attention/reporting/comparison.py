"""From a study's runs to what they say: every variant beside its baseline, with intervals and verdicts."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from yolo26_attention.files.record import Record
from yolo26_attention.files.typed import plain
from yolo26_attention.plan.attention_names import attention_name, placebos
from yolo26_attention.reporting.caveats import notes_on, set_doubtful_runs_aside
from yolo26_attention.reporting.declared import compare_at_looks, on_declaration
from yolo26_attention.reporting.effects import ComponentEffects, component_effects
from yolo26_attention.reporting.references import with_references
from yolo26_attention.reporting.repeats import set_repeats_aside, variants_of
from yolo26_attention.reporting.scored import on_common_images
from yolo26_attention.reporting.signs import listed
from yolo26_attention.reporting.study import Study, StudyRun, records_that_count
from yolo26_attention.reporting.variant import Variant
from yolo26_attention.statistics import (
    UNTRAINED,
    BothDifference,
    BothInterval,
    Comparison,
    Estimate,
    ImageDifference,
    Interval,
    at_floor,
    compare_seeds,
    indistinguishable,
    mean_interval,
)
from yolo26_attention.study.declaration import MARGIN

# Comparing every two of more variants is slow, and nobody reads it.
MOST_GROUPED = 12


@dataclass(frozen=True, eq=False)
class Compared:
    """A variant that has a difference to its baseline.

    Attributes:
        mean: the difference of the metric, variant minus reference.
        comparison: all there is about that difference.
    """

    variant: Variant
    reference: Variant
    mean: float
    comparison: Comparison


@dataclass(frozen=True)
class Results:
    """A study and everything its report says in numbers.

    Attributes:
        variants: baselines first, then in the order of the study.
        groups: labels of variants that cannot be told apart, best first.
        margin: largest difference of the metric that does not matter.
        notes: what a reader must know.
        effects: what each component does; None for a study of variants.
        images: label of a variant to its difference over images.
        both: label of a variant to its difference over seeds and images together.
    """

    study: Study
    variants: tuple[Variant, ...]
    groups: tuple[tuple[str, ...], ...]
    margin: float
    level: float
    notes: tuple[str, ...]
    effects: ComponentEffects | None = None
    images: Mapping[str, ImageDifference] = field(default_factory=dict)
    both: Mapping[str, BothDifference] = field(default_factory=dict)

    @property
    def floor(self) -> float:
        """Scores up to here are not told apart from those of an untrained network."""
        return floor_of(self.margin)

    @property
    def unlearned(self) -> list[str]:
        """Labels of the variants whose scores lie at the floor."""
        return [variant.label for variant in self.variants if not variant.learned]

    @property
    def unadjusted(self) -> str:
        """What intervals over images are not adjusted for, unlike those over seeds; "" for nothing."""
        plan = self.study.plan
        others = ["the other comparisons"] if len(self.judged) > 1 else []
        looks = ["the declared looks"] if plan is not None and plan.looks else []
        return f"not adjusted for {listed([*others, *looks])}" if others or looks else ""

    def over_images(self, label: str) -> Interval | None:
        """A variant's difference of the metric over images; None if it has none."""
        found = self.images.get(label)
        return None if found is None else found.of(self.study.metric)

    def over_both(self, label: str) -> BothInterval | None:
        """A variant's difference of the metric over seeds and images together; None if it has none."""
        found = self.both.get(label)
        return None if found is None else found.of(self.study.metric)

    def variant(self, label: str) -> Variant:
        """The variant of that label."""
        return next(variant for variant in self.variants if variant.label == label)

    @cached_property
    def placebos(self) -> Mapping[str, str]:
        """Label of a variant to that of its placebo; with looks, none before all variants have a record."""
        configs = {variant.label: variant.config for variant in self.variants if variant.config}
        looks = self.study.plan is not None and bool(self.study.plan.looks)
        return placebos(configs, {v.label: v.reference for v in self.variants if looks or v.config})

    @property
    def compared(self) -> list[Compared]:
        """Variants with a difference to their baseline, largest first."""
        known = [
            Compared(variant, self.variant(variant.reference), mean, comparison)
            for variant in self.variants
            if variant.reference is not None
            and (comparison := variant.comparison) is not None
            and (mean := comparison.difference.mean) is not None
        ]
        return sorted(known, key=lambda compared: -compared.mean)

    @property
    def judged(self) -> list[Compared]:
        """Those of `compared` about which anything can be said: both have learned something."""
        return [each for each in self.compared if each.comparison.unlearned is None]


def floor_of(margin: float) -> float:
    """The score up to which a network is not told apart from an untrained one."""
    return max(margin, UNTRAINED)


def compare(study: Study, margin: float | None = None, level: float = 0.95) -> Results:
    """Compare every variant with its baseline, at the looks that the study declares.

    Args:
        study: as read.
        margin: largest difference of the metric that does not matter; None for the one that the study declares.
        level: of all intervals.
    """
    if margin is None:
        margin = MARGIN if study.plan is None else study.plan.margin_or_default
    study = set_repeats_aside(on_common_images(set_doubtful_runs_aside(study)))
    summaries = [_summary(study, *each, level, floor_of(margin)) for each in variants_of(study).items()]
    variants = with_references(study, summaries)
    variants.sort(key=lambda variant: not variant.is_baseline)  # stable: the study's order otherwise
    variants = _compared(study, variants, margin, level)
    effects = component_effects(study, variants, margin, level)
    notes = (
        list(study.notes)
        + on_declaration(study, variants)
        + _reasons(variants)
        + ([] if effects is None else list(effects.notes))
        + notes_on(study, variants, floor_of(margin))
    )
    ranked = sorted((v for v in variants if v.scores and v.learned), key=lambda variant: -variant.score)
    if len(ranked) > MOST_GROUPED:
        notes.append(f"groups are formed of the {MOST_GROUPED} highest of {len(ranked)} variants")
    scores = {variant.label: variant.scores for variant in ranked[:MOST_GROUPED]}
    found = indistinguishable(scores, level=level) if len(scores) > 1 else []
    groups = tuple(tuple(group) for group in found if len(group) > 1)  # one by itself is no group
    if study.plan is not None and study.plan.looks:
        told = [*(["groups"] if groups else []), *(["effects of components"] if effects and effects.estimates else [])]
        if told:
            notes.append(
                f"{listed(told)} do not allow for the declared looks: they use all seeds at the level of a single look"
            )
    return Results(study, tuple(variants), groups, margin, level, tuple(notes), effects)


def _reasons(variants: Sequence[Variant]) -> list[str]:
    """By which model each baseline's variants are compared, and why."""
    reasons: dict[tuple[str | None, str], list[str]] = defaultdict(list)
    for variant in variants:
        if variant.comparison is not None and variant.comparison.reason:
            reasons[variant.reference, variant.comparison.reason].append(variant.label)
    models = Counter(reference for reference, _ in reasons)
    return [
        f"differences {f'of {listed(labels)} ' if models[reference] > 1 else ''}from {reference}: {reason}"
        for (reference, reason), labels in reasons.items()
    ]


def _summary(study: Study, label: str, runs: Sequence[StudyRun], level: float, floor: float) -> Variant:
    counted = records_that_count(runs)
    known = next((record for record in [*counted, *(run.record for run in runs)] if record is not None), None)
    scores = {run.seed: run.score for run in runs if run.counts and run.score is not None}
    numbers = defaultdict(list)
    for record in counted:
        for name, value in plain_numbers(record).items():
            numbers[name].append(value)
    return Variant(
        label=label,
        attention=label.split(" ")[0] if known is None else attention_name(known.config),
        runs=tuple(runs),
        swept=runs[0].swept,
        components=runs[0].components,
        scores=scores,
        mean=mean_interval(list(scores.values()), level),
        ratio=_ratio(counted, level, together=bool(study.targets)),
        timed=tuple(target.variants.get(label) for target in study.targets),
        # Only what every run has: a mean over some of them would not be the variant's.
        numbers={name: float(np.mean(values)) for name, values in numbers.items() if len(values) == len(counted)},
        learned=not at_floor(scores.values(), floor),
    )


def plain_numbers(record: Record) -> dict[str, float]:
    """The finite numbers of a record under dotted names, such as `metrics.map50`.

    `latency.fps` is the number of images per second of a forward pass, `latency.throughput.8` that in batches of 8.
    """
    latency: dict[str, Any] = plain(record.timed) or {}
    groups: dict[str, Any] = {"metrics": record.metrics, "model": plain(record.model) or {}, "latency": latency}
    groups |= {f"latency.{part}": latency.get(part) or {} for part in ("end_to_end", "memory")}
    groups["ap_by_size"] = record.ap_by_size
    groups["latency.throughput"] = {
        size: measured.get("images_per_second") for size, measured in (latency.get("throughput") or {}).items()
    }
    found = {
        f"{group}.{name}": float(value)
        for group, values in groups.items()
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    if found.get("latency.p50_ms"):
        found["latency.fps"] = 1000 * found.get("latency.batch", 1.0) / found["latency.p50_ms"]
    return {name: value for name, value in found.items() if np.isfinite(value)} | {"seconds": record.seconds}


def _ratio(records: Sequence[Record], level: float, together: bool) -> Estimate:
    """Latency over the stock model's: over seeds; of a single network its own interval over pairs.

    Args:
        records: of a variant.
        level: of the interval.
        together: whether the study was timed together, so that all records have the latency of one network.
    """
    timings = [timed for record in records if (timed := record.timed) is not None]
    timings = timings[:1] if together else timings
    estimate = mean_interval([timing.ratio_to_stock for timing in timings], level)
    if len(timings) == 1:
        return replace(estimate, low=timings[0].ratio_low, high=timings[0].ratio_high)
    return estimate


def _compared(study: Study, variants: list[Variant], margin: float, level: float) -> list[Variant]:
    found: dict[str, Comparison] = {}
    for reference in dict.fromkeys(v.reference for v in variants if v.reference is not None):
        family = {v.label: v.scores for v in variants if reference in (v.label, v.reference)}
        if study.plan is not None and study.plan.looks:
            found |= compare_at_looks(study, study.plan, family, reference, margin, floor_of(margin), level)
            continue
        generator = np.random.default_rng(0)
        found |= compare_seeds(
            family, baseline=reference, margin=margin, floor=floor_of(margin), level=level, generator=generator
        )
    return [replace(v, comparison=found.get(v.label)) for v in variants]

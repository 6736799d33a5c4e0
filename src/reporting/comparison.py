"""From a study's runs to what they say: every variant beside its baseline, with intervals and verdicts."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from src.record import Record
from src.reporting.study import BASELINE, METRIC, Study, StudyRun, attention_name, records_that_count, surroundings
from src.statistics import Comparison, Estimate, ImageDifference, compare_seeds, indistinguishable, mean_interval

# Comparing every two of more variants is slow, and nobody reads it.
MOST_GROUPED = 40
TIMED_IN = ("backend", "precision", "batch", "imgsz", "threads")
DISTURBED = ("busy", "throttled")


@dataclass(frozen=True, eq=False)
class Variant:
    """The runs of one variant and what they amount to.

    Attributes:
        attention: its attention's name; the label where no run has a record yet.
        scores: seed to mAP50-95 of the runs that count.
        mean: of the scores.
        reference: label of the variant it is compared with; None for a baseline, and where there is none.
        comparison: with the reference, over seeds.
        confounds: settings in which it differs from its reference beside the attention.
        ratio: latency as a multiple of the stock model's.
        numbers: means over the runs of whatever else the records have: cost, AP by object size.
    """

    label: str
    attention: str
    runs: tuple[StudyRun, ...]
    swept: Mapping[str, Any]
    scores: Mapping[int, float]
    mean: Estimate
    ratio: Estimate
    numbers: Mapping[str, float]
    reference: str | None = None
    comparison: Comparison | None = None
    confounds: tuple[str, ...] = ()

    @property
    def is_baseline(self) -> bool:
        return self.attention == BASELINE

    @property
    def is_placebo(self) -> bool:
        return self.attention.startswith("placebo")

    @property
    def counted(self) -> list[StudyRun]:
        """The runs that take part, by seed."""
        return sorted((run for run in self.runs if run.counts), key=lambda run: run.seed)

    @property
    def records(self) -> list[Record]:
        """The records of the runs that take part, by seed."""
        return records_that_count(self.counted)

    @property
    def score(self) -> float:
        """The mean of the scores; NaN without any."""
        return math.nan if self.mean.mean is None else self.mean.mean


@dataclass(frozen=True, eq=False)
class Compared:
    """A variant that has a difference to its baseline.

    Attributes:
        mean: the difference of mAP50-95, variant minus reference, over the seeds both have.
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
        margin: largest difference of mAP50-95 that does not matter.
        notes: what a reader must know.
        images: label of a variant to its difference over validation images.
    """

    study: Study
    variants: tuple[Variant, ...]
    groups: tuple[tuple[str, ...], ...]
    margin: float
    level: float
    notes: tuple[str, ...]
    images: Mapping[str, ImageDifference] = field(default_factory=dict)

    def variant(self, label: str) -> Variant:
        """The variant of that label."""
        return next(variant for variant in self.variants if variant.label == label)

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


def compare(study: Study, margin: float, level: float = 0.95) -> Results:
    """Pair every variant with its baseline by seed.

    Args:
        study: as read.
        margin: largest difference of mAP50-95 that does not matter.
        level: of all intervals.
    """
    by_label = defaultdict(list)
    for run in study.runs:
        by_label[run.variant].append(run)
    variants = [_summary(label, runs, level) for label, runs in by_label.items()]
    variants.sort(key=lambda variant: not variant.is_baseline)  # stable: the study's order otherwise
    variants = _compared(_referenced(variants), margin, level)
    notes = list(study.notes) + _notes(study, variants)
    ranked = sorted((v for v in variants if v.scores), key=lambda variant: -variant.score)
    if len(ranked) > MOST_GROUPED:
        notes.append(f"groups are formed of the {MOST_GROUPED} highest of {len(ranked)} variants")
    scores = {variant.label: variant.scores for variant in ranked[:MOST_GROUPED]}
    groups = tuple(map(tuple, indistinguishable(scores, level=level))) if len(scores) > 1 else ()
    return Results(study, tuple(variants), groups, margin, level, tuple(notes))


def _summary(label: str, runs: Sequence[StudyRun], level: float) -> Variant:
    counted = records_that_count(runs)
    known = next((record for record in [*counted, *(run.record for run in runs)] if record is not None), None)
    scores = {record.seed: record.metrics[METRIC] for record in counted}
    numbers = defaultdict(list)
    for record in counted:
        for name, value in _numbers(record).items():
            numbers[name].append(value)
    return Variant(
        label=label,
        attention=label.split(" ")[0] if known is None else attention_name(known.config),
        runs=tuple(runs),
        swept=runs[0].swept,
        scores=scores,
        mean=mean_interval(list(scores.values()), level),
        ratio=_ratio(counted, level),
        # Only what every run has: a mean over some of them would not be the variant's.
        numbers={name: float(np.mean(values)) for name, values in numbers.items() if len(values) == len(counted)},
    )


def _numbers(record: Record) -> dict[str, float]:
    """The plain numbers of a record, under dotted names."""
    groups: dict[str, Any] = {"metrics": record.metrics, "model": record.model, "latency": record.latency}
    groups |= {f"latency.{part}": record.latency.get(part) or {} for part in ("end_to_end", "memory")}
    groups["ap_by_size"] = record.ap_by_size
    found = {
        f"{group}.{name}": float(value)
        for group, values in groups.items()
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {name: value for name, value in found.items() if np.isfinite(value)} | {"seconds": record.seconds}


def _ratio(records: Sequence[Record], level: float) -> Estimate:
    """Latency over the stock model's: over seeds; of a single run its own interval over pairs."""
    timings = [record.latency for record in records if "ratio_to_stock" in record.latency]
    estimate = mean_interval([timing["ratio_to_stock"] for timing in timings], level)
    if len(timings) == 1 and "ratio_low" in timings[0]:
        return replace(estimate, low=timings[0]["ratio_low"], high=timings[0]["ratio_high"])
    return estimate


def _referenced(variants: list[Variant]) -> list[Variant]:
    """Give each variant its baseline, and say in what else it differs.

    The baseline is that of study.json; without one, the baseline that shares the surroundings, else the first.
    """
    around = {v.label: _surroundings(v) for v in variants}
    baselines = [v.label for v in variants if v.is_baseline]
    if not baselines:
        return variants
    main = BASELINE if BASELINE in baselines else baselines[0]
    own = {}
    for variant in variants:
        if not variant.is_baseline:
            alike = [label for label in baselines if around[label] and around[label] == around[variant.label]]
            declared = variant.runs[0].baseline
            own[variant.label] = declared if declared in baselines else main if main in alike or not alike else alike[0]
    # A further baseline that nothing is compared with (a larger model, say) is a variant itself.
    own |= {label: main for label in baselines if label != main and label not in own.values()}
    return [
        replace(v, reference=own[v.label], confounds=_difference(around[own[v.label]], around[v.label]))
        if v.label in own
        else v
        for v in variants
    ]


def _surroundings(variant: Variant) -> dict[str, Any]:
    known = [*variant.records, *(run.record for run in variant.runs if run.record is not None)]
    return surroundings(known[0].config) if known else {}


def _difference(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(key for key in dict.fromkeys([*a, *b]) if a and b and a.get(key) != b.get(key))


def _compared(variants: list[Variant], margin: float, level: float) -> list[Variant]:
    found: dict[str, Comparison] = {}
    for reference in dict.fromkeys(v.reference for v in variants if v.reference is not None):
        scores = {v.label: v.scores for v in variants if reference in (v.label, v.reference)}
        generator = np.random.default_rng(0)
        found |= compare_seeds(scores, baseline=reference, margin=margin, level=level, generator=generator)
    return [replace(v, comparison=found.get(v.label)) for v in variants]


def _notes(study: Study, variants: Sequence[Variant]) -> list[str]:
    """What sets the runs apart beside their variant, and what is missing for a comparison."""
    notes = []
    if not any(v.is_baseline for v in variants):
        notes.append("the study has no baseline, so that no variant has anything to be compared with")
    for variant in variants:
        if variant.confounds:
            notes.append(
                f"{variant.label} differs from {variant.reference} beside the attention also in "
                f"{', '.join(variant.confounds)}"
            )
        if variant.comparison is not None and variant.scores and variant.comparison.left_out:
            reasons = ", ".join(f"{seed} ({reason})" for seed, reason in variant.comparison.left_out.items())
            notes.append(f"{variant.label} is compared without seed {reasons}")
    records = records_that_count(study.runs)
    environments = [record.environment for record in records]
    for key, what in {"device": "devices", "git": "commits", "packages": "package versions"}.items():
        kinds = {str(environment.get(key)) for environment in environments}
        if len(kinds) > 1:
            notes.append(f"the runs come from {len(kinds)} {what}: see versions and hardware")
    timings = [record.latency for record in records if record.latency]
    for state in DISTURBED:
        if count := sum(bool(timing.get(state)) for timing in timings):
            notes.append(f"doubtful latency: the machine was {state} while {count} of {len(timings)} runs were timed")
    if len({tuple(timing.get(key) for key in TIMED_IN) for timing in timings}) > 1:
        notes.append(f"latencies differ in how they were taken ({', '.join(TIMED_IN)}): only those alike compare")
    changed = [run.name for run in study.runs if run.counts and run.record is not None and run.record.events]
    if changed:
        shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        notes.append(f"events that may have changed the experiment, in {len(changed)} runs: {shown}")
    return notes

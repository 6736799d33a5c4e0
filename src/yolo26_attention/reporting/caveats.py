"""What keeps runs from being compared, or a comparison from being read as it stands."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from yolo26_attention.counts import number_of, some
from yolo26_attention.files.journal import Trait
from yolo26_attention.files.latency import NoLatency
from yolo26_attention.files.metrics import recorded
from yolo26_attention.files.record import Record, replaced_best
from yolo26_attention.files.timings import Target
from yolo26_attention.reporting.settings import flatten, settings
from yolo26_attention.reporting.signs import listed
from yolo26_attention.reporting.study import Study, StudyRun, records_that_count
from yolo26_attention.reporting.variant import Variant
from yolo26_attention.statistics import UNTRAINED
from yolo26_attention.study.targets import described, disturbances

TIMED_IN = ("backend", "precision", "batch", "imgsz", "threads")
DISTURBED = ("busy", "throttled")
# Of a training as it ran: what changes no number, and what is the graft's own.
NOT_COMPARED = {"training.frozen.attention", "training.workers", "training.threads", "training.cache"}
# Of a record's environment: what a reader must know if it differs.
MACHINE = {
    "device": "devices",
    "cpu": "CPU models",
    "driver": "GPU drivers",
    "git": "commits",
    "packages": "package versions",
}
# Ultralytics' precision envelope ends before a recall of 1: a detector without any mistake has an AP of 0.995.
CEILING = 0.995
# COCO's precision is interpolated over 101 recalls, among them 1.
CEILING_BY_SIZE = 1.0
# A margin above this share of the baseline's score is worth a word where it decides.
LARGE_MARGIN = 0.2


def ceiling_of(metric: str) -> float:
    """The score of a detector without any mistake, by one of `files.metrics.COMPARED`."""
    return CEILING_BY_SIZE if recorded(metric)[0] == "ap_by_size" else CEILING


def set_doubtful_runs_aside(study: Study) -> Study:
    """The study without runs whose record is another seed's, or repeats the numbers of another seed of its variant."""
    return replace(study, runs=tuple(_without_copies([_own_seed(run) for run in study.runs])))


def _own_seed(run: StudyRun) -> StudyRun:
    if run.counts and run.record is not None and run.record.seed != run.seed:
        problem = f"its record is that of seed {run.record.seed}, where seed {run.seed} is expected"
        return replace(run, status="other seed", problem=problem)
    return run


def _without_copies(runs: Iterable[StudyRun]) -> Iterator[StudyRun]:
    """The runs, of which those that repeat every number of another seed no longer count.

    Scores at the floor or the ceiling agree without being copies.
    """
    first: dict[str, StudyRun] = {}
    for run in runs:
        score = run.score if run.counts else None
        if run.record is not None and score is not None and UNTRAINED < score < ceiling_of(run.metric) - 1e-3:
            record = run.record
            numbers = f"{run.variant} {record.metrics} {record.ap_by_size} {record.ap_by_class}"
            original = first.setdefault(numbers, run)
            if original.seed != run.seed:
                problem = (
                    f"all its results are those of seed {original.seed} to the last digit: it is a copy, or the seed "
                    "had no effect"
                )
                run = replace(run, status="copy", problem=problem)
        yield run


def facts(record: Record) -> dict[str, Any]:
    """What a comparison must hold equal and no configuration shows: data and weights by content, training as it ran."""
    training = flatten({"training": record.training})
    found = {key: value for key, value in training.items() if key not in NOT_COMPARED}
    contents = {
        "data.identity": record.data.get("identity"),
        "model.weights by content": record.checkpoints.get("weights"),
    }
    return {key: value for key, value in contents.items() if value is not None} | found


def unequal(variant: Variant, reference: Variant) -> tuple[str, ...]:
    """Facts in which runs of two variants differ, although both have them."""
    values: dict[str, set[str]] = defaultdict(set)
    known = [facts(record) for record in (*variant.records, *reference.records)]
    for each in known:
        for key, value in each.items():
            values[key].add(str(value))
    return tuple(key for key, found in values.items() if len(found) > 1)


def notes_on(study: Study, variants: Sequence[Variant], floor: float) -> list[str]:
    """What sets the runs apart beside their variant, and what is missing for a comparison."""
    notes = []
    if not any(v.is_baseline for v in variants):
        notes.append("the study has no baseline, so that no variant has anything to be compared with")
    notes += notes_on_unlearned(variants, floor, study.score_name)
    for variant in variants:
        notes += notes_on_variant(variant, floor, study.score_name)
    records = records_that_count(study.runs)
    environments = [record.environment for record in records]
    for key, what in MACHINE.items():
        kinds = {str(environment[key]) for environment in environments if environment.get(key) is not None}
        if len(kinds) > 1:
            notes.append(f"the runs come from {len(kinds)} {what}; index.html lists them under Versions and hardware")
    notes += [] if study.targets else _on_latencies(records)
    notes += [note for target in study.targets for note in _on_target(target)]
    notes += _on_costs(records)
    replaced = [run.name for run in study.runs if run.record is not None and replaced_best(run.record, run.folder)]
    if replaced:
        notes.append(
            f"best.pt of {number_of(len(replaced), 'run')} is not the checkpoint that they trained, so pictures and "
            f"exports of it are not theirs: {some(replaced)}; force=true trains them anew"
        )
    changed = [run for run in study.runs if run.counts and run.record is not None and events(run.record)]
    if changed:
        told = some([f"{run.name} ({', '.join(events(run.record))})" for run in changed if run.record is not None])
        notes.append(f"events that may have changed the experiment, in {number_of(len(changed), 'run')}: {told}")
    return notes


def _on_target(target: Target) -> Iterator[str]:
    """Where and when a study was timed together, and what keeps its latencies from being taken as they stand."""
    latency = next(iter(target.variants.values())).latency
    how = f"all networks timed in turn in {latency.pairs} rounds, {target.date} UTC"
    doubtful = "doubtful " if latency.busy or latency.throttled else ""
    yield f"{doubtful}latency on {described(target)}: {'; '.join([how, *disturbances(target)])}"
    for label, error in target.failed.items():
        yield f"{label} is not timed on {described(target)}: {error}"


def _on_latencies(records: Sequence[Record]) -> Iterator[str]:
    """What keeps the latencies that each run measured from being taken as they stand, or compared."""
    if failed := [record.name for record in records if isinstance(record.latency, NoLatency)]:
        yield f"the latency of {number_of(len(failed), 'run')} could not be measured: {some(failed)}"
    if further := [record.name for record in records if record.measurements]:
        yield f"further measurements of latency, of {number_of(len(further), 'run')}, are only in the records"
    timings = [timed for record in records if (timed := record.timed) is not None]
    for state in DISTURBED:
        if count := sum(bool(getattr(timing, state)) for timing in timings):
            runs = number_of(len(timings), "run")
            yield f"doubtful latency: the machine was {state} during the timing of {count} of {runs}"
    if len({tuple(getattr(timing, key) for key in TIMED_IN) for timing in timings}) > 1:
        yield f"latencies differ in how they were taken ({', '.join(TIMED_IN)}): only those alike compare"


def _on_costs(records: Sequence[Record]) -> Iterator[str]:
    """What keeps FLOPs from being taken as they stand, or compared."""
    models = [record.model for record in records if record.model is not None]
    if len({model.flops_imgsz for model in models} - {None}) > 1:
        yield "GFLOPs are of several image sizes: only those alike compare"
    for text in dict.fromkeys(text for model in models for text in model.not_counted):
        yield f"GFLOPs do not include {text}"


def notes_on_unlearned(variants: Sequence[Variant], floor: float, metric: str) -> Iterator[str]:
    """Which variants learned nothing, where others did; if none did, the answer says so."""
    unlearned = [variant for variant in variants if not variant.learned]
    if not unlearned or len(unlearned) == sum(bool(variant.scores) for variant in variants):
        return
    scores = ", ".join(f"{variant.score:.2g}" for variant in unlearned)
    whose = "its" if len(unlearned) == 1 else "their"
    yield (
        f"{listed([variant.label for variant in unlearned])} learned nothing: {whose} {metric} of {scores} is at most "
        f"{floor:g}, where it cannot be told from an untrained network's"
    )


def notes_on_variant(variant: Variant, floor: float, metric: str) -> Iterator[str]:
    """What differs beside the attention, and which seeds are left out, equal or low."""
    if variant.confounds:
        yield (
            f"{variant.label} differs from {variant.reference} beside the attention also in "
            f"{', '.join(variant.confounds)}"
        )
    if mixed := _mixed(variant):
        yield f"the runs of {variant.label} differ among themselves in {', '.join(mixed)}"
    if variant.comparison is not None and variant.scores and variant.comparison.left_out:
        reasons = ", ".join(f"{seed} ({reason})" for seed, reason in variant.comparison.left_out.items())
        yield f"{variant.label} is compared without seed {reasons}"
    low = [f"{seed} ({score:.2g})" for seed, score in variant.scores.items() if score <= floor]
    if low and variant.learned:
        yield f"{variant.label} learned nothing with seed {', '.join(low)}, which widens its interval"
    scores = list(variant.scores.values())
    if (
        len(scores) > 1
        and variant.learned
        and len(set(scores)) < len(scores)
        and min(scores) < ceiling_of(variant.runs[0].metric) - 1e-3
    ):
        yield f"several seeds of {variant.label} have the very same {metric}: did the seed have an effect?"


def _mixed(variant: Variant) -> list[str]:
    """Settings and facts in which the runs of one variant differ; a fact that a record lacks is unknown."""
    known = [settings(record.config) for record in variant.records]
    keys = dict.fromkeys(key for values in known for key in values)
    mixed = [key for key in keys if len({str(values.get(key)) for values in known}) > 1]
    return mixed + list(unequal(variant, variant))


def events(record: Record) -> list[str]:
    """Names of the events that may have changed a run's numbers, each once."""
    return list(Counter(str(entry.event) for entry in record.events if not entry.has(Trait.HARMLESS)))


def remarks_on(variant: Variant, reference: Variant, margin: float, metric: str) -> Iterator[str]:
    """What keeps the verdict on a variant from being taken for more than it is, a sentence each."""
    if variant.confounds:
        yield (f"The attention is not all that differs from {reference.label}: so do {', '.join(variant.confounds)}.")
    for each in (variant, reference):
        told = Counter(event for record in each.records for event in events(record))
        if told:
            counted = ", ".join(f"{event} in {count}" for event, count in told.items())
            yield f"Something happened to runs of {each.label} that may have changed their numbers: {counted}."
    base = reference.score
    most = ceiling_of(variant.runs[0].metric)
    if math.isfinite(base) and base + margin > most:
        yield (
            f"The baseline's {metric} of {base:.3f} leaves no room for an improvement above the margin (the most is "
            f"{most:g}): this data set cannot show one."
        )
    comparison = variant.comparison
    if comparison is not None and comparison.verdict == "equivalent" and margin > LARGE_MARGIN * base:
        share = f"{margin / base:.0%} of the baseline's {metric}"
        yield f'The margin of {margin:g} is {share}: with so large a margin, "no difference" is easily shown.'
    if comparison is not None and comparison.verdict == "identical":
        yield ("The graft had no effect (a gate that stayed zero, say), or the data set does not tell networks apart.")

"""The runs of a study as they lie on disk: finished, failed, interrupted, running, and those not yet begun."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from yolo26_attention.attention.options import BASELINE as BASELINE
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.counts import number_of, some
from yolo26_attention.files.folder import OutputFolder, RunFolder
from yolo26_attention.files.metrics import COMPARED, MAP50_95, recorded
from yolo26_attention.files.record import Record, Split
from yolo26_attention.files.timings import Target
from yolo26_attention.plan.attention_names import attention_name
from yolo26_attention.reporting.settings import settings
from yolo26_attention.study.declaration import Declaration
from yolo26_attention.study.runs import FoundRun, StudyEntry, find_run
from yolo26_attention.study.runs import read_study as read_declared
from yolo26_attention.study.targets import read_targets


class StudyError(ValueError):
    """A study that cannot be reported; the message says what is there instead."""


@dataclass(frozen=True)
class StudyRun:
    """One run of a study.

    Attributes:
        name: of its folder.
        status: that of the record, or `pending` (no record yet), `stopped` (no longer needed), `unreadable`,
            `not a number` (finished without a valid score) or `duplicate` (its variant has another run with this seed).
        problem: why it has no part in the comparison, in one line; None where it has.
        overrides: what the study file gave it; empty where no study.json says.
        swept: key and value of what the study varies.
        baseline: label of the variant that it is to be compared with; None where no study.json says.
        components: of its variant; None in a study of variants, and where no study.json says.
        metric: by which it is compared.
        scored_on: the split of the record's scores.
        validation: its score on the validation images, if the record's are those on the test images.
    """

    name: str
    variant: str
    seed: int
    status: str
    folder: Path
    record: Record | None = None
    problem: str | None = None
    overrides: tuple[str, ...] = ()
    swept: Mapping[str, Any] = field(default_factory=dict)
    baseline: str | None = None
    components: tuple[str, ...] | None = None
    metric: str = MAP50_95
    scored_on: Split = "val"
    validation: float | None = None

    @property
    def score(self) -> float | None:
        """Its score by the study's metric, on the images on which the study is compared; None without a valid one."""
        return None if self.record is None else self.record.score_on(self.scored_on, self.metric)

    @property
    def counts(self) -> bool:
        """Whether the run has a finite result and takes part in the comparison."""
        return self.problem is None

    @property
    def matches(self) -> Path:
        """The file of the matches behind its scores."""
        files = RunFolder(self.folder)
        return files.test_detections if self.scored_on == "test" else files.detections


@dataclass(frozen=True)
class Study:
    """All runs that belong to one question.

    Attributes:
        declared: whether study.json lists the runs, so that the missing ones are known.
        plan: how the study is to be answered; None where study.json does not say.
        plan_hash: of what was declared.
        known: how many results were there when it was declared; None where study.json does not say.
        notes: what a reader must know about records that are left out.
        components: options of each component, by name; empty for a study of variants.
        scored_on: the split on which its runs are compared.
        targets: where the variants were timed together; the records then have the latency on the first of these.
        metric: by which its runs are compared.
    """

    name: str
    folder: Path
    question: str
    command: str
    declared: bool
    runs: tuple[StudyRun, ...]
    notes: tuple[str, ...]
    plan: Declaration | None = None
    plan_hash: str = ""
    known: int | None = None
    components: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    scored_on: Split = "val"
    targets: tuple[Target, ...] = ()
    metric: str = MAP50_95

    @property
    def score_name(self) -> str:
        """What readers call its metric."""
        return COMPARED[self.metric]

    @property
    def score_number(self) -> str:
        """The entry of `comparison.plain_numbers` that holds its metric."""
        return ".".join(recorded(self.metric))

    @property
    def images(self) -> str:
        """The images on which its runs are compared, in words."""
        return "test images" if self.scored_on == "test" else "validation images"


def read_study(name: str, output_dir: Path, metric: str | None = None) -> Study:
    """Find the runs of a study, by its study.json or else by the study that records name.

    Args:
        name: name of the study.
        output_dir: folder of all output.
        metric: by which its runs are compared; None for the one that the study declares.

    Raises:
        StudyError: if there is no such study, or if its study.json cannot be read.
    """
    folder = OutputFolder(output_dir).studies / name
    records, notes = _read_records(OutputFolder(output_dir).runs)
    try:
        content = read_declared(output_dir, name)
    except ConfigError as error:
        raise StudyError(str(error)) from error
    if metric is None:
        metric = MAP50_95 if content is None or content.declared is None else content.declared.metric
    if content is not None:
        runs = [_declared_run(entry, find_run(output_dir, entry.run)) for entry in content.runs]
        if content.declared is not None and content.declared.stop:
            runs = _with_stopped(runs, content.runs, content.declared)
        listed = {run.name for run in runs}
        extra = [key for key, record in records.items() if record.study == name and key not in listed]
        if extra:
            notes.append(
                f"study.json does not have {number_of(len(extra), 'record')} that name this study: {some(extra)}"
            )
        question, command = content.question, content.command
    else:
        mine = {key: record for key, record in records.items() if record.study == name}
        if not mine:
            raise _unknown(name, output_dir, records)
        runs = list(_found_runs(mine, output_dir))
        question, command = "", ""
    runs = _without_duplicates([_judged(replace(run, metric=metric)) for run in runs])
    study = Study(name, folder, question, command, content is not None, tuple(runs), tuple(notes), metric=metric)
    if content is None:
        return study
    try:
        study = _with_timings(replace(study, components=content.components), OutputFolder(output_dir).timings(name))
    except ValueError as error:
        raise StudyError(
            f"timings.json of study {name} cannot be read ({error}); move it away and time the study again"
        ) from error
    if content.declared is None:
        return study
    declared = content.declared
    return replace(study, plan=declared, plan_hash=declared.hash, known=declared.known)


def _with_timings(study: Study, path: Path) -> Study:
    """The study with what was timed together, in place of what each run measured."""
    targets = read_targets(path, {(run.variant, run.name) for run in study.runs})
    if not targets:
        return study
    timed = targets[0].variants
    runs = []
    for run in study.runs:
        if run.record is not None:
            latency = timed[run.variant].latency if run.variant in timed else None
            run = replace(run, record=replace(run.record, latency=latency, measurements=[]))
        runs.append(run)
    return replace(study, runs=tuple(runs), targets=targets)


def _read_records(folder: Path) -> tuple[dict[str, Record], list[str]]:
    """Every readable record by its folder's name, and a note on the others."""
    records, broken = {}, []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            record = Record.read(path)
        except ValueError:
            broken.append(path.name)
            continue
        if record is not None:
            records[path.name] = record
    notes = [f"not readable, whatever the study: {number_of(len(broken), 'record')}, {some(broken)}"] if broken else []
    return records, notes


def _declared_run(entry: StudyEntry, found: FoundRun) -> StudyRun:
    return StudyRun(
        name=found.name,
        variant=entry.variant,
        seed=entry.seed,
        status=found.state,
        folder=found.folder,
        record=found.record,
        problem=found.problem,
        overrides=tuple(entry.overrides),
        swept=entry.swept,
        baseline=entry.baseline,
        components=None if entry.components is None else tuple(entry.components),
    )


def _with_stopped(runs: Sequence[StudyRun], entries: Sequence[StudyEntry], declared: Declaration) -> list[StudyRun]:
    """The runs, of which those that a decision made unnecessary are not waited for."""
    from yolo26_attention.study.next_runs import with_stopped  # imports scipy, which takes a while
    from yolo26_attention.study.progress import RunState

    states = [RunState(entry, run.status, run.record) for entry, run in zip(entries, runs, strict=True)]
    needless = {state.entry.run for state in with_stopped(states, declared) if state.state == "stopped"}
    ended = "is not needed, because the study ended without it"
    return [replace(run, status="stopped", problem=ended) if run.name in needless else run for run in runs]


def _found_runs(records: Mapping[str, Record], output_dir: Path) -> Iterator[StudyRun]:
    """Runs of a study that nobody declared: what differs between configurations names the variants."""
    flat = {name: settings(record.config) for name, record in records.items()}
    kinds = defaultdict(list)  # by attention
    for name in flat:
        kinds[attention_name(records[name].config)].append(name)
    for attention, names in kinds.items():
        keys = dict.fromkeys(key for name in names for key in flat[name])
        varying = [key for key in keys if len({flat[name].get(key) for name in names}) > 1]
        for name in names:
            swept = {key: flat[name].get(key) for key in varying}
            parts = [attention]
            parts += [f"{key.split('.')[-1]}={_plain(value)}" for key, value in swept.items()]
            found = find_run(output_dir, name)
            run = StudyRun(name, " ".join(parts), records[name].seed, found.state, found.folder, found.record)
            yield replace(run, swept=swept)


def _judged(run: StudyRun) -> StudyRun:
    """The run with the reason why it cannot be compared, if there is one."""
    record = run.record
    if record is None:
        return replace(run, problem=run.problem or "not started")
    if run.status != "finished":
        last = (record.error or "").strip().splitlines()[-1:]
        killed = run.status == "interrupted" and record.status == "running"
        said = "was killed before it could say why" if killed else f"is {run.status}"
        return replace(run, problem=last[0] if last else said)
    if run.score is None:
        value = record.value_on(run.scored_on, run.metric)
        return replace(run, status="not a number", problem=f"finished with {COMPARED[run.metric]} {value}")
    return run


def _without_duplicates(runs: list[StudyRun]) -> list[StudyRun]:
    """Two results for one seed of a variant are no pair: neither counts, both are listed."""
    counts = Counter((run.variant, run.seed) for run in runs if run.counts)
    twice = "its variant has another run with this seed: which one counts is not for a report to choose"
    return [
        replace(run, status="duplicate", problem=twice) if run.counts and counts[run.variant, run.seed] > 1 else run
        for run in runs
    ]


def records_that_count(runs: Iterable[StudyRun]) -> list[Record]:
    """The records of the runs that take part in the comparison."""
    return [run.record for run in runs if run.counts and run.record is not None]


def tracking_of(study: Study) -> dict[str, Any] | None:
    """The `tracking` group of the study's last run that has a record, rather one that was tracked."""
    options: list[dict[str, Any]] = [run.record.config["tracking"] for run in study.runs if run.record is not None]
    tracked = [option for option in options if option["mode"] != "disabled"]
    return (tracked or options)[-1] if options else None


def _unknown(name: str, output_dir: Path, records: Mapping[str, Record]) -> StudyError:
    known = {record.study for record in records.values()}
    known |= {path.parent.name for path in OutputFolder(output_dir).studies.glob("*/study.json")}
    if not known:
        return StudyError(f"study={name}: there is no run in {output_dir}/runs; give output_dir=FOLDER, or train first")
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
    return StudyError(f"study={name}: no record in {output_dir}/runs names it; {hint}")


def _plain(value: Any) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)

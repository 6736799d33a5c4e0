"""The progress of a study, from its runs and their journals, without importing torch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from yolo26_attention.counts import number_of
from yolo26_attention.durations import duration
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.journal import epoch_seconds, epochs, read_journal
from yolo26_attention.files.metrics import MAP50_95
from yolo26_attention.files.record import Record, Split, common_split
from yolo26_attention.study.runs import StudyEntry, find_run


@dataclass(frozen=True)
class RunState:
    """One run of a study: its entry in study.json, its state, its record if it has one, and its last epoch.

    `problem` says why a record cannot be read. `pace` is how long one of its epochs takes, in seconds; None if it is
    finished or not known.
    """

    entry: StudyEntry
    state: str
    record: Record | None = None
    epoch: int = 0
    problem: str | None = None
    pace: float | None = None

    @property
    def done(self) -> float:
        """The fraction of its epochs that are trained."""
        return min(self.epoch / self.epochs, 1.0) if self.epochs else 0.0

    @property
    def epochs(self) -> int | None:
        """The number of its epochs; None without a record."""
        trainer = {} if self.record is None else self.record.config.get("trainer", {})
        epochs: int | None = trainer.get("epochs")
        return epochs

    def seconds(self, done: int = 0) -> float | None:
        """How long its epochs after the first `done` take at its pace; None if that is not known."""
        if self.pace is None or self.epochs is None or self.budgeted:
            return None
        return self.pace * max(self.epochs - done, 0)

    @property
    def budgeted(self) -> bool:
        """Whether hours or optimizer steps end it, and not its number of epochs."""
        trainer = {} if self.record is None else self.record.config.get("trainer", {})
        return trainer.get("time") is not None or trainer.get("steps") is not None

    @property
    def score(self) -> float | None:
        """Its mAP50-95 on the validation images; None if it is not finished, or has none."""
        return self.score_by(MAP50_95)

    def score_by(self, metric: str) -> float | None:
        """Its score on the validation images by one of `files.metrics.COMPARED`; None as for `score`."""
        return None if self.record is None else self.record.score_on("val", metric)


@dataclass(frozen=True)
class TimeLeft:
    """An estimate in seconds, None if nothing is known, and the number of runs that it is based on.

    `seconds` is for one run after the other; `at_once` is how many run at a time. `whole` is whether those runs are
    finished, so that their validation and latency count; otherwise only their epochs so far are known.
    """

    seconds: float | None
    measured: int
    at_once: int = 1
    whole: bool = True

    def __str__(self) -> str:
        if self.seconds is None:
            return "unknown (no run like these has been measured yet)"
        runs = number_of(self.measured, "measured run" if self.whole else "run")
        runs = runs if self.whole else f"the epochs of {runs}"
        how = "one run after the other" if self.at_once == 1 else f"with {self.at_once} runs at a time"
        return f"about {duration(self.seconds / self.at_once)} {how} (from {runs})"


def compared_split(states: Sequence[RunState]) -> Split:
    """The images on which runs are compared, as in the report: test if all runs have a score on them, else val."""
    return common_split(state.record for state in states if state.record is not None and state.score is not None)


def compared_scores(states: Sequence[RunState], metric: str) -> list[float | None]:
    """The score by which each run is compared, as in the report: on the test images if all runs have them.

    Args:
        states: states of all runs of the study.
        metric: one of `files.metrics.COMPARED`.
    """
    split = compared_split(states)
    return [None if state.record is None else state.record.score_on(split, metric) for state in states]


def run_state(output_dir: Path, entry: StudyEntry) -> RunState:
    """Return the state of a run, with its last epoch if it is not finished."""
    found = find_run(output_dir, entry.run)
    epoch, pace = 0, None
    if found.state in {"running", "interrupted"}:
        journal = read_journal(RunFolder(found.folder).journal)
        epoch, pace = max((each.epoch for each in epochs(journal)), default=0), epoch_seconds(journal)
    return RunState(entry, found.state, found.record, epoch, found.problem, pace)


def run_states(output_dir: Path, entries: Iterable[StudyEntry]) -> list[RunState]:
    """Return the state of each run of a study; a run that two points share appears twice."""
    known: dict[str, RunState] = {}
    states = []
    for entry in entries:
        if entry.run not in known:
            known[entry.run] = run_state(output_dir, entry)
        states.append(replace(known[entry.run], entry=entry))
    return states


def distinct(states: Iterable[RunState]) -> list[RunState]:
    """Return each run once."""
    return list({state.entry.run: state for state in states}.values())


def time_left(states: Sequence[RunState], elsewhere: Sequence[float] = (), at_once: int = 1) -> TimeLeft:
    """Estimate the time left.

    A run in progress goes on at its own pace. Another one takes as long as finished runs of its variant did; without
    one, as all finished runs of the study; without one, as those elsewhere; without one, as the epochs of the runs in
    progress say.

    Args:
        states: states of the study's runs.
        elsewhere: seconds of finished runs outside the study, of the same training.
        at_once: how many runs are trained at a time.
    """
    runs = distinct(states)
    # Earlier versions recorded only the time of the last process of a resumed run.
    measured = [
        (state.entry.variant, state.record.seconds)
        for state in runs
        if state.state == "finished" and state.record is not None and state.record.attempts == 1
    ]
    known = [seconds for _, seconds in measured] or list(elsewhere)
    paced = [seconds for state in runs if (seconds := state.seconds()) is not None]
    whole = bool(known)
    todo = [state for state in runs if state.state not in {"finished", "failed", "unreadable", "stopped"}]
    if not todo:
        return TimeLeft(0.0, len(known))
    known = known or paced
    if not known:
        return TimeLeft(None, 0)
    seconds = 0.0
    for state in todo:
        left = state.seconds(state.epoch)
        if left is None:
            own = [seconds for variant, seconds in measured if variant == state.entry.variant]
            left = mean(own or known) * (1.0 - state.done)
        seconds += left
    return TimeLeft(seconds, len(known), min(at_once, len(todo)), whole)


def best(states: Iterable[RunState], metric: str = MAP50_95) -> tuple[float, RunState] | None:
    """Return the highest score of a finished run on the validation images, and the run.

    Args:
        states: of the runs.
        metric: one of `files.metrics.COMPARED`.
    """
    scored = [(score, state) for state in states if (score := state.score_by(metric)) is not None]
    return max(scored, key=lambda pair: pair[0], default=None)

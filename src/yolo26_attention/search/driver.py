"""Carries out a search: measures costs, starts candidates, continues the better halves. Every step can be repeated."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from yolo26_attention.attention.options import BASELINE
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.journal import epochs, read_journal
from yolo26_attention.files.metrics import MAP50_95, ULTRALYTICS
from yolo26_attention.search.candidates import Candidate, Space, costing, predicted_ratio
from yolo26_attention.search.definition import SearchFile
from yolo26_attention.search.halving import continuing, front, rungs
from yolo26_attention.search.proposals import propose
from yolo26_attention.search.state import SearchState, Started
from yolo26_attention.study.definition import Point, as_overrides
from yolo26_attention.study.plan import PlannedRun
from yolo26_attention.study.runs import FoundRun, find_run
from yolo26_attention.study.text import error_line

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Means:
    """What a search needs from the program.

    Attributes:
        plan: checks points and names their runs.
        measure: latency ratio of a command line, and the device, its threads and the backend it was measured with.
        train: trains command lines, all of them at a time if the launcher can.
    """

    plan: Callable[[Sequence[Point]], list[PlannedRun]]
    measure: Callable[[Sequence[str]], tuple[float, str]]
    train: Callable[[Sequence[Sequence[str]]], None]


class Search:
    """One search.

    Args:
        search: content of its file.
        folder: its own folder.
        output_dir: folder of all output.
        state: what has been done so far.
        means: what it needs from the program.
        overrides: options of all runs, from the command line.

    Attributes:
        space: all candidates.
        runs: name of the run of each started candidate.
        costs: predicted latency ratio of each candidate within the budget, once `measure_costs` has run.
        rungs: epochs after which candidates are ranked, once `measure_costs` has run.
    """

    def __init__(
        self,
        search: SearchFile,
        folder: Path,
        output_dir: Path,
        state: SearchState,
        means: Means,
        overrides: Sequence[str] = (),
    ) -> None:
        self.search, self.folder, self.output_dir, self.state = search, folder, output_dir, state
        self.means, self.overrides = means, list(overrides)
        self.space = Space(search)
        self.runs: dict[Candidate, str] = {Candidate(each.indices): each.run for each in state.started}
        self.costs: dict[Candidate, float] = {}
        self.rungs: list[int] = []

    def measure_costs(self) -> None:
        """Measure what each value costs, and predict all candidates from it.

        Raises:
            ConfigError: if no candidate keeps the budget, or some were measured on another machine.
        """
        self.rungs = rungs(self._epochs())
        for candidate in costing(self.space):
            self._measure(candidate)
        bound = self.search.budget.latency_ratio
        predicted = {one: predicted_ratio(self.space, one, self.state.costs) for one in self.space}
        self.costs = {one: ratio for one, ratio in predicted.items() if ratio <= bound}
        if not self.costs:
            least = min(predicted.values())
            raise ConfigError(f"budget.latency_ratio={bound}: no candidate is that fast; the fastest takes {least:.2f}")

    def _epochs(self) -> int:
        """The number of epochs of the full schedule.

        Raises:
            ConfigError: if the reference cannot be run, or its training does not end after a number of epochs.
        """
        (planned,) = self.means.plan([self._point(self.space.reference)])
        if planned.config is None or planned.refusal is not None:
            raise ConfigError(f"the reference of the search cannot be run: {planned.refusal}")
        trainer = planned.config.trainer
        for name, value in (("steps", trainer.steps), ("time", trainer.time)):
            if value is not None:
                raise ConfigError(f"trainer.{name}={value}: a search ranks after epochs; give trainer.epochs instead")
        return int(trainer.epochs)

    def check(self) -> list[int]:
        """Check that every value of every key can be built; returns the epochs after which candidates are ranked.

        Raises:
            ConfigError: if the reference cannot be run.
        """
        self.rungs = rungs(self._epochs())
        singles = [
            self.space.single(position, index)
            for position, values in enumerate(self.space.values)
            for index in range(1, len(values))
        ]
        for candidate, planned in zip(singles, self.means.plan([self._point(one) for one in singles]), strict=True):
            if planned.refusal is not None:
                self.state.impossible[self.space.label(candidate)] = planned.refusal
        return self.rungs

    def measure_front(self) -> None:
        """Measure the candidates of the front, whose latency was predicted.

        Raises:
            ConfigError: if the others were measured on another machine.
        """
        for candidate in self.front():
            self._measure(candidate)

    def finals(self) -> dict[Candidate, float]:
        """The scores of the candidates that finished the full schedule."""
        return self._scores([one for one in self.runs if one in self.costs], self.rungs[-1])

    def front(self) -> list[Candidate]:
        """Those of them that no other one beats in score and predicted latency, highest score first."""
        scores = self.finals()
        return sorted(front(scores, self.costs), key=lambda one: -scores[one])

    def _measure(self, candidate: Candidate) -> None:
        label = self.space.label(candidate)
        if label in self.state.costs or label in self.state.impossible:
            return
        (planned,) = self.means.plan([self._point(candidate)])
        if planned.refusal is not None:
            self._exclude(candidate, planned.refusal)
            return
        if self.space.options(candidate).get("attention") == BASELINE:
            self.state.costs[label] = 1.0  # the stock model itself
            return
        log.info("latency of %s", label)
        ratio, machine = self.means.measure(self._timed(candidate))
        if self.state.machine not in ("", machine):
            raise ConfigError(
                f"search={self.folder.name}: its latencies were measured on {self.state.machine}, and this is "
                f"{machine}; continue it there, or search=NAME starts one here that uses the runs there are"
            )
        self.state.costs[label], self.state.machine = ratio, machine
        self.state.write(self.folder)

    def _exclude(self, candidate: Candidate, reason: str) -> None:
        log.info("impossible: %s: %s", self.space.label(candidate), reason)
        self.state.impossible[self.space.label(candidate)] = reason
        self.state.write(self.folder)

    def refusal(self, label: str, options: Mapping[str, Any]) -> str | None:
        """Why a configuration outside the space, such as a placebo, cannot be run; None if it can."""
        (planned,) = self.means.plan([self._untimed(label, self._with_given(as_overrides(options)))])
        return planned.refusal

    def _options(self, candidate: Candidate) -> list[str]:
        return self._with_given(self.space.overrides(candidate))

    def _with_given(self, overrides: Sequence[str]) -> list[str]:
        """Overrides of a candidate, then those of the command line, which win where both set a key."""
        given = {override.partition("=")[0] for override in self.overrides}
        return [*(each for each in overrides if each.partition("=")[0] not in given), *self.overrides]

    def _timed(self, candidate: Candidate) -> list[str]:
        return [*self._options(candidate), f"seed={self.search.seed}"]

    def _point(self, candidate: Candidate) -> Point:
        return self._untimed(self.space.label(candidate), self._options(candidate))

    def _untimed(self, label: str, overrides: Sequence[str]) -> Point:
        untimed = [each for each in overrides if not each.startswith("latency")]
        return Point(label, self.search.seed, (*untimed, "latency=disabled"), {})

    @property
    def possible(self) -> list[Candidate]:
        """The candidates within the budget that can be built, as far as is known."""
        return [one for one in self.costs if self.space.label(one) not in self.state.impossible]

    def start(self) -> None:
        """Start candidates until the runs of the budget, half of its hours, or the space are used up."""
        self._count_killed()
        first = self.rungs[0]
        self._train(list(self.runs), first)
        while len(self.runs) < self.search.budget.runs and not self._spent(0.5):
            count = min(self.search.budget.at_once, self.search.budget.runs - len(self.runs))
            scores = {one: self.score(one, first) for one in self.runs}
            batch = propose(self.space, self.possible, scores, self.costs, count=count, seed=self.search.seed)
            if not batch:
                return
            self._train(self._begin(batch), first)

    def _begin(self, batch: Sequence[Candidate]) -> list[Candidate]:
        """Write down which candidates start, without those that cannot be built."""
        begun = []
        for candidate, planned in zip(batch, self.means.plan([self._point(one) for one in batch]), strict=True):
            if planned.run is None:
                self._exclude(candidate, planned.refusal or "it cannot be run")
                continue
            begun.append(candidate)
            self.runs[candidate] = planned.run
            self.state.started.append(Started(candidate.indices, planned.run))
        self.state.write(self.folder)
        return begun

    def halve(self) -> bool:
        """Continue the better half to the next rung, until the last one has finished its training.

        Returns:
            Whether it has, and the hours were not used up before.
        """
        contenders = list(self.runs)
        for before, after in pairwise(self.rungs):
            scores = self._scores(contenders, before)
            contenders = list(continuing(scores, self.costs))
            if self._spent(1.0) and any(self.score(one, after) is None for one in contenders):
                log.info(
                    "budget.hours=%g are used up; more hours continue the search and confirm its front",
                    self.search.budget.hours,
                )
                return False
            log.info("epoch %d: %d of %d candidates continue to epoch %d", before, len(contenders), len(scores), after)
            self._train(contenders, after)
        return True

    def _spent(self, share: float) -> bool:
        hours = self.search.budget.hours
        return hours is not None and self.state.seconds >= share * hours * 3600

    def _scores(self, candidates: Sequence[Candidate], epoch: int) -> dict[Candidate, float]:
        found = {one: self.score(one, epoch) for one in candidates}
        return {one: score for one, score in found.items() if score is not None}

    def _train(self, candidates: Sequence[Candidate], epoch: int) -> None:
        """Train candidates to an epoch; those that are there, or that failed, are left alone."""
        due = [one for one in candidates if self.score(one, epoch) is None and self.found(one).state != "failed"]
        if not due:
            return
        last = epoch == self.rungs[-1]
        pause = "pause=null" if last else f"pause={epoch}"
        begun, self.state.training_since = time.monotonic(), time.time()
        self.state.write(self.folder)
        try:
            self.means.train([[*self._point(one).overrides, pause] for one in due])
        finally:
            self.state.seconds += time.monotonic() - begun
            self.state.training_since = None
            self.state.write(self.folder)

    def _count_killed(self) -> None:
        """Count the time of a process that was killed while it trained, up to the last entry of its runs' journals."""
        began = self.state.training_since
        if began is None:
            return
        journals = (read_journal(RunFolder(self.found(one).folder).journal) for one in self.runs)
        latest = max((entry.time for journal in journals for entry in journal if entry.time is not None), default=began)
        self.state.seconds += max(latest - began, 0.0)
        self.state.training_since = None

    def found(self, candidate: Candidate) -> FoundRun:
        """The run of a started candidate."""
        return find_run(self.output_dir, self.runs[candidate])

    def score(self, candidate: Candidate, epoch: int) -> float | None:
        """The mAP50-95 after an epoch; None if the candidate has not come so far.

        Before the end it is what the run would be scored by: the best one so far, or with trainer.select=last that of
        this epoch.
        """
        found = self.found(candidate)
        if epoch == self.rungs[-1]:
            return None if found.state != "finished" or found.record is None else found.record.score
        journal = epochs(read_journal(RunFolder(found.folder).journal))
        values = {each.epoch: each.values[ULTRALYTICS[MAP50_95]] for each in journal}
        if found.state != "finished" and not (values and max(values) >= epoch):
            return None  # one that stopped early has finished
        so_far = {number: value for number, value in values.items() if number <= epoch}
        if found.record is not None and found.record.scores_last:
            return so_far[max(so_far)]
        return max(so_far.values())

    def failures(self) -> dict[str, str]:
        """Why candidates failed, by label."""
        failed = {}
        for candidate in self.runs:
            found = self.found(candidate)
            if found.state == "failed" and found.record is not None:
                failed[self.space.label(candidate)] = error_line(found.record.error or "no traceback")
        return failed

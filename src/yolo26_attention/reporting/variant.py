"""One variant of a study: its runs, and what they amount to."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yolo26_attention.files.record import Record
from yolo26_attention.files.timings import TimedVariant
from yolo26_attention.plan.attention_names import PLACEBO_OF
from yolo26_attention.reporting.study import BASELINE, StudyRun, records_that_count
from yolo26_attention.statistics import Comparison, Estimate


@dataclass(frozen=True, eq=False)
class Variant:
    """The runs of one variant and what they amount to.

    Attributes:
        attention: its attention's name, of a mix what stands where; the label where no run has a record yet.
        scores: seed to score, by the study's metric, of the runs that count.
        mean: of the scores.
        reference: label of the variant it is compared with; None for a baseline, and where there is none.
        comparison: with the reference, over seeds.
        confounds: what differs from its reference beside the attention: settings, data and training as they were.
        ratio: latency as a multiple of the stock model's.
        timed: where the study was timed together, for each of its targets; None for one where this variant was not.
        numbers: means over the runs of whatever else the records have: cost, AP by object size.
        components: of a study of components.
        is_baseline: whether others are compared with it.
        learned: whether its scores are above those of something that learned nothing; also True without any score.
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
    components: tuple[str, ...] | None = None
    is_baseline: bool = False
    learned: bool = True
    timed: tuple[TimedVariant | None, ...] = ()

    @property
    def is_stock(self) -> bool:
        """Whether it has no attention."""
        return self.attention == BASELINE

    @property
    def is_placebo(self) -> bool:
        """Whether it has placebos and nothing else."""
        names = [name for where in self.attention.split(", ") for name in where.rpartition(": ")[2].split(" + ")]
        return all(name.startswith(PLACEBO_OF) for name in names)

    @property
    def counted(self) -> list[StudyRun]:
        """The runs that take part, by seed."""
        return sorted((run for run in self.runs if run.counts), key=lambda run: run.seed)

    @property
    def records(self) -> list[Record]:
        """The records of the runs that take part, by seed."""
        return records_that_count(self.counted)

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration of its first run, rather one that takes part; empty without a record."""
        records = [*self.records, *(run.record for run in self.runs if run.record is not None)]
        return records[0].config if records else {}

    @property
    def score(self) -> float:
        """The mean of the scores; NaN without any."""
        return math.nan if self.mean.mean is None else self.mean.mean

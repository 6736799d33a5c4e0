"""How much equal trainings differ: the floor of the spread, which no number of seeds or images lowers."""

import math
from collections.abc import Sequence
from dataclasses import replace

from yolo26_attention.counts import number_of
from yolo26_attention.reporting.study import Study, StudyRun
from yolo26_attention.study.runs import repeats_another

STATUS = "repeat"


def set_repeats_aside(study: Study) -> Study:
    """The study whose repeated runs are in no comparison, with a note on what they show."""
    again = [run for run in study.runs if repeats_another(run.overrides)]
    if not again:
        return study
    note = _note([run for run in study.runs if not repeats_another(run.overrides)], again)
    aside = "the same training once more: it shows how much equal trainings differ, and is compared with nothing else"
    runs = tuple(
        replace(run, status=STATUS, problem=aside) if run.counts and repeats_another(run.overrides) else run
        for run in study.runs
    )
    return replace(study, runs=runs, notes=(*study.notes, note))


def variants_of(study: Study) -> dict[str, list[StudyRun]]:
    """The runs of each variant, by label, without those that repeat another one."""
    found: dict[str, list[StudyRun]] = {}
    for run in study.runs:
        if not repeats_another(run.overrides):
            found.setdefault(run.variant, []).append(run)
    return found


def _note(runs: Sequence[StudyRun], again: Sequence[StudyRun]) -> str:
    """What the pairs of equal trainings show, with the standard deviation of one training around their mean."""
    first = {tuple(run.overrides): run.score for run in runs}
    pairs = [(first.get(tuple(o for o in run.overrides if not o.startswith("repeat="))), run.score) for run in again]
    differences = [abs(one - other) for one, other in pairs if one is not None and other is not None]
    if not differences:
        none = f"none of the {len(again)} repeated trainings has" if len(again) > 1 else "the repeated training has not"
        return f"{none} finished, so how much equal trainings differ is not known"
    known = len(differences)
    count = number_of(known, "training") if known == len(again) else f"{known} of {len(again)} trainings"
    told = f"{count} of the baseline {'was' if known == 1 else 'were'} done twice"
    if not any(differences):
        return f"{told}, with the same seed and the very same score: all spread between runs comes from the seed"
    spread = math.sqrt(sum(each**2 for each in differences) / (2 * len(differences)))
    return (
        f"{told} with the same seed; their scores differ by up to {max(differences):.4f} (standard deviation of one "
        f"training {spread:.4f}: however many images score it, a run scatters as much)"
    )

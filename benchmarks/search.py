"""Does a search find a good candidate for fewer hours? On a space small enough to know the truth.

    python -m benchmarks.search [seeds=200]
    python -m benchmarks.search table=outputs,more      # makes the table anew from the runs in these output folders

The truth is `search_table.json`: every placement of nothing, ACmix or SE at p3, p4 and p5 of YOLO26n, trained on the
embedded digits, with the score after each epoch, by seed, and the latency of each single change. Training is replaced
by reading this table; proposals, ranking and halving are the program's own. Hours are epochs of training, relative to
training every candidate within the latency budget to its end (the grid).

A method sees one seed of the table and chooses the candidate with the highest final score. Regret is how far it is
below the best one of this seed, which is partly luck. The chosen candidate is therefore also judged by the other seeds,
on which nothing was chosen: how far its mean score with them is above that of the grid's choice.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from yolo26_attention.files.folder import OutputFolder, RunFolder
from yolo26_attention.files.journal import epochs, read_journal
from yolo26_attention.files.metrics import MAP50_95, ULTRALYTICS
from yolo26_attention.files.record import Record
from yolo26_attention.search.candidates import Candidate, Space, costing, predicted_ratio
from yolo26_attention.search.definition import Budget, SearchFile
from yolo26_attention.search.halving import continuing, rungs
from yolo26_attention.search.proposals import propose
from yolo26_attention.text_tables import aligned

TABLE = Path(__file__).with_name("search_table.json")
SITES, VALUES = ("p3", "p4", "p5"), ["none", "acmix", "se"]
RATIO = 1.2  # as in sweeps/searches/place.yaml; excludes ACmix at all three sites
SPACE = Space(SearchFile("?", {site: VALUES for site in SITES}, Budget(RATIO, 4)))


def make_table(output_dirs: Sequence[Path]) -> dict[str, Any]:
    """The scores after each epoch of every finished run of some folders, by seed and the candidate's label.

    The latencies are those that the search `place` measured in the first folder.
    """
    scores: dict[str, dict[str, list[float]]] = {}
    for folder in (folder for output_dir in output_dirs for folder in OutputFolder(output_dir).recorded()):
        record = Record.read(folder)
        if record is None or record.status != "finished":
            continue
        attention = record.config["attention"]
        grafts = {site: entries[0]["name"] for site, entries in attention.get("grafts", {}).items()}
        if attention["name"] in VALUES[1:]:
            grafts = dict.fromkeys(record.config["placement"]["sites"], attention["name"])
        if not set(grafts.values()) <= set(VALUES):
            continue  # a placebo of the confirmation
        label = SPACE.label(Candidate(tuple(VALUES.index(grafts.get(site, "none")) for site in SITES)))
        scores.setdefault(str(record.config["seed"]), {})[label] = [
            round(each.values[ULTRALYTICS[MAP50_95]], 5) for each in epochs(read_journal(RunFolder(folder).journal))
        ]
    labels = [SPACE.label(one) for one in SPACE]
    complete = {seed: curves for seed, curves in sorted(scores.items()) if set(curves) == set(labels)}
    if not complete:
        fullest = max(scores.values(), key=len, default={})
        sys.exit(
            f"error: no finished run of {', '.join(label for label in labels if label not in fullest)}; train them"
        )
    path = OutputFolder(output_dirs[0]).searches / "place" / "search.json"
    if not path.exists():
        sys.exit(f"error: there is no {path}; put the output folder of `python -m src.search place` first")
    measured = json.loads(path.read_text())
    costs = {SPACE.label(one): round(measured["costs"][SPACE.label(one)], 4) for one in costing(SPACE)}
    return {"machine": measured["machine"], "costs": costs, "scores": complete}


@dataclass(frozen=True)
class Found:
    """What a method chose.

    Attributes:
        regret: how far it is below the best one of the seed that chose it.
        gain: how far it is above the grid's choice, with the other seeds; None if there are none.
        hours: of training, relative to the grid.
    """

    regret: float
    gain: float | None
    hours: float


class Truth:
    """The table, seen with one of its seeds.

    Args:
        content: of the file.
        seed: the seed that chooses; the others judge.
    """

    def __init__(self, content: dict[str, Any], seed: str) -> None:
        self.curves = {one: content["scores"][seed][SPACE.label(one)] for one in SPACE}
        self.others = [curves for other, curves in content["scores"].items() if other != seed]
        self.epochs = len(self.curves[SPACE.reference])
        ratios = {one: predicted_ratio(SPACE, one, content["costs"]) for one in SPACE}
        self.costs = {one: ratio for one, ratio in ratios.items() if ratio <= RATIO}
        self.best = max(self.costs, key=self.final)

    def score(self, one: Candidate, epoch: int) -> float:
        """The score after an epoch."""
        return float(self.curves[one][epoch - 1])

    def final(self, one: Candidate) -> float:
        """The score after the last epoch."""
        return self.score(one, self.epochs)

    def judged(self, one: Candidate) -> float:
        """Its mean final score with the other seeds."""
        return mean(curves[SPACE.label(one)][-1] for curves in self.others)

    def found(self, finished: Sequence[Candidate], trained: int) -> Found:
        """What is chosen from candidates that finished, when so many epochs were trained."""
        chosen = max(finished, key=self.final)
        gain = self.judged(chosen) - self.judged(self.best) if self.others else None
        return Found(self.final(self.best) - self.final(chosen), gain, trained / (self.epochs * len(self.costs)))

    def search(self, runs: int, seed: int) -> Found:
        """A search."""
        ends = rungs(self.epochs)
        started: dict[Candidate, float | None] = {}
        while len(started) < min(runs, len(self.costs)):
            count = min(4, runs - len(started))
            for one in propose(SPACE, list(self.costs), started, self.costs, count=count, seed=seed):
                started[one] = self.score(one, ends[0])
        contenders, trained = list(started), len(started) * ends[0]
        for before, after in pairwise(ends):
            contenders = list(continuing({one: self.score(one, before) for one in contenders}, self.costs))
            trained += len(contenders) * (after - before)
        return self.found(contenders, trained)

    def random(self, hours: float, seed: int) -> Found:
        """Random candidates, each trained to its end; the reference is one of them."""
        count = max(round(hours * len(self.costs)), 1)
        others = [one for one in self.costs if one != SPACE.reference]
        drawn = np.random.default_rng(seed).permutation(len(others))[: count - 1]
        return self.found([SPACE.reference, *(others[i] for i in drawn)], count * self.epochs)

    def grid(self) -> Found:
        """All of them."""
        return self.found(list(self.costs), self.epochs * len(self.costs))


def rows(truths: Sequence[Truth], seeds: int) -> Iterator[list[str]]:
    """A row for each method."""

    def repeated(method: Callable[[Truth, int], Found]) -> list[Found]:
        return [method(truth, seed) for truth in truths for seed in range(seeds)]

    for runs in (8, 12, 16, 20, 26):
        found = repeated(lambda truth, seed, runs=runs: truth.search(runs, seed))
        hours = mean(each.hours for each in found)
        yield row(f"search, {runs} runs", found)
        yield row("random, equal hours", repeated(lambda truth, seed, hours=hours: truth.random(hours, seed)))
    yield row("random, half of the grid", repeated(lambda truth, seed: truth.random(0.5, seed)))
    yield row("grid", [truth.grid() for truth in truths])


def row(name: str, found: Sequence[Found]) -> list[str]:
    """Share that finds the best, mean and 90 % quantile of the regret, hours, mean gain."""
    regrets = np.array([each.regret for each in found])
    gains = [each.gain for each in found if each.gain is not None]
    return [
        name,
        f"{np.mean(regrets < 1e-9):.2f}",
        f"{regrets.mean():.4f}",
        f"{np.quantile(regrets, 0.9):.4f}",
        f"{mean(each.hours for each in found):.2f}",
        f"{mean(gains):+.4f}" if gains else "",
    ]


def main() -> None:
    given = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    if "table" in given:
        content = make_table([Path(each) for each in given["table"].split(",")])
        TABLE.write_text(json.dumps(content, indent=1) + "\n")
    content = json.loads(TABLE.read_text())
    truths = [Truth(content, seed) for seed in content["scores"]]
    first = truths[0]
    print(
        f"{len(first.costs)} of {len(first.curves)} candidates within {RATIO} of stock's latency, {first.epochs} epochs"
    )
    for seed, truth in zip(content["scores"], truths, strict=True):
        ordered = sorted(map(truth.final, truth.costs))
        print(
            f"seed {seed}: mAP50-95 from {ordered[0]:.4f} to {ordered[-1]:.4f}, median {ordered[len(ordered) // 2]:.4f}"
        )
    header = ["method", "best found", "mean regret", "90 % regret", "hours / grid", "other seeds, against the grid"]
    shown = len(header) if first.others else len(header) - 1
    table = [each[:shown] for each in (header, *rows(truths, int(given.get("seeds", 200))))]
    print("\n" + "\n".join(aligned(table, right=range(1, shown))))


if __name__ == "__main__":
    main()

"""Does a search find the best candidate for fewer hours? On a space small enough to know the truth.

    python -m benchmarks.search [seeds=200]
    python -m benchmarks.search table=outputs       # makes the table anew from runs in this output folder

The truth is `search_table.json`: every placement of nothing, ACmix or SE at p3, p4 and p5 of YOLO26n, trained on the
embedded digits with one seed, with the score after each epoch and the latency of each single change. Training is
replaced by reading this table; proposals, ranking and halving are the program's own. Hours are epochs of training,
relative to training every candidate within the latency budget to its end (the grid). Regret is how far the score of the
chosen candidate is below the best one of the grid.
"""

import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from yolo26_attention.files.folder import OutputFolder, RunFolder
from yolo26_attention.files.journal import epochs, read_journal
from yolo26_attention.files.metrics import MAP50_95, ULTRALYTICS
from yolo26_attention.files.record import Record
from yolo26_attention.search.candidates import Candidate, Space, predicted_ratio
from yolo26_attention.search.definition import Budget, SearchFile
from yolo26_attention.search.halving import continuing, rungs
from yolo26_attention.search.proposals import propose
from yolo26_attention.text_tables import aligned

TABLE = Path(__file__).with_name("search_table.json")
SITES, VALUES = ("p3", "p4", "p5"), ["none", "acmix", "se"]
RATIO = 1.1  # excludes the slowest placements of this space
SPACE = Space(SearchFile("?", {site: VALUES for site in SITES}, Budget(RATIO, 4)))


def make_table(output_dir: Path) -> dict[str, object]:
    """The scores after each epoch of every finished run of a folder, by the candidate's label."""
    scores = {}
    for folder in OutputFolder(output_dir).recorded():
        record = Record.read(folder)
        if record is None or record.status != "finished":
            continue
        attention = record.config["attention"]
        grafts = {site: entries[0]["name"] for site, entries in attention.get("grafts", {}).items()}
        if attention["name"] in VALUES[1:]:
            grafts = dict.fromkeys(record.config["placement"]["sites"], attention["name"])
        label = SPACE.label(Candidate(tuple(VALUES.index(grafts.get(site, "none")) for site in SITES)))
        scores[label] = [
            round(each.values[ULTRALYTICS[MAP50_95]], 5) for each in epochs(read_journal(RunFolder(folder).journal))
        ]
    missing = [SPACE.label(one) for one in SPACE if SPACE.label(one) not in scores]
    if missing:
        sys.exit(f"error: {output_dir} has no finished run of {', '.join(missing)}")
    return {**json.loads(TABLE.read_text()), "scores": scores}


class Truth:
    """The table."""

    def __init__(self) -> None:
        content = json.loads(TABLE.read_text())
        self.curves = {one: content["scores"][SPACE.label(one)] for one in SPACE}
        self.epochs = len(self.curves[SPACE.reference])
        ratios = {one: predicted_ratio(SPACE, one, content["costs"]) for one in SPACE}
        self.costs = {one: ratio for one, ratio in ratios.items() if ratio <= RATIO}
        self.best = max(max(self.curves[one]) for one in self.costs)

    def score(self, one: Candidate, epoch: int) -> float:
        """The best score up to an epoch."""
        return float(max(self.curves[one][:epoch]))

    def regret(self, tried: list[Candidate]) -> float:
        """How far the best of the candidates that were trained to the end is below the best of all."""
        return self.best - max(self.score(one, self.epochs) for one in tried)

    def search(self, runs: int, seed: int) -> tuple[float, float]:
        """Regret and hours of a search."""
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
        return self.regret(contenders), trained / (self.epochs * len(self.costs))

    def random(self, hours: float, seed: int) -> tuple[float, float]:
        """Regret and hours of random candidates, each trained to its end; the reference is one of them."""
        count = max(round(hours * len(self.costs)), 1)
        others = [one for one in self.costs if one != SPACE.reference]
        drawn = np.random.default_rng(seed).permutation(len(others))[: count - 1]
        return self.regret([SPACE.reference, *(others[i] for i in drawn)]), count / len(self.costs)


def rows(truth: Truth, seeds: int) -> Iterator[list[str]]:
    """A row for each method."""
    for runs in (8, 12, 16):
        found = [truth.search(runs, seed) for seed in range(seeds)]
        hours = float(np.mean([spent for _, spent in found]))
        yield row(f"search, {runs} runs", found)
        yield row("random, equal hours", [truth.random(hours, seed) for seed in range(seeds)])
    yield row("random, half of the grid", [truth.random(0.5, seed) for seed in range(seeds)])
    yield row("grid", [(truth.regret(list(truth.costs)), 1.0)])


def row(name: str, found: list[tuple[float, float]]) -> list[str]:
    """Share of searches that find the best, mean and 90 % quantile of the regret, hours."""
    regrets = np.array([regret for regret, _ in found])
    hours = np.mean([spent for _, spent in found])
    return [
        name,
        f"{np.mean(regrets < 1e-9):.2f}",
        f"{regrets.mean():.4f}",
        f"{np.quantile(regrets, 0.9):.4f}",
        f"{hours:.2f}",
    ]


def main() -> None:
    given = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    if "table" in given:
        TABLE.write_text(json.dumps(make_table(Path(given["table"])), indent=1) + "\n")
    truth = Truth()
    scores = sorted(truth.score(one, truth.epochs) for one in truth.costs)
    print(
        f"{len(truth.costs)} of {len(truth.curves)} candidates within {RATIO} of stock's latency, {truth.epochs} epochs"
    )
    print(f"mAP50-95 from {scores[0]:.4f} to {scores[-1]:.4f}, median {scores[len(scores) // 2]:.4f}\n")
    header = ["method", "best found", "mean regret", "90 % regret", "hours / grid"]
    print("\n".join(aligned([header, *rows(truth, int(given.get("seeds", 200)))], right=range(1, 5))))


if __name__ == "__main__":
    main()

"""False verdicts and power of a study's comparisons, by simulation: `python -m benchmarks.simulate [repetitions]`.

Prints one Markdown table. Scores have a standard deviation of 1 over seeds. A false verdict is a study without any
difference in which any variant is called better or worse; power is the share of studies in which one variant with an
effect is called better while the others have none. Heavy tails are Student's t with 3 degrees of freedom, scaled to a
standard deviation of 1.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from yolo26_attention.statistics import boundaries, worthwhile_baseline_seeds
from yolo26_attention.statistics.designs import Design, project
from yolo26_attention.statistics.multivariate_t import max_t_quantile
from yolo26_attention.statistics.robust import calibrate, judge, paired
from yolo26_attention.statistics.sequential import FUTILE, predictive_power

LEVEL = 0.95
EFFECTS = {3: 3.0, 5: 2.0, 10: 1.5, 20: 1.0}
MARGIN = 1.5
CHUNK = 2_000


@dataclass(frozen=True)
class Scores:
    """How scores are drawn: (repetitions, variants with the baseline first, seeds)."""

    heavy: bool = False
    seed_effect: float = 0.0
    doubled: int | None = None
    effect: float = 0.0

    def draw(self, repetitions: int, variants: int, seeds: int, generator: np.random.Generator) -> np.ndarray:
        shape = repetitions, variants + 1, seeds
        scores = generator.standard_t(3, shape) / np.sqrt(3) if self.heavy else generator.standard_normal(shape)
        if self.doubled is not None:
            scores[:, self.doubled] *= 2
        scores[:, 1] += self.effect
        return scores + self.seed_effect * generator.standard_normal((repetitions, 1, seeds))


@dataclass(frozen=True)
class Outcome:
    """Of one kind of studies: shares with any verdict, with one on the first variant, and mean seeds of a variant."""

    any_verdict: float
    first: float
    seeds: float


def fixed(scores: Scores, variants: int, seeds: int, baseline: int, repetitions: int) -> Outcome:
    """Studies that are looked at once."""
    design, generator = Design.of((baseline, *[seeds] * variants)), np.random.default_rng(1)
    found = []
    for start in range(0, repetitions, CHUNK):
        drawn = scores.draw(min(CHUNK, repetitions - start), variants, max(seeds, baseline), generator)
        judged = judge(design, drawn[:, list(design.groups), list(design.seeds)], LEVEL)
        found.append(np.where(judged.p < 1 - LEVEL, np.sign(judged.difference), 0))
    verdicts = np.concatenate(found)
    return Outcome(float((verdicts != 0).any(axis=1).mean()), float((verdicts[:, 0] > 0).mean()), seeds)


def sequential(scores: Scores, variants: int, looks: tuple[int, ...], repetitions: int) -> Outcome:
    """Studies whose variants stop where they are decided, or where the seeds left are unlikely to decide them.

    With up to four variants a look judges the very runs that there are. With more, variants that stopped are judged as
    if they had gone on, as there would be too many designs; they keep their verdicts.
    """
    levels = boundaries(looks, variants, LEVEL)
    drawn = scores.draw(repetitions, variants, looks[-1], np.random.default_rng(2))
    seeds = np.full((repetitions, variants), looks[0])
    verdicts, stopped = np.zeros((repetitions, variants)), np.zeros((repetitions, variants), dtype=bool)
    for index, (now, nominal) in enumerate(zip(looks, levels, strict=True)):
        rows = np.flatnonzero(~stopped.all(axis=1))
        seeds[rows] = np.where(stopped[rows], seeds[rows], now)
        order = np.argsort(seeds[rows], axis=1, kind="stable")
        pattern = (
            np.take_along_axis(seeds[rows], order, axis=1) if variants <= 4 else np.full((len(rows), variants), now)
        )
        for counts in np.unique(pattern, axis=0):
            alike = (pattern == counts).all(axis=1)
            own, places = rows[alike], order[alike]
            design = Design.of((now, *counts.tolist()))
            studies = drawn[own[:, None], np.hstack([np.zeros((len(own), 1), int), places + 1])]
            judged = judge(design, studies[:, list(design.groups), list(design.seeds)], LEVEL)
            critical = np.array([_critical(design, blocked, nominal) for blocked in (False, True)])
            half = critical[judged.blocks.astype(int), None] * judged.se
            same = np.abs(judged.difference) + half < MARGIN
            called = np.where((judged.p < nominal) & ~same, np.sign(judged.difference), 0)
            left = looks[-1] - now
            last = _critical(Design.of((looks[-1],) * (variants + 1)), paired(design), levels[-1])
            df = _df(design, paired(design))
            power = predictive_power(judged.difference, judged.se, df, now, left, MARGIN, last)
            still = ~stopped[own[:, None], places]
            verdicts[own[:, None], places] = np.where(still, called, verdicts[own[:, None], places])
            stopped[own[:, None], places] |= (called != 0) | same | (power < FUTILE)
        if index == len(looks) - 1:
            break
    return Outcome(float((verdicts != 0).any(axis=1).mean()), float((verdicts[:, 0] > 0).mean()), float(seeds.mean()))


def _df(design: Design, blocked: bool) -> float:
    found = project(design, blocked) or project(design, not blocked)
    if paired(design):
        return float(found.df)
    calibration = calibrate(design, LEVEL)
    return (
        float(found.df) if calibration.shared_holds else calibration.df[project(design, blocked) is found and blocked]
    )


def _critical(design: Design, blocked: bool, nominal: float) -> float:
    found = project(design, blocked) or project(design, not blocked)
    return max_t_quantile(1 - nominal, found.correlation, _df(design, blocked))


def rows(repetitions: int) -> Iterator[list[str]]:
    """Cells of the table, row by row."""
    designs = [(variants, seeds, seeds) for variants in (1, 4, 20) for seeds in EFFECTS]
    designs += [(variants, 3, worthwhile_baseline_seeds(variants, 3)) for variants in (4, 20)]
    for variants, seeds, baseline in designs:
        for heavy in (False, True):
            for seed_effect in (0.0, 1.0):
                # Large designs do not need as many: their cells hold 21 variants of 20 seeds.
                kinds = _kinds(heavy, seed_effect, EFFECTS[seeds])
                cells = [fixed(kind, variants, seeds, baseline, repetitions) for kind in kinds]
                yield _row(variants, str(seeds), baseline, kinds[0], EFFECTS[seeds], cells)
    for variants, looks in [(1, (3, 5, 10)), (4, (3, 5, 10)), (1, tuple(range(3, 13))), (20, (3, 5, 10))]:
        kinds = _kinds(False, 0.0, 1.5)
        cells = [sequential(kind, variants, looks, repetitions) for kind in kinds]
        name = ", ".join(map(str, looks)) if len(looks) < 5 else f"{looks[0]} to {looks[-1]}, each"
        yield _row(variants, name, looks[-1], kinds[0], 1.5, cells)


def _kinds(heavy: bool, seed_effect: float, effect: float) -> list[Scores]:
    return [
        Scores(heavy, seed_effect),
        Scores(heavy, seed_effect, doubled=0),
        Scores(heavy, seed_effect, doubled=1),
        Scores(heavy, seed_effect, effect=effect),
    ]


def _row(variants: int, seeds: str, baseline: int, kind: Scores, effect: float, cells: list[Outcome]) -> list[str]:
    shape = "heavy" if kind.heavy else "normal"
    false = [f"{cell.any_verdict:.3f}" for cell in cells[:3]]
    mean = [f"{cells[0].seeds:.1f}", f"{cells[3].seeds:.1f}"]
    return [str(variants), seeds, str(baseline), f"{kind.seed_effect:g}", shape, *false, f"{effect:g}", f"{cells[3].first:.3f}", *mean]  # fmt: skip  # noqa: E501


def main() -> None:
    """Print the table."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    head = [
        "variants",
        "seeds",
        "baseline seeds",
        "SD of seeds' effects",
        "scores",
        "false verdicts",
        "baseline's SD doubled",
    ]
    head += ["a variant's SD doubled", "effect", "power", "mean seeds, no effect", "mean seeds, one effect"]
    print(f"{repetitions} repetitions; {LEVEL:.0%} simultaneous.\n")
    print("| " + " | ".join(head) + " |\n|" + " --- |" * len(head))
    for row in rows(repetitions):
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()

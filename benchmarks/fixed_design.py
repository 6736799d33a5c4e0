"""The number of seeds that a fixed design would have needed: python -m benchmarks.fixed_design STUDY [STUDY ...].

A fixed design trains the same number of seeds of every variant and is read once, by paired t intervals with Holm's
procedure (docs/decisions/0008). The level used here is that of Holm's first step, 0.05 / number of comparisons. The
number of seeds is the smallest that decides with a probability of 80 %, if the difference and the deviation of the
pairs are as found. Where a study stopped early, the difference that it found is too large on average, and so this
number is too small on average.
"""

import argparse
import math
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import scipy

from yolo26_attention.reporting.comparison import Results, compare
from yolo26_attention.reporting.placebos import placebo_of
from yolo26_attention.reporting.signs import signed
from yolo26_attention.reporting.study import StudyError, read_study
from yolo26_attention.reporting.variant import Variant
from yolo26_attention.statistics.needed import seeds_needed
from yolo26_attention.statistics.paired import mean_interval
from yolo26_attention.statistics.seeds import pair_seeds
from yolo26_attention.text_tables import aligned

HEADER = ["variant", "against", "pairs", "difference", "sd of a pair", "fixed design needs", "trained (variant, other)"]


def pairs_of(results: Results) -> Iterator[tuple[Variant, Variant, int]]:
    """Every variant beside its baseline, and beside its placebo if it has one; with the number of such comparisons."""
    sharing = Counter(results.placebos.values())
    for each in results.judged:
        yield each.variant, each.reference, len(results.judged)
        placebo = placebo_of(results, each.variant)
        if placebo is not None and placebo.learned:
            yield each.variant, placebo, sharing[placebo.label]


def fixed_design(results: Results) -> list[list[str]]:
    """The rows of the table, without its header."""
    rows = []
    for variant, other, number in pairs_of(results):
        alpha = (1 - results.level) / number
        differences, _ = pair_seeds(variant.scores, other.scores)
        found = mean_interval(differences)
        row = [variant.label, other.label, str(found.n)]
        if found.mean is None or not found.sd:
            rows.append([*row, "" if found.mean is None else signed(found.mean), "", "cannot be told", ""])
            continue
        needed = seeds_needed(
            found.mean,
            found.sd / math.sqrt(found.n),
            found.n - 1,
            found.n,
            results.margin,
            partial(_critical, alpha),
        )
        trained = f"{len(variant.scores)}, {len(other.scores)}"
        rows.append([*row, signed(found.mean), f"{found.sd:.4f}", str(needed), trained])
    return rows


def _critical(alpha: float, df: float) -> float:
    return float(scipy.special.stdtrit(df, 1 - alpha / 2))


def main() -> None:
    """Print a table for each study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+", metavar="STUDY")
    parser.add_argument("--output-dir", type=Path, default=Path("outputs"))
    asked = parser.parse_args()
    for name in asked.studies:
        try:
            results = compare(read_study(name, asked.output_dir))
        except StudyError as error:
            sys.exit(f"error: {error}")
        rows = fixed_design(results)
        runs = sum(len(variant.scores) for variant in results.variants)
        hours = sum(record.seconds for variant in results.variants for record in variant.records) / 3600
        print(f"{name}: {runs} runs in the comparison, {hours:.1f} hours of training one after the other")
        print("\n".join(aligned([HEADER, *rows], right=range(2, 5))), end="\n\n")


if __name__ == "__main__":
    main()

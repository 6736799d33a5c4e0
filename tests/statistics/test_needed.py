"""How many seeds would decide."""

import numpy as np
import pytest
from scipy import stats

from yolo26_attention.statistics import compare_seeds, smallest_detectable
from yolo26_attention.statistics.needed import seeds_needed


def paired(df):
    """Critical values of a t test."""
    return float(stats.t.isf(0.025, df))


@pytest.mark.parametrize(("effect", "seeds"), [pytest.param(0.5, 34, id="half-sd"), pytest.param(1.0, 10, id="one-sd")])
def test_seeds_for_a_difference_are_the_textbooks(effect, seeds):
    """Sample sizes of the two-sided paired t test at 0.05 with a power of 80 %, as in Cohen's and G*Power's tables."""
    assert seeds_needed(effect, 1 / np.sqrt(5), 4, 5, margin=1e-9, critical=paired).seeds == seeds


@pytest.mark.parametrize(
    ("mean", "margin"), [pytest.param(0, 0.02, id="no-difference"), pytest.param(-0.004, 0.02, id="a-small-one")]
)
def test_seeds_for_equivalence_reach_the_power(mean, margin):
    generator = np.random.default_rng(0)
    seeds = seeds_needed(mean, 0.02 / np.sqrt(5), 4, 5, margin, critical=paired).seeds

    def power(n):
        drawn = generator.normal(mean, 0.02, (20_000, n))
        error = drawn.std(axis=1, ddof=1) / np.sqrt(n)
        return np.mean(np.abs(drawn.mean(axis=1)) + stats.t.isf(0.025, n - 1) * error < margin)

    assert power(seeds - 2) < 0.8 < power(seeds) < 0.9


@pytest.mark.parametrize("variants", [1, 4])
def test_a_study_with_so_many_seeds_decides_as_often_as_promised(variants):
    """The number is found from one study, the power of a study of that size by simulation of the very rule."""
    generator = np.random.default_rng(3)
    names = ["baseline", *map(str, range(variants))]
    scores = {name: dict(enumerate(generator.normal(0.4, 0.01, 5))) for name in names}
    scores["0"] = {seed: score + 0.01 for seed, score in scores["0"].items()}
    found = compare_seeds(scores, margin=1e-6, generator=generator)["0"]
    sd = found.error / np.sqrt(2 / 5)
    n = found.needed.seeds if found.needed is not None else None
    if n is None:
        pytest.fail(f"decided already: {found.words}")
    least, most = (smallest_detectable(sd, n, variants, power=power) for power in (0.72, 0.9))
    assert least <= found.difference.mean <= most


def test_the_range_is_that_of_the_spread():
    found = seeds_needed(0.01, 0.02 / np.sqrt(3), 8, 3, 0.005, critical=paired)
    by_hand = [
        seeds_needed(0.01, 0.02 * ratio / np.sqrt(3), 8, 3, 0.005, critical=paired).seeds
        for ratio in np.sqrt(8 / stats.chi2.isf([0.1, 0.9], 8))
    ]
    assert [found.low, found.high] == by_hand
    assert found.low < found.seeds < found.high
    assert str(found) == f"about {found.seeds} seeds ({found.low} to {found.high})"


@pytest.mark.parametrize(
    ("mean", "se", "seeds", "words"),
    [
        pytest.param(1, 1e-6, 2, "about 2 seeds (2 to 2)", id="plain"),
        pytest.param(1e-9, 1, None, "more than 1000 seeds", id="out-of-reach"),
    ],
)
def test_seeds_at_the_ends(mean, se, seeds, words):
    found = seeds_needed(mean, se, 4, 5, margin=1e-9, critical=paired)
    assert (found.seeds, str(found)) == (seeds, words)


def test_the_range_holds_the_number_and_is_never_reversed():
    generator = np.random.default_rng(0)
    for _ in range(300):
        difference, se = generator.choice([0, 1]) * 10 ** generator.uniform(-5, -1), 10 ** generator.uniform(-5, -1)
        df, seeds = float(generator.choice([2, 4, 8, 16, 50])), int(generator.integers(2, 8))
        margin = 10 ** generator.uniform(-3, -1.3)
        found = seeds_needed(difference, se, df, seeds, margin, lambda freedom: float(stats.t.ppf(0.99375, freedom)))
        low, number, high = (1001 if n is None else n for n in (found.low, found.seeds, found.high))
        assert low <= number <= high, (difference, se, df, seeds, margin)

"""The best of several without its luck."""

import numpy as np
import pytest
from scipy.stats import norm

from yolo26_attention.statistics import shrunken
from yolo26_attention.statistics.shrinkage import NOISE

SPREAD, SEEDS, STUDIES = 1.0, 3, 600


def biases(effects, seed):
    """Mean error of the corrected and of the naive estimate, and the standard error of the first."""
    generator = np.random.default_rng(seed)
    corrected, naive = [], []
    for _ in range(STUDIES):
        scores = SPREAD * generator.standard_normal((len(effects) + 1, SEEDS))
        sd = np.sqrt(scores.var(axis=1, ddof=1).mean())
        estimates = effects + scores[1:].mean(axis=1) - scores[0].mean()
        found = shrunken(estimates, np.full(len(effects), sd * np.sqrt(2 / SEEDS)))
        best = estimates.argmax()
        corrected.append(found - effects[best])
        naive.append(estimates[best] - effects[best])
    return np.mean(corrected), np.mean(naive), np.std(corrected) / np.sqrt(STUDIES)


@pytest.mark.parametrize("variants", [3, 10])
def test_best_of_equals_is_not_better(variants):
    corrected, naive, error = biases(np.zeros(variants), seed=0)
    assert abs(corrected) < 0.1 + 2 * error
    assert naive > 0.4


@pytest.mark.parametrize("effects", [np.eye(10)[0] * 3, np.eye(10)[0] * 1.5, np.linspace(0, 2, 10)])
def test_effects_are_kept(effects):
    corrected, _, error = biases(effects, seed=1)
    assert abs(corrected) < 0.1 + 2 * error


def test_a_clear_winner_keeps_its_estimate():
    found = shrunken([0.01, 0.5, 0.02], [0.01, 0.01, 0.01])
    assert found == pytest.approx(0.5, abs=1e-4)


def test_a_close_winner_does_not():
    found = shrunken([0.10, 0.11, 0.09], [0.05, 0.05, 0.05])
    assert found < 0.08


def test_two_of_known_error_agree_with_the_integral():
    """Correlation 0, standard errors 1: E of X2 - noise over which of the two the noise chooses, in closed form."""
    gap = 0.7
    # The noise's difference D has variance 2; the first is chosen where sqrt(NOISE) D > -gap.
    z = gap / np.sqrt(2 * NOISE)
    expected = gap * norm.cdf(z) - np.sqrt(2) * norm.pdf(z) / np.sqrt(NOISE)
    assert shrunken([gap, 0.0], [1, 1], 0.0) == pytest.approx(expected, abs=0.01)


def test_one_variant_was_not_chosen():
    assert shrunken([0.3], [0.1]) == 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], []), "are needed"),
        (([1, 2], [1]), "are needed"),
        (([1, np.nan], [1, 1]), "finite"),
        (([1, 2], [1, 0]), "above zero"),
        (([1, 2], [1, 1], -2.0), "negative eigenvalues"),
    ],
)
def test_what_cannot_be_corrected_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        shrunken(*arguments)

"""Looks at a study before all its seeds are trained."""

import numpy as np
import pytest
from scipy import stats

from tests.statistics.test_blocks import study
from yolo26_attention.statistics import FUTILE, boundaries, compare, decide, predictive_power
from yolo26_attention.statistics.sequential import simulate_looks


def test_one_look_of_one_variant_is_the_paired_t_test():
    assert boundaries([5], 1)[0] == pytest.approx(0.05, abs=0.004)


def test_two_looks_of_a_known_error_are_pococks():
    """Many seeds: the normal case. Spending 0.05 ln(1 + (e - 1) / 2) = 0.0310 at half of the seeds."""
    first, second = boundaries([40, 80], 1)
    assert first == pytest.approx(0.0310, abs=0.003)
    # P(|Z1| < c1 and |Z2| < c2) = 0.95 with a correlation of sqrt(1 / 2).
    c1, c2 = stats.norm.isf(first / 2), stats.norm.isf(second / 2)
    normal = stats.multivariate_normal(cov=[[1, 0.5**0.5], [0.5**0.5, 1]])
    assert normal.cdf([c1, c2], lower_limit=[-c1, -c2]) == pytest.approx(0.95, abs=0.004)


@pytest.mark.parametrize(("looks", "variants"), [((3, 5, 10), 1), ((3, 8), 4)])
def test_all_looks_together_hold_the_level(looks, variants):
    """On other studies than those that the boundaries come from; without them far more are called."""
    least = simulate_looks(looks, looks, variants, 0.95, seed=5, paths=20_000)
    found = (least < boundaries(looks, variants)).any(axis=1).mean()
    assert 0.04 < found < 0.055
    assert (least < 0.05).any(axis=1).mean() > 0.075


def test_boundaries_are_the_same_each_time_and_below_the_level():
    found = boundaries([3, 5], 2, baseline_seeds=[6, 10])
    assert found == boundaries((3, 5), 2, baseline_seeds=(6, 10))
    assert all(0 < level <= 0.05 for level in found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 1), "increasing numbers of seeds"),
        (([1, 3], 1), "at least two"),
        (([5, 3], 1), "increasing"),
        (([3, 5], 0), "at least one is compared"),
        (([3, 5], 1, 5), r"for example 0\.95"),
        (([3, 5], 1, 0.95, [6]), "for each look"),
        (([3, 5], 1, 0.95, [6, 5]), "does not decrease"),
    ],
)
def test_looks_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        boundaries(*arguments)


def test_decisions_follow_the_intervals_at_the_boundary():
    scores = study((8,) * 5, (0, 8, -8, 0, 1.5), seed=4)
    model = compare(scores, "baseline")
    assert decide(model, 0.02, 0.1) == {"a": "better", "b": "worse", "c": "open", "d": "open"}
    assert decide(model, 0.02, 50) == dict.fromkeys("abcd", "no_difference")
    edge = abs(model["c"].difference) + model.critical_at(0.98) * model["c"].se
    assert decide(model, 0.02, 1.001 * edge)["c"] == "no_difference"
    assert decide(model, 0.02, 0.999 * edge)["c"] == "open"
    assert decide(model, model["d"].p_adjusted * 1.01, 0.1)["d"] == "better"
    assert decide(model, model["d"].p_adjusted * 0.99, 0.1)["d"] == "open"


def test_predictive_power_is_that_of_simulation():
    """Difference and spread so far; the mean drawn from what they say of it, then the seeds to come."""
    generator = np.random.default_rng(0)
    estimate, se, df, now, left, margin, critical = 0.8, 0.5, 8, 3, 7, 0.9, 2.5
    s = np.sqrt(df / generator.chisquare(df, 400_000)) * se
    truth = estimate + s * generator.standard_normal(400_000)
    later = truth + s * np.sqrt(now / left) * generator.standard_normal(400_000)
    last, last_se = (now * estimate + left * later) / 10, se * np.sqrt(now / 10)
    expected = ((np.abs(last) > critical * last_se) | (np.abs(last) < margin - critical * last_se)).mean()
    assert predictive_power(estimate, se, df, now, left, margin, critical) == pytest.approx(expected, abs=0.004)


def test_futile_is_what_hardly_any_seeds_decide():
    hopeless = predictive_power(0.0, 1.0, 8, 3, 1, margin=0.1, critical=3.0)
    assert hopeless < FUTILE == 0.1
    assert predictive_power(3.5, 1.0, 8, 3, 7, margin=0.1, critical=3.0) >= FUTILE
    assert predictive_power(4.0, 1.0, 8, 3, 0, margin=0.1, critical=3.0) == 1
    assert predictive_power(1.0, 1.0, 8, 3, 0, margin=0.1, critical=3.0) == 0
    assert predictive_power(0.0, 0.01, 8, 3, 3, margin=0.1, critical=3.0) > 0.99


@pytest.mark.parametrize(
    ("change", "message"),
    [({"se": 0}, "positive numbers"), ({"margin": 0}, "margin=0"), ({"seeds_now": 0}, "at least 1")],
)
def test_predictive_power_of_nothing_is_refused(change, message):
    arguments = {"estimate": 0, "se": 1, "df": 4, "seeds_now": 3, "seeds_left": 2, "margin": 1, "critical": 3} | change
    with pytest.raises(ValueError, match=message):
        predictive_power(**arguments)

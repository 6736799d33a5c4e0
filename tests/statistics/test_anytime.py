"""An interval that may be looked at after every seed."""

import numpy as np
import pytest
from scipy import stats

from yolo26_attention.statistics import anytime_interval


def test_anytime_interval_ends_where_the_bayes_factor_is_twenty():
    """Bayes factor of a normal mixture of variance 10, from the integral over the effect size."""
    values = np.array([0.3, 1.1, -0.4, 0.9, 0.7, 1.6])
    interval = anytime_interval(values)
    for mean in (interval.low, interval.high):
        t = (values.mean() - mean) / (values.std(ddof=1) / np.sqrt(6))
        effect = np.linspace(-25, 25, 20_001)
        likelihood = stats.nct.pdf(t, 5, effect * np.sqrt(6)) / stats.t.pdf(t, 5)
        factor = np.trapezoid(likelihood * stats.norm.pdf(effect, scale=np.sqrt(10)), effect)
        assert factor == pytest.approx(20, rel=0.01)


def test_anytime_interval_holds_at_all_times():
    generator = np.random.default_rng(0)
    missed = 0
    for _ in range(300):
        values = generator.standard_normal(25)
        intervals = [anytime_interval(values[:n]) for n in range(2, 26)]
        missed += any(not i.low <= 0 <= i.high for i in intervals)
    assert missed / 300 <= 0.05


def test_anytime_interval_of_few_seeds():
    assert anytime_interval([1.0]).high == np.inf
    assert anytime_interval([1.0, 2.0]).low == -np.inf
    assert np.isfinite(anytime_interval([1.0, 2.0, 1.5, np.nan]).low)
    with pytest.raises(ValueError, match="at least one"):
        anytime_interval([np.nan])


def test_equal_differences_say_nothing_about_other_seeds():
    for values in ([0.01] * 5, [0.1 + 0.2, 0.3, 0.3]):
        interval = anytime_interval(values)
        assert (interval.low, interval.high) == (-np.inf, np.inf)

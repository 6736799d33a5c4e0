"""One model for all runs of a study."""

import numpy as np
import pytest
from scipy import stats

from yolo26_attention.statistics import compare, mean_interval
from yolo26_attention.statistics.paired import paired_t

NAMES = ("baseline", "a", "b", "c", "d")


def study(counts=(3, 3, 3, 3, 3), effects=(0, 0, 0, 0, 0), seed=0, seed_effect=0.0):
    generator = np.random.default_rng(seed)
    blocks = seed_effect * generator.standard_normal(max(counts))
    return {
        name: {s: 0.5 + effect + blocks[s] + generator.standard_normal() for s in range(count)}
        for name, count, effect in zip(NAMES, counts, effects, strict=False)
    }


def least_squares(scores, blocked):
    """Differences, standard errors and degrees of freedom from the normal equations, baseline and seed 0 left out."""
    names, seeds = list(scores), sorted({s for own in scores.values() for s in own})
    rows, y = [], []
    for name, own in scores.items():
        for s, value in own.items():
            rows.append([1.0, *(name == n for n in names[1:]), *((s == t for t in seeds[1:]) if blocked else ())])
            y.append(value)
    X, y = np.array(rows, dtype=float), np.array(y)
    beta, *_ = np.linalg.lstsq(X, y, rcond=None)
    df = len(y) - np.linalg.matrix_rank(X)
    covariance = np.linalg.inv(X.T @ X) * ((y - X @ beta) ** 2).sum() / df
    return beta[1 : len(names)], np.sqrt(np.diag(covariance))[1 : len(names)], df


def test_one_variant_is_the_paired_t_test():
    scores = study((5, 5), (0, 1))
    model = compare(scores, "baseline")
    difference = mean_interval(np.array(list(scores["a"].values())) - list(scores["baseline"].values()), 0.95)
    found = model["a"]
    assert model.form == "paired"
    assert model.blocks
    assert (found.difference, found.low, found.high) == pytest.approx(
        (difference.mean, difference.low, difference.high)
    )
    assert (found.p, found.p_adjusted, found.df) == pytest.approx((paired_t(difference), paired_t(difference), 4))


@pytest.mark.parametrize("counts", [(4, 4, 4, 4), (6, 3, 4, 3)])
def test_one_error_without_blocks_is_scipys_dunnett(counts):
    scores = study(counts, (0, 1, 0.3, -2), seed=2)
    model = compare(scores, "baseline", form="shared")
    assert not model.blocks
    baseline, *others = [list(own.values()) for own in scores.values()]
    result = stats.dunnett(*others, control=baseline, rng=np.random.default_rng(0))
    interval = result.confidence_interval(0.95)
    assert [c.p_adjusted for c in model.comparisons] == pytest.approx(result.pvalue, abs=2e-3)
    assert [c.low for c in model.comparisons] == pytest.approx(interval.low, abs=0.02)
    assert [c.high for c in model.comparisons] == pytest.approx(interval.high, abs=0.02)


@pytest.mark.parametrize("seed_effect", [0, 5])
@pytest.mark.parametrize("counts", [(4, 4, 4), (6, 3, 4), (3, 5, 2)])
def test_estimates_and_errors_are_those_of_least_squares(counts, seed_effect):
    scores = study(counts, (0, 1, -1), seed=1, seed_effect=seed_effect)
    del scores["b"][1]
    model = compare(scores, "baseline", form="shared")
    assert model.blocks == bool(seed_effect)
    differences, errors, df = least_squares(scores, model.blocks)
    assert [c.difference for c in model.comparisons] == pytest.approx(differences)
    assert [c.se for c in model.comparisons] == pytest.approx(errors)
    assert model.df == df


def test_all_pairs_without_blocks_are_tukeys():
    scores = study((5, 5, 5), (0, 2, 1), seed=3)
    model = compare(scores, "baseline", pairs=True, form="shared")
    result = stats.tukey_hsd(*[list(own.values()) for own in scores.values()])
    assert not model.blocks
    assert [(c.variant, c.against) for c in model.comparisons] == [("a", "baseline"), ("b", "baseline"), ("b", "a")]
    assert [c.p_adjusted for c in model.comparisons] == pytest.approx(result.pvalue[[1, 2, 2], [0, 0, 1]], abs=2e-3)


def test_blocks_take_the_seeds_effects_out():
    scores = study(effects=(0, 4, 0, 0, 0), seed_effect=50)
    model = compare(scores, "baseline")
    assert model.blocks
    assert model.sd < 3
    assert model["a"].p_adjusted < 0.05
    assert "seeds are blocks" in model.reason


def test_all_seeds_of_the_baseline_count_where_seeds_have_no_effect():
    scores = study((6, 3, 3, 3, 3), seed=2)
    model = compare(scores, "baseline")
    assert not model.blocks
    assert model["a"].difference == pytest.approx(
        np.mean(list(scores["a"].values())) - np.mean(list(scores["baseline"].values()))
    )


def test_interval_excludes_zero_exactly_where_p_is_small():
    for seed in range(12):
        model = compare(study(effects=(0, 3, 2, 0, 0), seed=seed), "baseline")
        for c in model.comparisons:
            assert (c.low > 0 or c.high < 0) == (c.p_adjusted < 0.05)
            assert c.p <= c.p_adjusted


def test_units_and_origin_do_not_matter():
    scores = study(effects=(0, 2, 0, 0, 0))
    other = {name: {s: 100 + 0.01 * v for s, v in own.items()} for name, own in scores.items()}
    one, two = compare(scores, "baseline"), compare(other, "baseline")
    assert [c.p_adjusted for c in one.comparisons] == pytest.approx([c.p_adjusted for c in two.comparisons])


def test_scores_that_are_not_finite_are_left_out():
    scores = study()
    scores["a"][0] = float("nan")
    scores["e"] = {0: float("inf")}
    model = compare(scores, "baseline")
    finite = {
        "baseline": scores["baseline"],
        "a": {s: v for s, v in scores["a"].items() if s},
        **{v: scores[v] for v in "bcd"},
    }
    assert model == compare(finite, "baseline")
    with pytest.raises(KeyError):
        model["e"]


def test_variants_without_a_common_seed_are_compared_without_blocks():
    scores = {"baseline": {0: 1.0, 1: 2.0}, "a": {2: 1.5, 3: 2.5}, "b": {4: 4.0, 5: 3.0}}
    model = compare(scores, "baseline", form="shared")
    assert not model.blocks
    assert model["a"].difference == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        ({"a": {0: 1.0}}, {}, "baseline='baseline' has no finite score; there are a"),
        ({"baseline": {0: 1.0}}, {}, "at least one a finite score"),
        ({"baseline": {0: 1.0}, "a": {0: 2.0}}, {}, "two seeds each"),
        ({"baseline": {0: 1.0, 1: 1.0}, "a": {0: 1.0, 1: 1.0}}, {}, "do not vary"),
        ({"baseline": {0: 1.0, 1: 2.0}, "a": {0: 1.0, 1: 3.0}}, {"level": 95}, r"for example 0\.95"),
    ],
)
def test_what_cannot_be_compared_is_refused(scores, options, message):
    with pytest.raises(ValueError, match=message):
        compare(scores, "baseline", **options)

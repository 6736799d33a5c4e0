"""Groups of variants that cannot be told apart."""

import numpy as np
import pytest

from yolo26_attention.statistics import indistinguishable

SEEDS = 10


def noisy(mean, scale, seed):
    noise = np.random.default_rng(seed).standard_normal(SEEDS)
    return dict(enumerate(mean + scale * (noise - noise.mean())))


def test_clear_differences_rank():
    scores = {"low": noisy(0.1, 0.001, 0), "high": noisy(0.9, 0.001, 1), "middle": noisy(0.5, 0.001, 2)}
    assert indistinguishable(scores) == [["high"], ["middle"], ["low"]]


def test_group_within_another_is_not_named():
    scores = {"a": noisy(0.9, 0.001, 0), "b": noisy(0.5, 0.02, 1), "c": noisy(0.499, 0.02, 2)}
    assert indistinguishable(scores) == [["a"], ["b", "c"]]


def test_one_in_between_is_in_both_groups():
    scores = {"a": noisy(0.50, 0.01, 0), "b": noisy(0.48, 0.1, 1), "c": noisy(0.46, 0.01, 2)}
    assert indistinguishable(scores) == [["a", "b"], ["b", "c"]]


def test_chance_is_one_group():
    scores = {name: noisy(0.5, 0.02, seed) for seed, name in enumerate("abcdef")}
    (group,) = indistinguishable(scores)
    assert sorted(group) == list("abcdef")
    means = [np.mean(list(scores[name].values())) for name in group]
    assert means == sorted(means, reverse=True)


def test_all_pairs_are_held_to_one_level():
    """Alone the two differ at 0.05; as one pair of 15 they do not."""
    step = dict(enumerate(0.5 + 0.01 * np.arange(SEEDS)))
    noise = 0.018 * np.random.default_rng(5).standard_normal(SEEDS)
    scores = {"a": step, "b": {seed: step[seed] - 0.015 + noise[seed] for seed in step}}
    assert indistinguishable(scores) == [["a"], ["b"]]
    others = {f"other{n}": noisy(0.53, 0.05, n) for n in range(4)}
    assert any({"a", "b"} <= set(group) for group in indistinguishable(scores | others))


@pytest.mark.parametrize(
    ("scores", "groups"),
    [
        pytest.param({}, [], id="empty"),
        pytest.param({"a": {}, "b": {0: np.nan}}, [], id="no-finite-score"),
        pytest.param({"a": {0: 0.1}, "b": {0: 0.9}}, [["b", "a"]], id="one-seed"),
        pytest.param({"a": {0: 0.1, 1: 0.2}, "b": {0: 0.1, 1: 0.2}}, [["a", "b"]], id="equal"),
    ],
)
def test_what_cannot_be_tested_is_not_told_apart(scores, groups):
    assert indistinguishable(scores) == groups


def test_a_variant_with_one_seed_is_told_apart_from_nobody():
    scores = {"a": noisy(0.9, 0.001, 0), "b": noisy(0.1, 0.001, 1), "once": {0: 0.5}}
    assert indistinguishable(scores) == [["a", "once"], ["once", "b"]]

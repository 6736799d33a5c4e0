"""Effects that add up, from runs with one value of each factor."""

import itertools

import numpy as np
import pytest

from yolo26_attention.statistics.additive import worth

FACTORS = ["p3", "p5"]
GRID = {(i, j): (i, j) for i, j in itertools.product(range(3), range(2))}


def test_effects_without_noise_are_found_exactly():
    scores = {point: 0.3 + [0, 0.1, -0.05][point[0]] + [0, 0.02][point[1]] for point in GRID}
    found = {(each.factor, each.value): each for each in worth(GRID, scores, FACTORS)}
    assert {key: round(each.effect, 9) for key, each in found.items()} == {
        ("p3", 1): 0.1, ("p3", 2): -0.05, ("p5", 1): 0.02,
    }  # fmt: skip
    assert [each.runs for each in found.values()] == [2, 2, 3]


def test_intervals_hold_as_often_as_they_say():
    generator = np.random.default_rng(0)
    points = {run: tuple(generator.integers(0, (3, 2)).tolist()) for run in range(14)}
    covered = []
    for _ in range(400):
        scores = {run: 0.1 * (point[0] == 1) + generator.normal() * 0.05 for run, point in points.items()}
        first = worth(points, scores, FACTORS)[0]
        covered.append(first.low <= 0.1 <= first.high)
    assert 0.92 <= np.mean(covered) <= 0.98


def test_what_the_runs_do_not_tell_apart_has_no_number():
    found = worth({0: (0, 0), 1: (1, 1), 2: (0, 0), 3: (1, 1)}, {0: 0.1, 1: 0.2, 2: 0.1, 3: 0.2}, FACTORS)
    assert [each.effect for each in found] == [None, None]


def test_without_degrees_of_freedom_there_is_no_interval():
    (found,) = worth({0: (0,), 1: (1,)}, {0: 0.1, 1: 0.3}, ["p3"])
    assert (round(found.effect, 9), found.low, found.high) == (0.2, None, None)


@pytest.mark.parametrize(("points", "scores"), [({}, {}), ({0: (1,)}, {0: 0.1})])
def test_runs_without_a_value_for_each_factor_are_refused(points, scores):
    with pytest.raises(ValueError, match="each needs one value for each of the factors p3, p5"):
        worth(points, scores, FACTORS)

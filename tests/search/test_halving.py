"""Ranks of candidates, the epochs after which they are ranked, and the predicted cost."""

import pytest

from yolo26_attention.search.candidates import Candidate, Space, costing, predicted_ratio
from yolo26_attention.search.definition import Budget, SearchFile
from yolo26_attention.search.halving import continuing, front, ranked, rungs

SITES = {"p3": ["none", "acmix", {"name": "se", "mode": "replace"}], "p5": ["none", ["se", "simam"]]}


def space(values=None, **common):
    return Space(SearchFile("?", values or SITES, Budget(1.2, 4), common=common))


@pytest.mark.parametrize(("epochs", "expected"), [(12, [3, 6, 12]), (100, [25, 50, 100]), (5, [2, 3, 5]), (1, [1])])
def test_rungs_are_quarters_of_the_full_schedule(epochs, expected):
    assert rungs(epochs) == expected


def test_the_front_has_what_no_other_candidate_beats():
    scores, costs = {"a": 0.5, "b": 0.6, "c": 0.6, "d": 0.4}, {"a": 1.0, "b": 1.2, "c": 1.1, "d": 1.1}
    assert front(scores, costs) == ["a", "c"]


def test_candidates_are_ranked_by_score_and_equal_ones_by_cost():
    scores, costs = {"a": 0.5, "b": 0.6, "c": 0.6, "d": 0.4}, {"a": 1.0, "b": 1.2, "c": 1.1, "d": 1.1}
    assert ranked(scores, costs) == ["c", "b", "a", "d"]
    assert continuing(scores, costs) == ["c", "b"]


def test_nobody_is_left_out_before_most_have_learned_something():
    scores = {"a": 0.009, "b": 0.02, "c": 0.001}
    assert list(continuing(scores, scores)) == ["a", "b", "c"]
    assert list(continuing({**scores, "a": 0.011}, dict.fromkeys("abc", 1.0))) == ["b", "a"]


def test_half_of_an_odd_number_is_rounded_up_and_equal_candidates_keep_their_order():
    equal = dict.fromkeys("abc", 0.5)
    assert continuing(equal, equal) == ["a", "b"]


def test_a_candidate_is_a_mix_of_the_sites_that_have_something():
    found = space(trainer=1)
    assert found.label(found.reference) == "baseline"
    assert found.options(found.reference) == {"attention": "baseline", "trainer": 1}
    assert found.overrides(Candidate((1, 1))) == [
        "attention=mix",
        "attention.grafts={p3:acmix,p5:[se,simam]}",
        "trainer=1",
    ]
    assert found.label(Candidate((0, 1))) == "p5=[se,simam]"
    assert len(list(found)) == 6


def test_a_placebo_stands_in_for_each_attention():
    found = space()
    assert found.placebo(found.reference) is None
    assert found.placebo(Candidate((2, 1)))["attention.grafts"] == {
        "p3": {"name": "placebo", "matches": "se", "mode": "replace"},
        "p5": [{"name": "placebo", "matches": "se"}, {"name": "placebo", "matches": "simam"}],
    }


def test_options_beside_sites_are_options_of_the_run_and_cost_nothing():
    found = space({"p3": ["none", "se"], "optimizer": ["musgd", "adamw"]})
    assert found.overrides(Candidate((0, 1))) == ["attention=baseline", "optimizer=adamw"]
    assert [found.label(one) for one in costing(found)] == ["baseline", "p3=se"]
    costs = {"baseline": 1.0, "p3=se": 1.1}
    assert predicted_ratio(found, Candidate((1, 1)), costs) == pytest.approx(1.1)


def test_what_values_cost_adds_up():
    found = space()
    costs = {"baseline": 1.0, "p3=acmix": 1.2, "p3={name:se,mode:replace}": 1.05, "p5=[se,simam]": 1.1}
    assert set(costs) == {found.label(one) for one in costing(found)}
    assert predicted_ratio(found, Candidate((1, 1)), costs) == pytest.approx(1.3)

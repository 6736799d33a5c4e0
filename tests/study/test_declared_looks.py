"""Looks are judged in their order, decisions stand, and what a decision makes needless is trained no further."""

import numpy as np
import pytest

from yolo26_attention.study.declaration import Declaration
from yolo26_attention.study.declared_looks import needed_seeds, replay

PLAN = Declaration(seeds=tuple(range(6)), baseline_seeds=tuple(range(6)), looks=(3, 4, 6), stop=True)
NOISE = np.random.default_rng(7).normal(0, 0.004, (9, 6))


def scores(**shifts):
    """Six seeds of a baseline and of variants that differ from it by so much."""
    return {
        name: {seed: 0.4 + shift + NOISE[row, seed] for seed in range(6)}
        for row, (name, shift) in enumerate({"baseline": 0.0, **shifts}.items())
    }


def up_to(counts, found):
    """Scores of the first seeds of each, and whether a run has ended."""
    kept = {name: {seed: own[seed] for seed in range(counts[name])} for name, own in found.items()}
    return kept, lambda variant, seed: seed < counts[variant]


def stand(found, plan=PLAN, margin=0.002, **counts):
    kept, settled = up_to({name: counts.get(name, counts.get("all", 6)) for name in found}, found)
    return replay(kept, settled, "baseline", plan, margin)


def test_before_the_first_look_nothing_is_decided():
    standing = stand(scores(better=0.1), all=2)
    assert (standing.complete, standing.arms) == (0, {})
    assert standing.text == "the first look is at 3 seeds"
    assert needed_seeds(standing, PLAN, "better", False) == (0, 1, 2)


def test_a_look_waits_for_every_run():
    assert stand(scores(better=0.1, open=0.01), better=3, open=2, baseline=3).complete == 0


def test_the_first_look_decides_what_is_clear_and_leaves_the_rest():
    standing = stand(scores(better=0.1, worse=-0.1, open=0.012), all=3)
    assert standing.complete == 1
    assert {name: arm.outcome for name, arm in standing.arms.items()} == {
        "better": "better",
        "worse": "worse",
        "open": "open",
    }
    assert 0.1 <= standing.arms["open"].power <= 1
    assert needed_seeds(standing, PLAN, "better", False) == (0, 1, 2)
    assert needed_seeds(standing, PLAN, "open", False) == (0, 1, 2, 3)
    assert needed_seeds(standing, PLAN, "baseline", True) == (0, 1, 2, 3)
    assert "better: better" in standing.text
    assert "look 1 of 3, at 3 seeds" in standing.text


def test_stopped_variants_are_not_waited_for_and_their_decision_stands():
    found = scores(better=0.1, worse=-0.1, open=0.012)
    standing = stand(found, better=3, worse=3, open=4, baseline=4)
    assert standing.complete == 2
    assert (standing.arms["better"].look, standing.arms["open"].look) == (1, 2)


def test_without_stop_every_run_is_waited_for_and_the_first_decision_stands():
    plan = Declaration(seeds=PLAN.seeds, baseline_seeds=PLAN.seeds, looks=PLAN.looks)
    found = scores(better=0.1, open=0.012)
    assert stand(found, plan, better=3, open=4, baseline=4).complete == 1
    standing = stand(found, plan, all=6)
    assert standing.complete == 3
    assert standing.arms["better"].look == 1
    assert needed_seeds(standing, plan, "better", False) == PLAN.seeds


def test_what_learned_nothing_is_stopped_and_no_part_of_the_model():
    found = scores(nothing=-0.4, better=0.1)
    found["nothing"] = {seed: 1e-5 * seed for seed in range(6)}
    standing = stand(found, all=3)
    assert {name: arm.outcome for name, arm in standing.arms.items()} == {"nothing": "unlearned", "better": "better"}
    assert (
        standing.arms["better"] == stand({name: found[name] for name in ("baseline", "better")}, all=3).arms["better"]
    )


def test_no_difference_is_decided_too():
    standing = stand(scores(same=0.0), margin=0.2, all=3)
    assert standing.arms["same"].outcome == "no_difference"


def test_what_cannot_be_decided_any_more_is_stopped():
    """A difference of the margin's size with a spread that six seeds cannot resolve."""
    rows = np.random.default_rng(1).normal(0, 0.05, (2, 6))
    found = {name: dict(enumerate(0.4 + rows[row])) for row, name in enumerate(["baseline", "hopeless"])}
    standing = stand(found, margin=0.001, all=4)
    assert standing.arms["hopeless"].outcome == "futile"
    assert "cannot be decided with the seeds that are left" in standing.text
    assert needed_seeds(standing, PLAN, "baseline", True) == PLAN.seeds[: standing.looks[standing.complete - 1]]


def test_the_last_look_leaves_what_is_open_undecided():
    standing = stand(scores(open=0.01), margin=0.0001, all=6)
    assert standing.complete in {1, 2, 3}
    if standing.arms["open"].outcome == "open":
        assert standing.arms["open"].power is None


@pytest.mark.parametrize("missing", [0, 2])
def test_a_run_that_failed_holds_no_look_up(missing):
    found = scores(better=0.1, other=0.1)
    kept, settled = up_to(dict.fromkeys(found, 3), found)
    del kept["better"][missing]
    standing = replay(kept, settled, "baseline", PLAN, 0.02)
    assert standing.complete == 1
    assert standing.arms["better"].outcome == "better"

"""What a search starts next."""

from yolo26_attention.search.candidates import Space
from yolo26_attention.search.definition import Budget, SearchFile
from yolo26_attention.search.proposals import propose

SPACE = Space(SearchFile("?", {site: ["none", "acmix", "se"] for site in ("p3", "p4", "p5")}, Budget(1.2, 4)))
ALL = list(SPACE)
COSTS = {one: 1.0 + 0.1 * len(one.changed) for one in ALL}


def score(candidate):
    return 0.3 + 0.1 * (candidate.indices[0] == 1) - 0.05 * (candidate.indices[2] == 2)


def run(steps, at_once=4, seed=0):
    started = {}
    for _ in range(steps):
        for one in propose(SPACE, ALL, started, COSTS, count=at_once, seed=seed):
            started[one] = score(one)
    return list(started)


def test_nothing_is_proposed_twice_and_the_reference_is_first():
    order = run(7)
    assert order[0] == SPACE.reference
    assert len(set(order)) == len(order) == 27


def test_proposals_depend_on_the_seed_and_on_nothing_else():
    assert run(4) == run(4)
    assert run(4) != run(4, seed=1)


def test_candidates_that_failed_are_not_proposed_again():
    started = dict.fromkeys(ALL[:25], None)
    assert set(propose(SPACE, ALL, started, COSTS, count=4, seed=0)) == set(ALL[25:])


def test_good_values_are_proposed_more_often_than_by_chance():
    """Of the third dozen and later, more than a third has the value that is worth most."""
    shares = []
    for seed in range(5):
        late = run(5, seed=seed)[12:]
        shares.append(sum(one.indices[0] == 1 for one in late) / len(late))
    assert sum(shares) / len(shares) > 1 / 3

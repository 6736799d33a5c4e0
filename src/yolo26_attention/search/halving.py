"""Successive halving: all candidates start, and the better half of them continues at 1/4 and at 1/2 of the schedule.

Source: Jamieson and Talwalkar (2016), Non-stochastic best arm identification. In contrast to the paper, a candidate
continues its own training: the learning rate follows the full schedule, so that the last rung is an ordinary run.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TypeVar

T = TypeVar("T")
LEARNED = 0.01  # mAP50-95 below which a rank says nothing


def rungs(epochs: int) -> list[int]:
    """Completed epochs after which candidates are ranked; the last one is the end of the training."""
    return sorted({max(-(-epochs // 4), 1), max(-(-epochs // 2), 1), epochs})


def front(scores: Mapping[T, float], costs: Mapping[T, float]) -> list[T]:
    """The candidates that no other one beats: none has at least this score at a lower cost, or more at this cost."""
    return [
        one
        for one in scores
        if not any(
            scores[other] >= scores[one]
            and costs[other] <= costs[one]
            and (scores[other] > scores[one] or costs[other] < costs[one])
            for other in scores
        )
    ]


def ranked(scores: Mapping[T, float], costs: Mapping[T, float]) -> list[T]:
    """All candidates, best first: by score, equal scores by cost, and if both are equal in their order.

    The budget bounds the cost. To rank by fronts of score and cost, as NSGA-II does, continues cheap candidates that
    score low: with 16 runs on the table of `benchmarks/search.py`, it left a regret of 0.0068, and this order 0.0025.
    """
    return sorted(scores, key=lambda one: (-scores[one], costs[one]))


def continuing(scores: Mapping[T, float], costs: Mapping[T, float]) -> Sequence[T]:
    """The candidates that continue: the better half, rounded up; all of them while half have learned next to nothing.

    On a schedule of eight epochs (benchmarks/RESULTS.md), ranks at a mAP50-95 of 0.006 said the opposite of those at
    the end.
    """
    if scores and median(scores.values()) < LEARNED:
        return list(scores)
    return ranked(scores, costs)[: -(-len(scores) // 2)]

"""Which candidates a search starts next: multi-objective TPE, by Optuna, from what was started before.

Proposals depend on the seed, on their number, and on the earlier results only, so that a killed search ends as an
undisturbed one.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from yolo26_attention.search.candidates import Candidate, Space

if TYPE_CHECKING:
    from optuna import Study

TRIES = 20  # proposals of TPE before an untried candidate is drawn at random


def propose(
    space: Space,
    affordable: Sequence[Candidate],
    started: Mapping[Candidate, float | None],
    costs: Mapping[Candidate, float],
    *,
    count: int,
    seed: int,
) -> list[Candidate]:
    """Propose candidates that were not started yet; the reference is the first one of a search.

    Args:
        space: all candidates.
        affordable: those within the budget.
        started: candidates that were started, in order, with their score at the first rung; None if they failed.
        costs: predicted ratio of each affordable candidate.
        count: number of proposals; fewer are returned if fewer are left.
        seed: seed of the search.

    Source: Ozaki et al. (2022), Multiobjective tree-structured Parzen estimator, as Optuna implements it.
    """
    left = {candidate: None for candidate in affordable if candidate not in started}
    chosen: list[Candidate] = []
    if not started and space.reference in left:
        chosen.append(space.reference)
        del left[space.reference]
    history = None
    while left and len(chosen) < count:
        if len(left) <= count - len(chosen):
            return [*chosen, *left]
        history = history or _history(space, started, costs)
        number = len(started) + len(chosen)
        candidate = _sampled(history, space, left, seed, number) or _drawn(left, seed, number)
        chosen.append(candidate)
        del left[candidate]
    return chosen


def _history(space: Space, started: Mapping[Candidate, float | None], costs: Mapping[Candidate, float]) -> "Study":
    """An Optuna study of what was started."""
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["maximize", "minimize"])
    distributions: dict[str, BaseDistribution] = {
        key: CategoricalDistribution(tuple(range(len(values))))
        for key, values in zip(space.keys, space.values, strict=True)
    }
    for candidate, score in started.items():
        study.add_trial(
            create_trial(
                state=TrialState.FAIL if score is None else TrialState.COMPLETE,
                params=dict(zip(space.keys, candidate.indices, strict=True)),
                distributions=distributions,
                values=None if score is None else [score, costs[candidate]],
            )
        )
    return study


def _sampled(
    history: "Study", space: Space, left: Mapping[Candidate, None], seed: int, number: int
) -> Candidate | None:
    """TPE's proposal, if one of its first ones is left."""
    from optuna.samplers import TPESampler

    for attempt in range(TRIES):
        history.sampler = TPESampler(seed=_seed(seed, number, attempt))
        trial = history.ask()
        indices = [
            trial.suggest_categorical(key, tuple(range(len(values))))
            for key, values in zip(space.keys, space.values, strict=True)
        ]
        candidate = Candidate(tuple(map(int, indices)))
        if candidate in left:
            return candidate
    return None


def _drawn(left: Mapping[Candidate, None], seed: int, number: int) -> Candidate:
    candidates = list(left)
    return candidates[int(np.random.default_rng(_seed(seed, number, TRIES)).integers(len(candidates)))]


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])

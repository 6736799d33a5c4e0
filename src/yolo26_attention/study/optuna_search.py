"""A search that Optuna proposes, by ask and tell: its space, its storage, its trials, and its answer.

    python -m src.train -m hydra/sweeper=optuna attention=acmix 'attention.heads=choice(1,2,4,8)' study=search

A trial is stored when it is proposed and when its run has ended. One that was running when the search was killed runs
again, and its run resumes. Proposals depend on the seed, the number of the trial and the results before, so a search
that was killed ends as one that was not.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.files.record import OBJECTIVES
from yolo26_attention.study.optuna_storage import open_storage
from yolo26_attention.text_tables import aligned

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.study import StudyDirection

SAMPLERS = ("tpe", "random", "grid", "nsgaii", "gp")
# Overrides that change no result, so that a search may go on with others.
FREE = ("output_dir=", "study=", "tracking", "trainer.device=", "trainer.threads=", "trainer.workers=")


@dataclass(frozen=True)
class Goal:
    """What a search looks for: names of OBJECTIVES, and upper bounds of some."""

    maximize: tuple[str, ...]
    minimize: tuple[str, ...]
    at_most: Mapping[str, float]

    def __post_init__(self) -> None:
        """Refuse a goal that cannot be searched for.

        Raises:
            ConfigError: for an unknown name, or without an objective.
        """
        for key, names in (("maximize", self.maximize), ("minimize", self.minimize), ("at_most", self.at_most)):
            for name in names:
                if name not in OBJECTIVES:
                    raise ConfigError(f"hydra.sweeper.{key}: {name} is unknown; choose from {', '.join(OBJECTIVES)}")
        for name, bound in self.at_most.items():
            if not isinstance(bound, int | float):
                raise ConfigError(f"hydra.sweeper.at_most.{name}={bound}: give a number, the largest that is allowed")
        if not self.objectives:
            raise ConfigError("hydra.sweeper.maximize=[] and minimize=[]: a search needs one objective, map50_95 say")

    @property
    def objectives(self) -> tuple[str, ...]:
        """The names in Optuna's order."""
        return (*self.maximize, *self.minimize)

    @property
    def directions(self) -> "list[StudyDirection]":
        """Optuna's direction of each objective."""
        from optuna.study import StudyDirection

        return [StudyDirection.MAXIMIZE] * len(self.maximize) + [StudyDirection.MINIMIZE] * len(self.minimize)

    @property
    def measured(self) -> tuple[str, ...]:
        """What a run has to return."""
        return tuple(dict.fromkeys([*self.objectives, *self.at_most]))


class Search:
    """A stored search.

    Args:
        storage: a URL of SQLAlchemy, or the path of a journal file.
        name: of the search in this storage.
        goal: what to look for.
        space: the distribution of each option that is searched.
        fixed: overrides that all trials share.
        sampler: one of SAMPLERS.
        seed: of the sampler.

    Raises:
        ConfigError: if the storage has a search of this name for something else, or is of an earlier Optuna.
    """

    def __init__(
        self,
        storage: str,
        name: str,
        goal: Goal,
        space: Mapping[str, "BaseDistribution"],
        fixed: Sequence[str],
        sampler: str,
        seed: int,
    ) -> None:
        import optuna

        if sampler not in SAMPLERS:
            raise ConfigError(f"hydra.sweeper.sampler={sampler} is unknown; choose from {', '.join(SAMPLERS)}")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.goal, self.space, self.sampler, self.seed = goal, dict(space), sampler, seed
        self.grid = _grid(self.space) if sampler == "grid" else []
        self.study = optuna.create_study(
            storage=open_storage(storage), study_name=name, directions=goal.directions, load_if_exists=True
        )
        self._check_same(name, [override for override in fixed if not override.startswith(FREE)])

    def _check_same(self, name: str, fixed: list[str]) -> None:
        asked: dict[str, list[str]] = {
            "maximize": [*self.goal.maximize],
            "minimize": [*self.goal.minimize],
            "at_most": [f"{key}={value}" for key, value in self.goal.at_most.items()],
            "options": fixed,
            "sampler": [self.sampler],
            # In their order, which is that of a grid and of the random numbers.
            "space": [f"{key}={distribution!r}" for key, distribution in self.space.items()],
        }
        before: dict[str, list[str]] = self.study.user_attrs.get("asked", {})
        way_out = "study=NAME starts a search of another name"
        if not asked.keys() <= before.keys():
            if self.study.get_trials(deepcopy=False):
                raise ConfigError(
                    f"study={name}: another program made this search, or an earlier version of this one; {way_out}"
                )
            self.study.set_user_attr("asked", asked)
            return
        for key, now in asked.items():
            if before[key] != now:
                raise ConfigError(
                    f"study={name}: this search began with {key} {' '.join(before[key]) or 'none'}, and not "
                    f"{' '.join(now) or 'none'}; {way_out}"
                )

    def batch(self, at_once: int, total: int) -> list["Trial"]:
        """Return the next trials to run: those that a killed process left, and proposals up to the end of their batch.

        Args:
            at_once: trials of a batch.
            total: trials of the search, with those of earlier calls.
        """
        from optuna.trial import TrialState

        from yolo26_attention.compat.optuna import running_trial

        trials = self.study.get_trials(deepcopy=False)
        batch = []
        for trial in trials:
            if trial.state == TrialState.RUNNING:
                self.study.sampler = self._sampler_of(trial.number)
                batch.append(running_trial(self.study, trial, self.space))
        enqueued = sum(trial.state == TrialState.WAITING for trial in trials)
        known = len(trials) - enqueued
        whole = bool(batch) and known % at_once == 0  # the batch that was killed had been proposed to its end
        end = min((known // at_once + (not whole)) * at_once, total, len(self.grid) or total)
        for number in range(known, end):
            self.study.sampler = self._sampler_of(number)
            if self.grid and number >= known + enqueued:
                self.study.enqueue_trial(self.grid[number])
            batch.append(self.study.ask(self.space))
        return batch

    def _sampler_of(self, number: int) -> "BaseSampler":
        """A sampler for one trial, whose random stream does not depend on which process asks."""
        from optuna import samplers

        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        if self.sampler == "tpe":
            return samplers.TPESampler(seed=seed)
        if self.sampler == "nsgaii":
            return samplers.NSGAIISampler(seed=seed)
        return samplers.GPSampler(seed=seed) if self.sampler == "gp" else samplers.RandomSampler(seed=seed)

    def tell(self, trial: "Trial", returned: object) -> str | None:
        """Store what the run of a trial returned; why it failed, or None if it did not."""
        from optuna.trial import TrialState

        values = returned if isinstance(returned, Sequence) else [returned]
        numbers = [float(value) for value in values if isinstance(value, int | float) and np.isfinite(value)]
        if len(numbers) != len(self.goal.measured):
            self.study.tell(trial, state=TrialState.FAIL)
            return f"its run returned {returned!r}" if not isinstance(returned, BaseException) else str(returned)
        found = dict(zip(self.goal.measured, numbers, strict=True))
        for name, bound in self.goal.at_most.items():
            trial.set_constraint(name, found[name] - bound)
        self.study.tell(trial, [found[name] for name in self.goal.objectives])
        return None

    def overrides(self, trial: "Trial") -> list[str]:
        """The options of a trial as overrides of the command line."""
        return [f"{key}={_text(value)}" for key, value in trial.params.items()]

    def answer(self) -> str:
        """The trials that no other one beats in every objective, as a table.

        Raises:
            ConfigError: if no trial has finished, or none keeps the bounds.
        """
        from optuna.trial import TrialState

        finished = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if not finished:
            raise ConfigError("no trial of the search has finished; the lines above say why")
        best = self.study.best_trials
        if not best:
            bounds = ", ".join(f"{key} at most {value}" for key, value in self.goal.at_most.items())
            raise ConfigError(f"none of {len(finished)} finished trials has {bounds}; allow more, or search further")
        rows = [(*self.goal.objectives, *self.space)]
        for trial in sorted(best, key=lambda trial: trial.values[0], reverse=bool(self.goal.maximize)):
            rows.append((*(f"{value:.7g}" for value in trial.values), *map(_text, map(trial.params.get, self.space))))
        return "\n".join(
            [f"of {len(finished)} finished trials, none is better in every objective than", *aligned(rows)]
        )


def _grid(space: Mapping[str, "BaseDistribution"]) -> list[dict[str, Any]]:
    """Every point of a space, in the order of the command line.

    Raises:
        ConfigError: for an option with infinitely many values.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    values: list[Sequence[Any]] = []
    for key, distribution in space.items():
        if isinstance(distribution, CategoricalDistribution):
            values.append(distribution.choices)
        elif isinstance(distribution, IntDistribution):
            values.append(range(distribution.low, distribution.high + 1, distribution.step))
        elif isinstance(distribution, FloatDistribution) and distribution.step is not None:
            steps = round((distribution.high - distribution.low) / distribution.step)
            values.append([distribution.low + step * distribution.step for step in range(steps + 1)])
        else:
            raise ConfigError(f"hydra.sweeper.sampler=grid: {key} has infinitely many values; give a choice or a range")
    return [dict(zip(space, point, strict=True)) for point in itertools.product(*values)]


def _text(value: object) -> str:
    """A value as on the command line; 12 digits, so that 0.1 + 0.2 names the same run as 0.3."""
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    return f"{value:.12g}" if isinstance(value, float) else str(value)

"""Private API of Optuna 5. `tests/compat/` has a test for each use."""

from collections.abc import Mapping

from optuna import Study, Trial
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

__all__ = ["running_trial"]


def running_trial(study: Study, trial: FrozenTrial, space: Mapping[str, BaseDistribution]) -> Trial:
    """Take a trial up again that a killed process had begun; Optuna hands out only what it has just proposed.

    Options without a value, because the process was killed while it proposed them, get one now.
    """
    again = Trial(study, trial._trial_id)
    for name, distribution in space.items():
        again._suggest(name, distribution)
    return again

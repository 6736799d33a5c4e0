"""hydra/launcher=in_turn, the default: one run after the other in this process."""

from collections.abc import Sequence

from hydra.core.utils import JobReturn

from yolo26_attention.compat.hydra import BasicLauncher
from yolo26_attention.run.batch import tell_outcome
from yolo26_attention.run.sweep_position import sweep_of


class InTurnLauncher(BasicLauncher):
    """Hydra's basic launcher, which alone would number the runs from 0 and report only the first failed one."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run each job; the return values of failed jobs hold their errors."""
        assert self.config is not None  # `setup` has set it
        # Optuna's sweeper launches a few of its trials at a time.
        total = self.config.hydra.sweeper.get("n_trials") or initial_job_idx + len(job_overrides)
        with sweep_of(total):
            returns = super().launch(job_overrides, initial_job_idx)
        tell_outcome(returns)
        return returns

"""hydra/launcher=in_turn, the default: one run after the other in this process."""

from collections.abc import Sequence

from hydra.core.utils import JobReturn

from yolo26_attention.compat.hydra import BasicLauncher
from yolo26_attention.run.batch import tell_outcome


class InTurnLauncher(BasicLauncher):
    """Hydra's basic launcher, which alone would report only the first failed run."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run each job; the return values of failed jobs hold their errors."""
        returns = super().launch(job_overrides, initial_job_idx)
        tell_outcome(returns)
        return returns

"""hydra/launcher=slurm: run each job as a task of one job array, submitted by submitit."""

import logging
import signal
from collections.abc import Sequence
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus

from yolo26_attention.run.batch import failed, tell_outcome

if TYPE_CHECKING:
    from submitit import Job

log = logging.getLogger(__name__)

# Hydra imports every plugin, even if submitit is not installed.
if find_spec("hydra_plugins.hydra_submitit_launcher"):
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher

    class SlurmLauncher(BaseSubmititLauncher):
        """The plugin's launcher, with two differences.

        A failed run is a failed job for sacct and for dependencies; the plugin's job exits with 0. And a lost job does
        not lose the results of others; the plugin stops at the first.

        As in the plugin, jobs are requeued: submitit submits the same overrides again when Slurm sends the signal
        `signal_delay_s` before the time limit, and the run resumes after its last completed epoch.
        """

        _EXECUTOR = "slurm"

        def __call__(self, *args: Any, **kwargs: Any) -> JobReturn:
            """Run one job on the cluster.

            Raises:
                Exception: any error of the run.
                KeyboardInterrupt: if Slurm restarts the job, or its time is used up; the run has not failed.
            """
            from submitit import JobEnvironment

            _interrupt_after(signal.Signals[f"SIG{JobEnvironment.USR_SIG}"])
            returned: JobReturn = super().__call__(*args, **kwargs)
            if returned.status == JobStatus.FAILED:
                raise returned._return_value
            return returned

        def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
            """Submit all jobs as one array and wait for each; the return values of failed jobs hold their errors."""
            import submitit

            assert self.config is not None
            Path(self.config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
            options = dict(self.params)
            executor = submitit.AutoExecutor(
                folder=options.pop("submitit_folder"),
                cluster=self._EXECUTOR,
                slurm_max_num_timeout=options.pop("max_num_timeout"),
            )
            shared = {field.name for field in fields(BaseQueueConf)}
            executor.update_parameters(
                **{key if key in shared else f"slurm_{key}": value for key, value in options.items()}
            )
            numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
            jobs = executor.map_array(
                self,
                [list(overrides) for overrides in job_overrides],
                ["hydra.sweep.dir"] * len(numbers),
                numbers,
                [f"job_id_for_{number}" for number in numbers],
                [Singleton.get_state()] * len(numbers),
            )
            array = jobs[0].job_id.split("_")[0]
            log.info("Slurm job %s: %d runs; their output is in %s", array, len(jobs), jobs[0].paths.folder.parent)
            try:
                returns = [_returned(job, overrides) for job, overrides in zip(jobs, job_overrides, strict=True)]
            except KeyboardInterrupt:
                log.warning("the runs continue in Slurm without this command; scancel %s stops them", array)
                raise
            tell_outcome(returns)
            return returns


def _interrupt_after(number: int) -> None:
    """Let submitit handle its signal, then end the run as Ctrl-C does; submitit alone would exit with an error."""
    from submitit.core.utils import UncompletedJobError

    requeue = signal.getsignal(number)
    assert callable(requeue)

    def interrupt(number: int, frame: FrameType | None) -> None:
        try:
            requeue(number, frame)
        except (SystemExit, UncompletedJobError) as error:
            raise KeyboardInterrupt(f"{signal.Signals(number).name}: {error}") from error

    signal.signal(number, interrupt)


def _returned(job: "Job[JobReturn]", overrides: Sequence[str]) -> JobReturn:
    """Wait for a job, however it ends."""
    from submitit.core.utils import FailedJobError, UncompletedJobError

    try:
        return job.result()
    except FailedJobError as error:  # the run's own traceback, as text
        cause = str(error).split("\n" + "-" * 22 + "\n")[1].strip().splitlines()[-1]
        return failed(overrides, RuntimeError(f"{cause} (Slurm job {job.job_id}, {job.paths.stderr})"))
    except UncompletedJobError:  # killed, cancelled, out of memory, or its node is lost
        return failed(
            overrides, RuntimeError(f"Slurm job {job.job_id} is {job.state} without a result; see {job.paths.stderr}")
        )

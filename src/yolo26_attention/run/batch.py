"""The outcome of a batch of runs, for any launcher.

Launchers do not report it reliably: Hydra names only the first failed run, submitit calls a failed job completed, and
a job that the cluster lost hides the others. Here a job succeeds if `train` returned in it, which it does only once the
run's record says finished.
"""

import logging
import math
import traceback
from collections.abc import Sequence

from hydra.core.utils import JobReturn, JobStatus

log = logging.getLogger(__name__)


def failed(overrides: Sequence[str], error: BaseException) -> JobReturn:
    """Build a launcher's return value for a job that ended with an error, or without a result."""
    return JobReturn(overrides=list(overrides), status=JobStatus.FAILED, _return_value=error)


def has_result(job: JobReturn) -> bool:
    """Whether a completed job returned values: not if it paused, nor if another process trains its run."""
    returned = job._return_value
    values = returned if isinstance(returned, tuple) else (returned,)
    return not any(isinstance(value, float) and math.isnan(value) for value in values)


def unfinished(returns: Sequence[JobReturn]) -> list[str]:
    """Return a line for each job whose run is not finished: the overrides that not all jobs share, and the reason."""
    labels = told_apart([job.overrides or [] for job in returns])
    return [
        f"{label}: {reason(job)}"
        for label, job in zip(labels, returns, strict=True)
        if job.status != JobStatus.COMPLETED
    ]


def told_apart(jobs: Sequence[Sequence[str]]) -> list[str]:
    """Return for each job the overrides that not all jobs share."""
    shared = set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()
    return [" ".join(part for part in job if part not in shared) or "the run" for job in jobs]


def reason(job: JobReturn) -> str:
    """Describe in one line why a job has no result."""
    error = job._return_value
    if not isinstance(error, BaseException):
        return "ended without a message"
    return traceback.format_exception_only(error)[-1].strip().splitlines()[-1]


def tell_outcome(returns: Sequence[JobReturn]) -> None:
    """Log the unfinished runs of a batch; Hydra then exits with 1, because their return values hold the errors."""
    if lines := unfinished(returns):
        log.error(
            "%d of %d runs did not finish; the same command trains only these\n%s",
            len(lines),
            len(returns),
            "\n".join(f"  {line}" for line in lines),
        )

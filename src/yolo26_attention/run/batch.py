"""What became of the runs of one batch, whichever launcher ran them.

A launcher's own word is not enough: Hydra names only the first run that failed, submitit calls a failed job completed,
and a job that the cluster lost hides the others. Here a job counts if `train` returned in it, which it does only once
the run's record says finished.
"""

import logging
import traceback
from collections.abc import Sequence

from hydra.core.utils import JobReturn, JobStatus

log = logging.getLogger(__name__)


def failed(overrides: Sequence[str], error: BaseException) -> JobReturn:
    """What a launcher returns for a job that ended with an error, or without a word."""
    return JobReturn(overrides=list(overrides), status=JobStatus.FAILED, _return_value=error)


def unfinished(returns: Sequence[JobReturn]) -> list[str]:
    """A line for each job whose run is not finished: the overrides that not all jobs share, and why."""
    shared = set.intersection(*(set(job.overrides or []) for job in returns)) if len(returns) > 1 else set()
    return [
        f"{' '.join(part for part in job.overrides or [] if part not in shared) or 'the run'}: {reason(job)}"
        for job in returns
        if job.status != JobStatus.COMPLETED
    ]


def reason(job: JobReturn) -> str:
    """Why a job has no result, in one line."""
    error = job._return_value
    if not isinstance(error, BaseException):
        return "ended without a word"
    return traceback.format_exception_only(error)[-1].strip().splitlines()[-1]


def tell_outcome(returns: Sequence[JobReturn]) -> None:
    """Log which runs of a batch did not finish; Hydra then exits with 1, since their returns carry the errors."""
    if lines := unfinished(returns):
        log.error(
            "%d of %d runs did not finish; the same command trains only what is missing\n%s",
            len(lines),
            len(returns),
            "\n".join(f"  {line}" for line in lines),
        )

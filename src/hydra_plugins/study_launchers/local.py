"""hydra/launcher=local: several runs at a time on this machine, each in a process of its own that sees one GPU."""

import logging
import os
import pickle
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.study_launchers.job import Shared, job_configs, task_config
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.registration import run_config
from yolo26_attention.counts import number_of
from yolo26_attention.run.batch import failed, has_result, reason, tell_outcome, told_apart

log = logging.getLogger(__name__)
POLL_SECONDS = 0.2
GRACE_SECONDS = 60.0  # for the batch in progress and the record; then an interrupted process is killed


@dataclass
class _Job:
    """A job of the batch, and how often another process took it over."""

    number: int
    label: str
    overrides: Sequence[str]
    config: DictConfig
    retries: int = 0


@dataclass
class _Worker:
    """A living process. `gpu` is what it has in CUDA_VISIBLE_DEVICES; None leaves that as it is."""

    job: _Job
    gpu: str | None
    process: subprocess.Popen[bytes]
    result: Path
    output: Path


@dataclass
class _Batch:
    """The batch while it runs: jobs that wait, free places, living processes, and what came back by job number."""

    waiting: deque[_Job]
    free: list[str | None]
    places: int
    working: list[_Worker] = field(default_factory=list)
    returns: dict[int, JobReturn] = field(default_factory=dict)


class LocalLauncher(Launcher):
    """Runs as many jobs at a time as there are GPUs, or shares of the CPU."""

    def __init__(self, jobs_per_gpu: int, max_retries: int) -> None:
        self.jobs_per_gpu, self.max_retries = jobs_per_gpu, max_retries

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra hands to every launcher."""
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs; the return values of failed jobs hold their errors.

        Raises:
            ConfigError: for options that do not fit; nothing was started.
            KeyboardInterrupt: after every process has ended; each run keeps its completed epochs.
        """
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        for key, least in (("jobs_per_gpu", 1), ("max_retries", 0)):
            value = getattr(self, key)
            if not isinstance(value, int) or value < least:
                raise ConfigError(f"hydra.launcher.{key}={value}: give a whole number from {least} on")
        configs = job_configs(self.context, self.config, job_overrides, initial_job_idx)
        numbers = range(initial_job_idx, initial_job_idx + len(configs))
        jobs = [_Job(*job) for job in zip(numbers, told_apart(job_overrides), job_overrides, configs, strict=True)]
        places = _places(configs, self.jobs_per_gpu)
        folder = Path(self.config.hydra.sweep.dir).absolute() / "local" / time.strftime("%Y-%m-%d_%H-%M-%S")
        folder.mkdir(parents=True, exist_ok=True)
        log.info("runs: %d, at a time: %d; their output is in %s", len(jobs), min(len(places), len(jobs)), folder)
        shared = Shared(self.context, self.task, Singleton.get_state())
        batch = _Batch(deque(jobs), places, len(places))
        try:
            with TemporaryDirectory() as scratch:
                while batch.waiting or batch.working:
                    while batch.waiting and batch.free:
                        job, gpu = batch.waiting.popleft(), batch.free.pop(0)
                        batch.working.append(_start(shared, job, gpu, folder, Path(scratch)))
                    for worker in [worker for worker in batch.working if worker.process.poll() is not None]:
                        self._ended(batch, worker)
                    time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            log.warning("ending %d runs; each keeps its completed epochs", len(batch.working))
            raise
        finally:
            _end(batch.working)
        returns = [batch.returns[number] for number in numbers]
        tell_outcome(returns)
        return returns

    def _ended(self, batch: _Batch, worker: _Worker) -> None:
        """Take the result of a process, or hand its job to another one, and say how far the batch is."""
        # They import SciPy, and Hydra imports this module for --help, too.
        from yolo26_attention.study.runs import record_killed
        from yolo26_attention.study.text import progress

        job, died = worker.job, f"its process ended with exit code {worker.process.returncode}"
        batch.working.remove(worker)
        batch.free.append(worker.gpu)
        if worker.result.exists():
            returned: JobReturn = pickle.loads(worker.result.read_bytes())
            worker.result.unlink()
            batch.returns[job.number] = returned
            completed = returned.status == JobStatus.COMPLETED
            outcome = f"did not finish: {reason(returned)}"
            if completed:
                outcome = "finished" if has_result(returned) else f"ended early; see {worker.output}"
        elif job.retries < self.max_retries:
            job.retries += 1
            batch.waiting.appendleft(job)
            outcome = f"{died}; another one resumes the run"
        else:
            problem = f"{died} at attempt {job.retries + 1} of {self.max_retries + 1}; see {worker.output}"
            batch.returns[job.number] = failed(job.overrides, RuntimeError(problem))
            record_killed(Path(job.config.output_dir), run_config(task_config(job.config)).plain(), problem)
            outcome = f"failed: {problem}"
        log.info("#%d %s", job.number, outcome)
        told = progress(Path(job.config.output_dir), job.config.study, batch.places)
        ended, total = len(batch.returns), len(batch.returns) + len(batch.waiting) + len(batch.working)
        log.info(told or f"{ended} of {number_of(total, 'run')} ended")


def _places(configs: Sequence[DictConfig], jobs_per_gpu: int) -> list[str | None]:
    """For each run at a time its GPU as in CUDA_VISIBLE_DEVICES, or None for a share of the CPU.

    Raises:
        ConfigError: if a run asks for a GPU that its process cannot see.
    """
    import torch

    asked = {config.trainer.device for config in configs}
    if others := sorted(device for device in asked if device not in {None, "cpu", "mps", "0"}):
        raise ConfigError(
            f"trainer.device={others[0]}: with hydra/launcher=local each run sees one GPU; leave trainer.device out, "
            f"and choose the GPUs with CUDA_VISIBLE_DEVICES={others[0]}"
        )
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = [str(gpu) for gpu in range(torch.cuda.device_count())] if given is None else given.split(",")
    gpus = [gpu.strip() for gpu in gpus if gpu.strip() not in {"", "-1"}]
    if gpus and not asked & {"cpu", "mps"}:
        return [gpu for _ in range(jobs_per_gpu) for gpu in gpus]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = [config.trainer.threads for config in configs]
    if None in threads:
        log.info("one run at a time, as each takes all CPU cores; trainer.threads=1 would run %d at a time", cores)
        return [None]
    return [None] * max(cores // max(threads), 1)


def _start(shared: Shared, job: _Job, gpu: str | None, folder: Path, scratch: Path) -> _Worker:
    """Start the process of a job; it writes its output to `folder`."""
    task, result = scratch / f"{job.number}.job", scratch / f"{job.number}.result"
    output = folder / f"{job.number}.log"
    task.write_bytes(pickle.dumps(sys.path) + cloudpickle.dumps((shared, job.config)))
    environment = os.environ if gpu is None else {**os.environ, "CUDA_VISIBLE_DEVICES": gpu}
    with output.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "hydra_plugins.study_launchers.local_worker", str(task), str(result)],
            stdin=subprocess.PIPE,  # closes when this process ends
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # a terminal's Ctrl-C reaches this process only, which ends each run once
        )
    log.info("#%d starts%s: %s", job.number, f" on GPU {gpu}" if gpu else "", job.label)
    return _Worker(job, gpu, process, result, output)


def _end(workers: Sequence[_Worker]) -> None:
    """End processes as SIGTERM ends a run, and those that take too long for good; a second Ctrl-C does not wait."""
    for worker in workers:
        worker.process.terminate()
    try:
        until = time.monotonic() + GRACE_SECONDS
        while any(worker.process.poll() is None for worker in workers) and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()

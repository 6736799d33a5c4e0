"""Entry: a whole study, planned before it starts; the same command continues it.

    python -m src.sweep kernel_att plan=true
    python -m src.sweep kernel_att trainer=full data=coco seeds=0..9
    python -m src.sweep kernel_att status=true
    python -m src.sweep kernel_att timing=true latency.backend=onnxruntime latency.device=cpu

Configurations and launchers are Hydra's own: hydra/launcher=slurm starts the runs of the study as one batch.
"""

import logging
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log
from omegaconf import DictConfig

from src.train import train_one
from yolo26_attention.compat.hydra import launch
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.hydra_errors import config_errors
from yolo26_attention.config.interruptible import INTERRUPTED, interruptible_command
from yolo26_attention.config.key_value import option_lines
from yolo26_attention.config.registration import register_configs
from yolo26_attention.counts import number_of
from yolo26_attention.files.atomic import write_atomically
from yolo26_attention.study.definition import SWEEPS, load_study, study_names
from yolo26_attention.study.next_runs import due, families, refuse_unmeasured, shown_states, unproven
from yolo26_attention.study.outlook import outlook
from yolo26_attention.study.plan import (
    Composer,
    PlannedRun,
    impossible,
    measured_elsewhere,
    plan_runs,
    refusals,
    same_runs,
)
from yolo26_attention.study.progress import RunState, distinct, run_states, time_left
from yolo26_attention.study.request import Request, SweepOptions, TimeRequest, parse
from yolo26_attention.study.runs import StudyEntry, StudyFile, read_study, study_file, write_study
from yolo26_attention.study.text import at_looks, counted, matrix, status, summary
from yolo26_attention.study.timing_command import time_at_the_end, time_runs
from yolo26_attention.study.wandb_sweep import sweep_definition

log = logging.getLogger(__name__)
CONF = Path(__file__).parent.parent / "conf"
USAGE = """\
python -m src.sweep STUDY [key=value ...]

STUDY  one of those below, or the path of a .yaml of your own

{options}

Any option of python -m src.train, for all runs: trainer=full data=coco; hydra/launcher=... for more machines;
-cd DIR for a folder with your own options.

STUDIES
{studies}"""


def sweep(request: Request) -> int:
    """Do what is requested; returns the exit status.

    Raises:
        ConfigError: if the study cannot be started.
    """
    base = launcher_config(request.hydra, request.overrides)
    output_dir = Path(base.output_dir)
    if request.options.status:
        text = status(output_dir, request.name)
        if text is None:
            raise ConfigError(f"study {request.name} was never started: no {study_file(output_dir, request.name)}")
        print(text)
        return 0
    planned = plan_runs(request.study.points(request.overrides), Composer(request.hydra))
    if request.options.plan:
        print(plan_text(request, output_dir, planned))
        return 1 if refusals(planned) else 0
    if refused := refusals(planned):
        raise ConfigError("\n".join([*refused, "nothing was started"]))
    if request.options.wandb:
        print(_wandb(request, base, output_dir))
        return 0
    return _run(request, base, output_dir, planned)


def _time(request: TimeRequest) -> int:
    base = launcher_config(request.hydra, request.overrides)
    return time_runs(request, Path(base.output_dir))


def launcher_config(hydra: Sequence[str], overrides: Sequence[str]) -> DictConfig:
    """Compose the configuration of the launcher and of the options that all runs share, and set up the log."""
    shared = [override for override in overrides if override.split("=")[0] in {"output_dir", "tracking"}]
    shared += [override for override in overrides if override.startswith("tracking.")]
    with config_errors([*hydra, *shared]):
        base = compose("config", ["hydra.mode=MULTIRUN", *hydra, *shared], return_hydra_config=True)
    HydraConfig.instance().set_config(base)
    configure_log(base.hydra.job_logging, base.hydra.verbose)
    return base


def plan_text(request: Request, output_dir: Path, planned: Sequence[PlannedRun]) -> str:
    """Describe every run with its state, the time left, and the variants that cannot be run."""
    states = _states(output_dir, planned)
    possible = [state for state in states if state.state != "impossible"]
    refused = refusals(planned)
    checked = (
        f"{number_of(len(impossible(planned)), 'variant')} cannot be run" if refused else "every configuration builds"
    )
    return "\n".join(
        [
            f"study {request.name}: {request.study.question}",
            f"{counted(possible)}; {checked}",
            "",
            *matrix(states, lambda state: state.state),
            "",
            f"time left {time_left(possible, measured_elsewhere(output_dir, planned))}",
            *outlook(possible, request.study.declared),
            *_notes(planned),
            *refused,
        ]
    )


def _notes(planned: Sequence[PlannedRun]) -> list[str]:
    """The notes of all runs, each once."""
    return [*dict.fromkeys(note for run in planned for note in run.notes), *same_runs(planned)]


def _states(output_dir: Path, planned: Sequence[PlannedRun]) -> list[RunState]:
    """States in the order of the points; a point that cannot be run is impossible."""
    found = iter(run_states(output_dir, [run.entry for run in planned if run.run is not None]))
    return [RunState(run.entry, "impossible") if run.run is None else next(found) for run in planned]


def _wandb(request: Request, base: DictConfig, output_dir: Path) -> str:
    """Write the sweep's definition, create it with tracking=online, and describe the next step."""
    from yolo26_attention.run.wandb_study import create_sweep

    if not (SWEEPS / f"{request.study.name}.yaml").is_file():
        raise ConfigError(f"wandb=true: agents look for studies in {SWEEPS.name}/; put {request.study.name}.yaml there")
    definition = sweep_definition(request.study, request.name, request.overrides)
    path = study_file(output_dir, request.name).with_name("wandb_sweep.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, yaml.safe_dump(definition, sort_keys=False))
    tracking = base.tracking
    project = f"--project {tracking.project}" + (f" --entity {tracking.entity}" if tracking.entity else "")
    if str(tracking.mode.name) != "online":
        return f"{path}\ncreate it:  wandb sweep {project} {path}\nthen start as many agents as wished, as it tells you"
    agent = create_sweep(definition, tracking.project, tracking.entity)
    return f"{path}\nstart as many agents as wished, where this program is installed:  wandb agent {agent}"


def _run(request: Request, base: DictConfig, output_dir: Path, planned: Sequence[PlannedRun]) -> int:
    """Write study.json, launch the unfinished runs and print a summary.

    Returns 0 if every run of the study is finished, or in the hands of another process.
    """
    entries = [run.entry for run in planned]
    _tell_replaced(request, output_dir, entries)
    study, command = request.study, shlex.join(request.command)
    declared = study.declared
    write_study(output_dir, request.name, study.question, command, entries, declared, study.switched)
    log.info(
        "study %s: %s", request.name, "\n".join([counted(distinct(run_states(output_dir, entries))), *_notes(planned)])
    )
    lost, stopped = _train(request, base, output_dir, entries)
    print(summary(output_dir, request.name, lost, request.command), flush=True)
    content = read_study(output_dir, request.name) or StudyFile([])
    states = shown_states(output_dir, content)
    if request.options.pilot is not None:
        print("\n".join(outlook(states, declared)))
        states = _pilot(states, request.options.pilot)
    finished = all(state.state in {"finished", "stopped", "running"} for state in states)
    complete = all(state.state in {"finished", "stopped"} for state in states)
    if complete and not stopped and request.options.pilot is None and not request.timed_by_itself:
        stopped = time_at_the_end(request, str(base.hydra.launcher._target_), CONF.parent)
    if stopped:
        print("\ninterrupted; run the same command again to continue the study", file=sys.stderr)
        return INTERRUPTED
    return int(not finished)


def _train(
    request: Request, base: DictConfig, output_dir: Path, entries: Sequence[StudyEntry]
) -> tuple[list[str], bool]:
    """Launch the runs that are due: once, or once per look if the study stops when it is decided.

    Returns:
        Runs that were skipped, with the reason, and whether the study was interrupted.

    Raises:
        ConfigError: if a finished run lacks the metric of the study.
    """
    declared = request.study.declared
    retry = request.options.retry
    settled = {"finished", "running"} if retry else {"finished", "running", "failed"}
    added = [f"study={request.name}", f"retry={str(retry).lower()}"]
    added += [] if request.timed_by_itself else ["latency=disabled"]
    tried: set[str] = set()
    lost: list[str] = []
    signal.signal(signal.SIGTERM, _stop)
    while True:
        states = run_states(output_dir, entries)
        refuse_unmeasured(states, declared)
        if tried and (told := at_looks(states, declared)):
            log.info("study %s: %s", request.name, "\n".join(told))
        tried -= {state.entry.run for state in states if state.state == "running"}  # another process has it now
        wanted = due(states, declared) if request.options.pilot is None else _pilot(states, request.options.pilot)
        todo = [state for state in distinct(wanted) if state.state not in settled and state.entry.run not in tried]
        if not todo:
            return lost, False
        if unproven(states, declared):
            todo = todo[:1]  # the others follow once it has the metric
        tried |= {state.entry.run for state in todo}
        try:
            returns = launch(train_one, base, [[*state.entry.overrides, *added] for state in todo])
        except KeyboardInterrupt:
            return lost, True
        lost += _lost(output_dir, todo, returns)


def _pilot(states: Sequence[RunState], seeds: int) -> list[RunState]:
    """Return the runs of a pilot: the first seeds of every baseline."""
    own: dict[str, list[RunState]] = {label: [] for label in families([state.entry for state in states])}
    for state in states:
        if state.entry.variant in own:
            own[state.entry.variant].append(state)
    return [state for runs in own.values() for state in runs[:seeds]]


def _tell_replaced(request: Request, output_dir: Path, entries: Sequence[StudyEntry]) -> None:
    before = read_study(output_dir, request.name)
    if before is not None:
        gone = {entry.run for entry in before.runs} - {entry.run for entry in entries}
        if gone:
            log.info(
                "note: the study as it was (%s) had %s that it has no more; study=NAME keeps both apart",
                before.command,
                number_of(len(gone), "run"),
            )


def _lost(output_dir: Path, todo: Sequence[RunState], returns: Sequence[JobReturn]) -> list[str]:
    """Describe jobs that ended without a finished run and without the reason in a record."""
    lines = []
    for state, job in zip(todo, returns, strict=False):
        (now,) = run_states(output_dir, [state.entry])
        if job.status == JobStatus.FAILED and now.state not in {"finished", "failed"}:
            error = job._return_value
            lines.append(f"{state.entry.variant}, seed {state.entry.seed}: {type(error).__name__}: {error}")
    return lines


def _stop(signum: int, frame: Any) -> None:
    """End the study after a signal between two runs, as Ctrl-C does; a run has its own handler."""
    raise KeyboardInterrupt(signal.Signals(signum).name)


def main() -> None:
    """Read the command line and carry it out."""
    arguments = sys.argv[1:]
    if not arguments or {"-h", "--help"} & set(arguments):
        studies = "\n".join(f"  {name:<14} {load_study(name).question}" for name in study_names())
        print(USAGE.format(options="\n".join(option_lines(SweepOptions)), studies=studies))
        return
    with interruptible_command("run the same command again to continue the study"):
        register_configs()
        try:
            request = parse(arguments)
            with initialize_config_dir(str(CONF), job_name="train", version_base="1.3"):
                sys.exit(_time(request) if isinstance(request, TimeRequest) else sweep(request))
        except ConfigError as error:
            sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

"""The command that times a study, and its call at the end of one. Imports torch only to measure."""

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from yolo26_attention.config.interruptible import INTERRUPTED, interruptible_command
from yolo26_attention.config.registration import own_folders
from yolo26_attention.config.schema import DigitsConfig
from yolo26_attention.study.plan import Composer
from yolo26_attention.study.request import OF_TIMING, OFF, Request, TimeRequest
from yolo26_attention.study.runs import StudyEntry, read_study

HERE = {"InTurnLauncher", "LocalLauncher"}  # launchers that train on this machine


def time_runs(request: TimeRequest, output_dir: Path) -> int:
    """Time the variants of a study on this machine and print the result; returns the exit status.

    Raises:
        ConfigError: if the study cannot be timed.
    """
    content = read_study(output_dir, request.name)
    overrides = [*common_latency([] if content is None else content.runs), *request.overrides]
    config = Composer(request.hydra)(overrides)
    from yolo26_attention.detector.trust import Trust
    from yolo26_attention.study.targets import timing_table
    from yolo26_attention.study.timing import TimingOptions, time_study

    trust = Trust(config.trust, tuple(own_folders()))
    assert isinstance(config.data, DigitsConfig), "the request takes no other group of data"
    options = TimingOptions(config.latency, trust, config.data.yaml, config.data.download)
    with interruptible_command("what was timed before is kept, and the same command times again"):
        target, now = time_study(output_dir, request.name, options)
    told = "" if now else " before (latency.again=true times it again)"
    where = [text for text in request.overrides if text.startswith("output_dir=")]
    report = shlex.join(["python", "-m", "src.report", request.name, *where])
    print("\n".join([f"study {request.name}, timed{told}:", *timing_table(target), f"report: {report}"]))
    return int(bool(target.failed))


def time_at_the_end(request: Request, launcher: str, root: Path) -> bool:
    """Time a study whose runs have finished, in a process without the settings and the memory of trainings.

    A failure loses no result; the command that tries again is printed.

    Args:
        request: of the study.
        launcher: dotted path of the launcher that trained it.
        root: folder from which the command runs.

    Returns:
        Whether it was interrupted.
    """
    arguments = timing_arguments(request)
    command = shlex.join(["python", "-m", "src.sweep", *arguments])
    if launcher.rpartition(".")[2] not in HERE:
        print(f"the launcher trains elsewhere; time the variants on the machine that matters: {command}")
        return False
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    try:
        status = subprocess.run(
            [sys.executable, "-m", "src.sweep", *arguments], env=environment, check=False
        ).returncode
    except KeyboardInterrupt:
        return True
    if status not in (0, INTERRUPTED):
        print(f"the study, or a variant of it, is not timed; try again: {command}")
    return status == INTERRUPTED


def common_latency(entries: Sequence[StudyEntry]) -> list[str]:
    """The latency options that every run of a study has, by which it is timed unless told otherwise."""
    if not entries:
        return []
    shared = set.intersection(*(set(entry.overrides) for entry in entries))
    return [text for text in entries[0].overrides if text in shared and text.startswith("latency.") and text not in OFF]


def timing_arguments(request: Request) -> list[str]:
    """The arguments of the command that times the study of a request once its runs have finished."""
    folders = [text for text in request.hydra if text.startswith("hydra.searchpath=")]
    # The folders of the runs say what the data set is.
    kept = [text for text in request.overrides if OF_TIMING.match(text) and not text.startswith("data.")]
    return [request.name, "timing=true", *folders, *kept]

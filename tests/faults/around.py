"""Faults of a finished run's files, of files that configure a run, and of the machine."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import psutil

from src.export import export_run
from tests.conftest import beside
from tests.faults.data import cut, pets
from tests.faults.doing import EPOCHS, at_epoch, checked, configuration, logged, outcome, program
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.schema import ExportConfig
from yolo26_attention.files.record import Record, RunSkippedError
from yolo26_attention.plan.checks import check
from yolo26_attention.run.attempt import DiskFullError
from yolo26_attention.run.runner import run
from yolo26_attention.training.resuming import Resuming

OWN_CLASS = """
import random
from torch import nn
from ultralytics.nn.modules import Conv


class Mine(Conv):
    def __init__(self, channels):
        super().__init__(channels, channels, 1)

    def forward(self, x):
        """


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def asked_again(name: str, damage: Callable[[Path], object]) -> Callable[[Path], str]:
    """A finished run of which one file is damaged, and which is asked for again."""

    def happens(folder: Path) -> str:
        plan = check(configuration(folder, "attention=baseline"))
        run(plan, "")
        damage(plan.folder / name)
        before = files(plan.folder)
        with logged() as said:
            try:
                _, trained = run(plan, "")
                text = "trained" if trained else "finished before, nothing trained"
            except RunSkippedError as error:
                text = f"refused: {error}"
        changed = files(plan.folder) != before
        return "; ".join([text, *said, "files changed" if changed else "every file as it was"])

    return happens


def exported(folder: Path) -> str:
    """A finished run whose best.pt is cut short, and which is exported."""
    plan = check(configuration(folder, "attention=baseline"))
    run(plan, "")
    cut(plan.folder / "train" / "weights" / "best.pt")
    try:
        return export_run(ExportConfig(run=str(plan.folder), check=False))
    except ConfigError as error:
        return f"refused: {error}"


def without_wandb(folder: Path) -> str:
    """W&B's own process is killed in mid-run; a second run in the same process has one again."""

    def kill() -> None:
        for process in psutil.Process().children(recursive=True):
            if "wandb-core" in process.name() or "wandb-core" in " ".join(process.cmdline()):
                process.send_signal(signal.SIGKILL)
                process.wait()

    with at_epoch(1, kill):
        first = outcome(folder, *EPOCHS, "tracking=offline")
    return f"{first}; the next run: {outcome(folder, *EPOCHS, 'seed=1', 'tracking=offline')}"


def with_clock(jumps: Sequence[float], *overrides: str) -> Callable[[Path], str]:
    """The wall clock jumps at each epoch that follows the first, by so many seconds in all."""

    def happens(folder: Path) -> str:
        real, ahead = time.time, [0.0]
        left = list(jumps)
        begin = Resuming._begin_epoch

        def begun(self: Any) -> None:
            begin(self)
            if self.epoch > 0 and left:
                ahead[0] = left.pop(0)

        with (
            mock.patch.object(Resuming, "_begin_epoch", begun),
            mock.patch("time.time", side_effect=lambda: real() + ahead[0]),
        ):
            return outcome(folder, *EPOCHS, *overrides)

    return happens


def odd_paths(folder: Path) -> str:
    """Outputs, data and weights in folders with blanks and Chinese characters."""
    odd = folder / "my runs 实验 é"
    odd.mkdir()
    yaml = pets(odd / "数据 set")
    start = check(configuration(folder, "attention=acmix", "placement=p3"))
    run(start, "")
    weights = odd / "权 weights.pt"
    shutil.copy(start.folder / "train/weights/best.pt", weights)
    return outcome(
        odd, "attention=acmix", "placement=p3", f"data.yaml='{yaml}'", f"model.weights='{weights}'", "tracking=offline",
        "trainer.fraction=1.0", "trainer.plots=true",
    )  # fmt: skip


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """A small file system of its own; only root may mount one."""
    place = folder / "mounted"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(["size=400m", *options]), "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def read_only(folder: Path) -> str:
    """Outputs on a file system that is mounted read-only."""
    with mounted(folder, "ro") as place:
        return checked(place, "attention=baseline")


def turned_read_only(folder: Path) -> str:
    """Nothing can be written any more from the second epoch on, as when a disk fails; then it is mended."""
    plan = check(configuration(folder, *EPOCHS))
    failing = mock.patch(
        "yolo26_attention.files.atomic.os.fsync", side_effect=OSError(errno.EROFS, os.strerror(errno.EROFS))
    )
    try:
        with at_epoch(1, failing.start):
            run(plan, "")
        text = "not stopped"
    except DiskFullError as error:
        text = f"stopped: {re.sub(r'/[^ ]+', 'FOLDER', str(error))}"
    finally:
        failing.stop()
    before = Record.read(plan.folder)
    record, _ = run(plan, "")
    return f"{text}; record {before and before.status}; then {record.status}; {[e.event for e in record.events]}"


def full_disk(folder: Path) -> str:
    """The file system is full when the second checkpoint is written; then there is room again."""
    with mounted(folder) as place:
        plan = check(configuration(place, *EPOCHS))
        filler = place / "filler"

        def fill() -> None:
            filler.write_bytes(bytes(shutil.disk_usage(place).free - 10**6))

        try:
            with at_epoch(1, fill):
                run(plan, "")
            text = "not full"
        except DiskFullError as error:
            text = f"stopped: {re.sub(r'/[^ ]+', 'FOLDER', str(error))}"
        filler.unlink()
        record, _ = run(plan, "")
        return f"{text}; then {record.status}; {[event.event for event in record.events]}"


# What says where files of the user's are; unset, it is the home.
HOMES = ("HOME", "YOLO_CONFIG_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR")


def homeless(home: str | None) -> Callable[[Path], str]:
    """No home directory that can be written, and no folder for Ultralytics' settings."""

    def happens(folder: Path) -> str:
        said = program(
            "src.train", "attention=baseline", *beside(["tracking=offline"]), "tracking=offline",
            f"output_dir={folder}/outputs",
            environment={} if home is None else {"HOME": home}, without=HOMES,
        )  # fmt: skip
        states = [json.loads(path.read_text())["status"] for path in folder.glob("outputs/runs/*/record.json")]
        return f"{said[: said.index(':')]}; {states}"

    return happens


def odd_argument(folder: Path) -> str:
    """A path that Hydra's grammar does not take as it is."""
    return program("src.train", f"output_dir={folder}/a=b")


def own_yaml(content: bytes) -> Callable[[Path], str]:
    """A YAML of one's own attention."""

    def happens(folder: Path) -> str:
        (folder / "attention").mkdir()
        (folder / "attention" / "mine.yaml").write_bytes(content)
        return program("src.train", "-cd", str(folder), "attention=mine", "--cfg", "job", "--package", "attention")

    return happens


def own_class(body: str, *overrides: str) -> Callable[[Path], str]:
    """A class of one's own, and what its forward does."""

    def happens(folder: Path) -> str:
        (folder / "attention").mkdir()
        (folder / "attention" / "mine.yaml").write_text("name: mine\n_target_: mine.Mine\n")
        (folder / "mine.py").write_text(OWN_CLASS + body)
        return program("src.train", "-cd", str(folder), "attention=mine", *beside(overrides), *overrides)

    return happens


def study_yaml(content: bytes) -> Callable[[Path], str]:
    """A study file of one's own."""

    def happens(folder: Path) -> str:
        from yolo26_attention.study.definition import load_study

        (folder / "mine.yaml").write_bytes(content)
        try:
            return f"read: {load_study(str(folder / 'mine.yaml')).question}"
        except ConfigError as error:
            return f"refused: {error}"

    return happens

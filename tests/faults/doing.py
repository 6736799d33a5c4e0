"""What every fault needs: a small run, and what could be seen of its end."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from tests.conftest import CONF, beside
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.registration import register_configs, run_config
from yolo26_attention.config.run_config import RunConfig
from yolo26_attention.files.journal import read_journal
from yolo26_attention.plan.checks import check
from yolo26_attention.run.runner import run
from yolo26_attention.training.resuming import Resuming

ROOT = Path(__file__).parent.parent.parent
EPOCHS = ("attention=baseline", "trainer.epochs=3")


@dataclass(frozen=True)
class Fault:
    """One way in which things go wrong.

    Args:
        done: in words.
        happens: given an empty folder, does it and returns what could be seen.
        expected: regular expression of that.
        lost: by the user, in words.
        slow: whether that takes more than a few seconds.
    """

    done: str
    happens: Callable[[Path], str]
    expected: str
    lost: str = "nothing"
    slow: bool = False


def configuration(folder: Path, *overrides: str) -> RunConfig:
    """A small run's configuration; outputs go to the folder."""
    own = any(override.startswith("data.yaml=") for override in overrides)
    register_configs()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        small = [option for option in beside(overrides) if not own or not option.startswith("data.")]
        config = compose("config", [f"output_dir='{folder}/outputs'", *small, *overrides])
    return run_config(config)


def checked(folder: Path, *overrides: str) -> str:
    """Whether a configuration is refused, and how."""
    try:
        check(configuration(folder, *overrides))
    except ConfigError as error:
        return f"refused: {error}"
    return "accepted"


@contextmanager
def logged() -> Iterator[list[str]]:
    """The program's own log, from warnings up."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda entry: said.append(entry.getMessage())  # type: ignore[method-assign]
    logging.getLogger("yolo26_attention").addHandler(handler)
    try:
        yield said
    finally:
        logging.getLogger("yolo26_attention").removeHandler(handler)


def outcome(folder: Path, *overrides: str) -> str:
    """The end of a run, with its events."""
    plan = check(configuration(folder, *overrides))
    with logged() as said:
        record, _ = run(plan, "")
    epochs = sum(entry.event == "epoch" for entry in read_journal(plan.folder / "journal.jsonl"))
    details = ("problem", "dropped", "seconds")
    events = [
        f"{e.event} ({', '.join(str(e.details[key]) for key in details if key in e.details)})" for e in record.events
    ]
    negative = "; negative seconds" if record.seconds < 0 else ""
    return "; ".join([f"{record.status} after {epochs} epochs{negative}", *said, *events])


def at_epoch(epoch: int, action: Callable[[], object]) -> Any:
    """Let something happen once, when an epoch begins."""
    begin, done = Resuming._begin_epoch, []

    def begun(self: Any) -> None:
        begin(self)
        if self.epoch == epoch and not done:
            done.append(True)
            action()

    return mock.patch.object(Resuming, "_begin_epoch", begun)


def program(*arguments: str, environment: dict[str, str] | None = None, without: tuple[str, ...] = ()) -> str:
    """The last lines of a program, its exit status first."""
    kept = {key: value for key, value in os.environ.items() if key not in without}
    kept |= environment or {}
    result = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, env=kept)
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    trace = "with a traceback" if "Traceback" in result.stderr else "without a traceback"
    return f"exit status {result.returncode} {trace}: {' '.join(lines[-4:])}"

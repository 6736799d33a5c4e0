"""The command `python -m src.train ...` that trains a run again, or continues it."""

import shlex
from collections.abc import Sequence
from pathlib import Path


def command_of(folder: Path, overrides: Sequence[str], *added: str) -> str:
    """The command line of a run.

    Args:
        folder: of the run, with its config.yaml.
        overrides: its command line in its study; empty for a run without one, whose configuration is read instead.
        added: further overrides.
    """
    if overrides:
        return f"python -m src.train {shlex.join([*overrides, *added])}"
    path = shlex.quote(str(folder)) if folder.is_absolute() else f'"$PWD/{folder}"'
    return " ".join([f"python -m src.train -cp {path} -cn config", *map(shlex.quote, added)])

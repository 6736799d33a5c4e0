"""Check the command line before Hydra sees it, to replace its grammar errors and tracebacks."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.hydra_errors import config_errors
from yolo26_attention.config.plain_yaml import parse_yaml
from yolo26_attention.config.schema import SCHEMAS


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Exit with a one-line message if the block, or Hydra in it, refuses the command.

    With HYDRA_FULL_ERROR=1, Hydra's errors show the full traceback.
    """
    wanted = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise its errors instead of printing them
    try:
        with nullcontext() if wanted else config_errors(sys.argv[1:]):
            yield
    except ConfigError as error:
        sys.exit(f"error: {error}")


def check_command_line(arguments: Sequence[str]) -> None:
    """Refuse values that need quotes, and invalid YAML files in the user's folders (-cd DIR).

    Raises:
        ConfigError: with the quoted value, or the file and the line.
    """
    for argument in arguments:
        _check_quotes(argument)
    for option, folder in pairwise(arguments):
        if option in {"-cd", "--config-dir"}:
            for file in sorted(path for group in SCHEMAS for path in Path(folder, group).glob("*.yaml")):
                _check_yaml(file)


def _check_quotes(argument: str) -> None:
    """Check for = or non-ASCII characters; leave quoted values, lists, functions and interpolations to Hydra."""
    key, _, value = argument.partition("=")
    if re.match(r"['\"\[{]|\w+\(|.*(\$\{|')", value) or not re.fullmatch(r"[+~]*[\w./@]+", key):
        return
    if re.search(r"[=()]|[^\x00-\x7f]", value):
        raise ConfigError(f"{argument}: this value needs quotes inside the shell's quotes: \"{key}='{value}'\"")


def _check_yaml(file: Path) -> None:
    try:
        parse_yaml(file.read_bytes())
    except ValueError as error:
        raise ConfigError(f"{file} {error}") from error

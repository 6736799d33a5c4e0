"""What Hydra would answer with its grammar or with a traceback, said before it is asked."""

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
    """End the program with one line if what is inside refuses the command, also where it is Hydra that refuses.

    Whoever sets HYDRA_FULL_ERROR=1 sees the whole traceback of the latter.
    """
    wanted = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra lets its errors through to here, instead of printing them
    try:
        with nullcontext() if wanted else config_errors(sys.argv[1:]):
            yield
    except ConfigError as error:
        sys.exit(f"error: {error}")


def check_command_line(arguments: Sequence[str]) -> None:
    """Refuse values that need quotes, and files of one's own options (-cd DIR) that are no YAML.

    Raises:
        ConfigError: with the quotes, or the file and the line.
    """
    for argument in arguments:
        _check_quotes(argument)
    for option, folder in pairwise(arguments):
        if option in {"-cd", "--config-dir"}:
            for file in sorted(path for group in SCHEMAS for path in Path(folder, group).glob("*.yaml")):
                _check_yaml(file)


def _check_quotes(argument: str) -> None:
    """Paths with = or letters beyond ASCII; what is quoted, a list, a function or an interpolation is Hydra's own."""
    key, _, value = argument.partition("=")
    if re.match(r"['\"\[{]|\w+\(|.*(\$\{|')", value) or not re.fullmatch(r"[+~]*[\w./@]+", key):
        return
    if re.search(r"[=()]|[^\x00-\x7f]", value):
        raise ConfigError(f"{argument}: this value needs quotes, and those need the shell's: \"{key}='{value}'\"")


def _check_yaml(file: Path) -> None:
    try:
        parse_yaml(file.read_bytes())
    except ValueError as error:
        raise ConfigError(f"{file} {error}") from error

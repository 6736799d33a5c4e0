"""What Hydra would answer with its grammar or with a traceback, said before it is asked."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import yaml

from src.config import SCHEMAS, ConfigError
from src.yaml_fault import yaml_fault


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
        text = file.read_bytes().decode("utf-8-sig")
        yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not text in UTF-8; save it as such") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is not valid YAML: {yaml_fault(text, error)}") from error

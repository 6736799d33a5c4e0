"""Check the command line before Hydra sees it, to replace its grammar errors and tracebacks."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.hydra_errors import config_errors
from yolo26_attention.config.interruptible import interruptible_command
from yolo26_attention.config.plain_yaml import parse_yaml
from yolo26_attention.config.recipe import recipe_for
from yolo26_attention.config.registration import register_configs
from yolo26_attention.config.schema import SCHEMAS, Config
from yolo26_attention.config.words import refuse_word

# Whether the user set HYDRA_FULL_ERROR=1; `_one_line_errors` sets it for Hydra in any case.
_TRACEBACKS = ContextVar("tracebacks", default=False)
# What `tell_recipe` says; None if the command chose a recipe itself.
_RECIPE: ContextVar[str | None] = ContextVar("recipe", default=None)
CONFIG_DIR = ("-cd", "--config-dir")
# Hydra's flags that have a value in the next argument.
VALUED = {*CONFIG_DIR, "-cn", "--config-name", "-cp", "--config-path", "-c", "--cfg", "-p", "--package"}


def help_on_attention(arguments: Sequence[str]) -> list[str]:
    """The override that makes Hydra's `--help` list the options of the attention that the command names.

    Raises:
        ConfigError: if it names several.
    """
    named = [argument for argument in arguments if re.match(r"attention(\.\w+)?=", argument)]
    if not named or not {"-h", "--help"} & set(arguments):
        return []
    if several := [argument for argument in named if re.fullmatch(r"attention=\w+,.*", argument)]:
        raise ConfigError(f"{several[0]}: --help lists the options of one attention at a time; name one")
    return ["hydra/help=mechanism"]


def flags_first(arguments: Sequence[str]) -> list[str]:
    """Put flags before overrides, because Hydra's parser refuses overrides on both sides of a flag."""
    flags: list[str] = []
    overrides: list[str] = []
    for before, argument in pairwise(["", *arguments]):
        (flags if argument.startswith("-") or before in VALUED else overrides).append(argument)
    return flags + overrides


@contextmanager
def hydra_command(advice: str, schema: type = Config) -> Iterator[None]:
    """Prepare a command that Hydra reads, and answer a refusal or Ctrl-C in the block with one line.

    Args:
        advice: what to do after Ctrl-C.
        schema: of the whole configuration.
    """
    with interruptible_command(advice):
        register_configs()
        with _one_line_errors(schema):
            check_command_line(sys.argv[1:])
            yield


@contextmanager
def _one_line_errors(schema: type) -> Iterator[None]:
    """Exit with a message, a line for each thing that is wrong, if the block, or Hydra in it, refuses the command.

    Flags may stand anywhere in the command, and data other than the digits choose `trainer=full`. With
    HYDRA_FULL_ERROR=1, errors show the full traceback.

    Args:
        schema: of the whole configuration.
    """
    given = os.environ.get("HYDRA_FULL_ERROR")
    wanted = given == "1"
    token = _TRACEBACKS.set(wanted)
    sys.argv[1:] = flags_first(sys.argv[1:])
    _RECIPE.set(None)
    if recipe := recipe_for(sys.argv[1:]):
        sys.argv += recipe
        _RECIPE.set(f"{recipe[0]}, as the data are not the digits (trainer=NAME chooses another recipe)")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise its errors instead of printing them
    try:
        sys.argv += help_on_attention(sys.argv[1:])
        with nullcontext() if wanted else config_errors(sys.argv[1:], schema):
            yield
    except ConfigError as error:
        exit_with(error)
    finally:
        _TRACEBACKS.reset(token)
        os.environ.pop("HYDRA_FULL_ERROR", None)
        os.environ |= {} if given is None else {"HYDRA_FULL_ERROR": given}


def tell_recipe() -> None:
    """Say once which recipe was chosen for the data; called when the command is known to be right."""
    if line := _RECIPE.get():
        print(line, file=sys.stderr, flush=True)
        _RECIPE.set(None)


def exit_with(error: Exception) -> NoReturn:
    """End the program with one line; with HYDRA_FULL_ERROR=1, raise the error for its traceback."""
    if _TRACEBACKS.get():
        raise error
    sys.exit(f"error: {error}")


def check_command_line(arguments: Sequence[str]) -> None:
    """Refuse words, values that need quotes, and invalid YAML files in the user's folders (-cd DIR).

    Raises:
        ConfigError: with the word's meaning, the quoted value, or the file and the line.
    """
    for before, argument in pairwise(["", *arguments]):
        if before in CONFIG_DIR:
            _check_folder(argument)
        elif argument.startswith("--config-dir="):
            _check_folder(argument.partition("=")[2])
        elif before not in VALUED:
            refuse_word(argument)
            _check_quotes(argument)


def _check_quotes(argument: str) -> None:
    """Check for = or non-ASCII characters; leave quoted values, lists, functions and interpolations to Hydra."""
    key, _, value = argument.partition("=")
    if re.match(r"['\"\[{]|\w+\(|.*(\$\{|')", value) or not re.fullmatch(r"[+~]*[\w./@]+", key):
        return
    if re.search(r"[=()]|[^\x00-\x7f]", value):
        raise ConfigError(f"{argument}: this value needs quotes inside the shell's quotes: \"{key}='{value}'\"")


def _check_folder(folder: str) -> None:
    for file in sorted(path for group in SCHEMAS for path in Path(folder, group).glob("*.yaml")):
        _check_yaml(file)


def _check_yaml(file: Path) -> None:
    try:
        parse_yaml(file.read_bytes())
    except ValueError as error:
        raise ConfigError(f"{file} {error}") from error

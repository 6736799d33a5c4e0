"""The command line of `python -m src.sweep`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from yolo26_attention.config.command_line import check_command_line
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.hydra_errors import config_errors
from yolo26_attention.study.declaration import parse_seeds
from yolo26_attention.study.definition import Study, load_study, study_names

FLAGS = ("plan", "status", "retry", "wandb")


@dataclass(frozen=True)
class Request:
    """The request in the command line.

    `overrides` are those of all runs, `hydra` those of Hydra itself. `pilot` is how many seeds of the baselines are
    trained, and nothing else; None for the whole study.
    """

    study: Study
    name: str
    flags: frozenset[str]
    overrides: tuple[str, ...]
    hydra: tuple[str, ...]
    arguments: tuple[str, ...]
    pilot: int | None = None

    @property
    def command(self) -> list[str]:
        """The command that starts this study, without flags."""
        return ["python", "-m", "src.sweep", *self.arguments]


def parse(arguments: Sequence[str]) -> Request:
    """Read the command line.

    Raises:
        ConfigError: naming what is wrong and what would be right.
    """
    check_command_line(arguments)
    kept = [argument for argument in arguments if argument.split("=")[0] not in {*FLAGS, "pilot"}]
    hydra, rest = _own_folder(kept)
    names = [argument for argument in rest if "=" not in argument and not argument.startswith("~")]
    if len(names) != 1:
        raise ConfigError(f"name one study: {', '.join(study_names())}; python -m src.sweep --help tells more")
    study = load_study(names[0])
    name, seeds, overrides = study.name, None, []
    for argument in rest:
        key, _, value = argument.partition("=")
        if argument == names[0]:
            continue
        if key == "seed":
            raise ConfigError(f"{argument}: a study has several; write seeds={value}")
        if key == "seeds":
            seeds = parse_seeds(value)
        elif key == "study":
            name = value
        elif key.startswith("hydra"):
            hydra.append(argument)
        else:
            overrides.append(argument)
    for override in _parsed(overrides):
        if override.is_sweep_override():
            raise ConfigError(f"{override.input_line}: several values are variants; write them into a study file")
    study = study.with_seeds(seeds)
    pilot = _pilot(arguments, len(study.declared.baseline_seeds))
    return Request(study, name, _flags(arguments), tuple(overrides), tuple(hydra), tuple(kept), pilot)


def _own_folder(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The folder given with -cd as Hydra's own override, and the other arguments."""
    rest = list(arguments)
    found = [index for index, argument in enumerate(rest) if argument in {"-cd", "--config-dir"}]
    if not found:
        return [], rest
    option, *value = rest[found[0] : found[0] + 2]
    if not value or not Path(value[0]).is_dir():
        raise ConfigError(f"{' '.join([option, *value])}: give a folder that is there")
    del rest[found[0] : found[0] + 2]
    return [f"hydra.searchpath=[file://{Path(value[0]).absolute()}]"], rest


def _parsed(overrides: Sequence[str]) -> list[Any]:
    with config_errors(overrides):
        return OverridesParser.create().parse_overrides(list(overrides))


def _pilot(arguments: Sequence[str], most: int) -> int | None:
    """The number of seeds of each baseline that a pilot trains."""
    given = [argument.partition("=")[2] for argument in arguments if argument.split("=")[0] == "pilot"]
    if not given:
        return None
    if not given[-1].isdigit() or not 2 <= int(given[-1]) <= most:
        raise ConfigError(f"pilot={given[-1]}: give a number of the baseline's seeds, from 2 to {most}")
    return int(given[-1])


def _flags(arguments: Sequence[str]) -> frozenset[str]:
    flags = set()
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key in FLAGS:
            if value.lower() not in {"true", "false"}:
                raise ConfigError(f"{argument}: true or false")
            flags |= {key} if value.lower() == "true" else set()
    if len(flags & {"plan", "status", "wandb"}) > 1:
        raise ConfigError(f"{' and '.join(sorted(flags))} at once; ask for one of them")
    return frozenset(flags)

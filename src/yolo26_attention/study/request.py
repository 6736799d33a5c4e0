"""The command line of `python -m src.sweep`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Generic, TypeVar

from hydra.core.override_parser.overrides_parser import OverridesParser

from yolo26_attention.config.command_line import check_command_line
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.hydra_errors import as_one_value, config_errors
from yolo26_attention.config.key_value import read_options
from yolo26_attention.config.recipe import recipe_for
from yolo26_attention.study.declaration import parse_seeds
from yolo26_attention.study.definition import Study, load_study, study_names

Options = TypeVar("Options")
# What says how and where a study is timed; and what says that it is not.
OF_TIMING = re.compile(r"latency(=|\.)|(data\.(yaml|download)|output_dir|trust)=")
OFF = ("latency=disabled", "latency.enabled=false")
# What makes each run of a study time itself, or none of them.
OF_RUNS = ("latency", "latency.enabled", "objectives")
COMMANDS = {"study": "python -m src.sweep", "search": "python -m src.search"}


@dataclass(frozen=True)
class SweepOptions:
    """Options of the command itself; every other option is one of the runs."""

    plan: bool = field(default=False, metadata={"help": "list and check every run, estimate the time, train nothing"})
    status: bool = field(
        default=False, metadata={"help": "show how far the study is; works from another terminal while it runs"}
    )
    timing: bool = field(
        default=False,
        metadata={
            "help": "time the trained variants and the stock model in turn on this machine, as set by latency.*; "
            "train nothing"
        },
    )
    retry: bool = field(default=False, metadata={"help": "repeat the runs that failed"})
    wandb: bool = field(
        default=False,
        metadata={"help": "write the study as a Weights & Biases sweep; with tracking=online, create it"},
    )
    pilot: int | None = field(
        default=None,
        metadata={
            "help": "train only this many seeds of the baselines, and say which difference the study could detect",
            "shown": "off",
            "least": 2,
        },
    )
    seeds: str = field(default="", metadata={"help": "the seeds, such as 0..9 or 0,1,2", "shown": "the study's"})
    study: str = field(
        default="",
        metadata={
            "help": "a name that keeps this study apart from the same one with other options",
            "shown": "the study's",
        },
    )

    @property
    def tasks(self) -> list[str]:
        """All tasks that are asked for; only one can be done at a time."""
        return [name for name in ("plan", "status", "timing", "wandb") if getattr(self, name)]


@dataclass(frozen=True)
class Request:
    """The request in the command line.

    Attributes:
        study: with the seeds that are asked for.
        name: of the study; keeps it apart from the same study with other options.
        options: of the command itself.
        overrides: options of all runs.
        hydra: Hydra's own.
        arguments: what starts the study again.
    """

    study: Study
    name: str
    options: SweepOptions
    overrides: tuple[str, ...]
    hydra: tuple[str, ...]
    arguments: tuple[str, ...]

    @property
    def timed_by_itself(self) -> bool:
        """Whether the study or the command says whether each run measures its latency; then that is what happens."""
        return any(key in OF_RUNS for key in (*map(_key, self.overrides), *self._keys()))

    def _keys(self) -> list[str]:
        """Every option that the study itself gives a variant."""
        return [key for options in self.study.variants.values() for key in options]

    @property
    def command(self) -> list[str]:
        """The command that starts this study, without tasks."""
        return ["python", "-m", "src.sweep", *self.arguments]


@dataclass(frozen=True)
class TimeRequest:
    """The request to time a study, of which only the runs' folders are needed.

    Attributes:
        name: of the study.
        overrides: options that say how and where it is timed.
        hydra: Hydra's own.
    """

    name: str
    overrides: tuple[str, ...]
    hydra: tuple[str, ...]


def parse(arguments: Sequence[str]) -> Request | TimeRequest:
    """Read the command line.

    Raises:
        ConfigError: naming what is wrong and what would be right.
    """
    line = read_command_line(arguments, SweepOptions, "study", study_names())
    options = line.options
    if len(options.tasks) > 1:
        raise ConfigError(f"{' and '.join(options.tasks)} at once; ask for one of them")
    for task in options.tasks:
        for given in ("pilot", "retry"):
            if value := getattr(options, given):
                raise ConfigError(
                    f"{given}={str(value).lower()} has no effect with {task}=true, which trains nothing; leave it out"
                )
    if options.timing:
        return _time_request(line)
    study = load_study(line.name).with_seeds(parse_seeds(options.seeds) if options.seeds else None)
    most = len(study.declared.baseline_seeds)
    if options.pilot is not None and options.pilot > most:
        raise ConfigError(f"pilot={options.pilot}: give a number of the baseline's seeds, from 2 to {most}")
    overrides = line.overrides
    if not any("trainer" in options for options in study.variants.values()):
        overrides += recipe_for(overrides)
    tasks = {option.name for option in fields(SweepOptions)} - {"seeds", "study"}
    kept = tuple(text for text in arguments if _key(text) not in tasks)
    return Request(study, options.study or study.name, options, tuple(overrides), tuple(line.hydra), kept)


def _time_request(line: "CommandLine[SweepOptions]") -> TimeRequest:
    name = line.options.study or (Path(line.name).stem if line.name.endswith((".yaml", ".yml")) else line.name)
    if line.options.seeds:
        raise ConfigError(
            f"seeds={line.options.seeds} has no effect with timing=true, which trains nothing; leave it out"
        )
    for override in line.overrides:
        if override in OFF:
            raise ConfigError(f"{override}: timing=true times the study; leave one of them out")
        if not OF_TIMING.match(override):
            raise ConfigError(
                f"{override} has no effect with timing=true, which trains nothing; leave it out (latency.*, data.yaml, "
                "data.download, output_dir and trust have one)"
            )
    return TimeRequest(name, tuple(line.overrides), tuple(line.hydra))


@dataclass(frozen=True)
class CommandLine(Generic[Options]):
    """A command line of `python -m src.sweep` or `src.search`.

    Attributes:
        name: of the study or search, or the path of its file.
        options: of the command itself.
        hydra: Hydra's own.
        overrides: options of all runs.
    """

    name: str
    options: Options
    hydra: list[str]
    overrides: list[str]


def read_command_line(
    arguments: Sequence[str], schema: type[Options], kind: str, there: Sequence[str]
) -> CommandLine[Options]:
    """Split a command line into its parts.

    Args:
        arguments: the command line.
        schema: dataclass of the command's own options.
        kind: study or search, for messages.
        there: names that can be given.

    Raises:
        ConfigError: naming what is wrong and what would be right.
    """
    check_command_line(arguments)
    own = {option.name for option in fields(schema)}  # type: ignore[arg-type]
    options = read_options(schema, [text for text in arguments if "=" in text and _key(text) in own])
    hydra, rest = _own_folder([text for text in arguments if _key(text) not in own])
    names = [text for text in rest if "=" not in text and not text.startswith("~")]
    if len(names) != 1:
        raise ConfigError(f"name one {kind}: {', '.join(there)}; {COMMANDS[kind]} --help tells more")
    rest.remove(names[0])
    hydra += [text for text in rest if text.startswith("hydra")]
    overrides = [text for text in rest if not text.startswith("hydra")]
    _refuse_several_values(overrides)
    return CommandLine(names[0], options, hydra, overrides)


def _key(text: str) -> str:
    return text.partition("=")[0]


def _refuse_several_values(overrides: Sequence[str]) -> None:
    """Refuse options that no study as a whole can have."""
    for override in overrides:
        if _key(override) == "seed":
            raise ConfigError(f"{override}: a study has several; write seeds={override.partition('=')[2]}")
    with config_errors(overrides):
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    if several := [str(override.input_line) for override in parsed if override.is_sweep_override()]:
        raise ConfigError(
            f"{several[0]}: several values are variants; write them into a study file{as_one_value(several[0])}"
        )


def _own_folder(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The folder given with -cd as Hydra's own override, and the other arguments."""
    split = [each.split("=", 1) if each.startswith("--config-dir=") else [each] for each in arguments]
    rest = [part for parts in split for part in parts]
    found = [index for index, argument in enumerate(rest) if argument in {"-cd", "--config-dir"}]
    if not found:
        return [], rest
    option, *value = rest[found[0] : found[0] + 2]
    if not value or not Path(value[0]).is_dir():
        raise ConfigError(f"{' '.join([option, *value])}: give a folder that is there")
    del rest[found[0] : found[0] + 2]
    return [f"hydra.searchpath=[file://{Path(value[0]).absolute()}]"], rest

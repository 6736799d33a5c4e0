"""Translate errors of Hydra and OmegaConf to messages with key, value, problem and way out."""

import enum
import re
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING
from difflib import get_close_matches
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException, OverrideParseException, SearchPathException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.models import OTHER_TASKS, TASK_SUFFIXES
from yolo26_attention.config.plain_yaml import as_override
from yolo26_attention.config.schema import SCHEMAS, Config
from yolo26_attention.config.ultralytics_arguments import NEAREST_OPTIMIZER, OTHER_OPTIMIZERS, answer

Converted = TypeVar("Converted")
OF_SWEEP = ("plan", "status", "pilot", "seeds", "timing", "wandb")
SHOWN = "see the options with --cfg job"
FLAGS = ("Only one of --run", "The --resolve flag")  # --cfg job -m
EXAMPLES = {
    int: ("a whole number", "4"),
    float: ("a number", "0.5"),
    bool: ("true or false", "true"),
    str: ("text", "a"),
}


@contextmanager
def config_errors(overrides: Sequence[str]) -> Iterator[None]:
    """Translate Hydra's errors in the block to an error with key, value and a way out.

    Args:
        overrides: command-line overrides, including the invalid one.

    Raises:
        ConfigError: instead of an error of Hydra or OmegaConf.
    """
    _check_names(overrides)
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error, overrides)) from error
    except ValueError as error:
        if not str(error).startswith(FLAGS):
            raise
        raise ConfigError(str(error)) from error


def _check_names(overrides: Sequence[str]) -> None:
    """Refuse overrides that give a traceback in Hydra: a group option that is not a name, or a value without a key."""
    for override in overrides:
        key, equals, value = override.partition("=")
        if equals and not key:
            raise ConfigError(_unreadable(override))
        group = key.lstrip("+")
        if (group in SCHEMAS or group.startswith("hydra/")) and any(map(_no_name, value.split(","))):
            raise ConfigError(f"{override}: {group} takes the name of one option; --help lists them")


def _no_name(value: str) -> bool:
    try:
        return float(value) is not None
    except ValueError:
        return value.strip().lower() in {"null", "true", "false"} or value.startswith(("[", "{"))


def job_config(config: DictConfig, convert: Callable[[DictConfig], Converted]) -> Converted:
    """Convert the configuration of Hydra's current job.

    Args:
        config: as composed by Hydra.
        convert: `run_config` or `export_config`.

    Raises:
        ConfigError: also for errors that OmegaConf finds only now, such as a dangling interpolation.
    """
    overrides = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    with config_errors(list(map(str, overrides or ()))):
        return convert(config)


def explain(error: Exception, overrides: Sequence[str]) -> str:
    """Describe in one line the error and the way out."""
    text = str(error)
    if ours := _from_resolver(error):
        return str(ours)
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override)
    if isinstance(error, SearchPathException) and (found := re.search(r"directory '(.*)' not found", text)):
        return f"-cd {found[1]}: no such folder; give the folder of your attention/NAME.yaml"
    if "'hydra/sweeper/optuna' is validated against ConfigStore schema" in text:
        return (
            "hydra/sweeper=optuna: the installed hydra-optuna-sweeper has an option of the same name, for Optuna 2; "
            "nothing here needs it: pip uninstall hydra-optuna-sweeper, then pip install -e '.[search]'"
        )
    if isinstance(error, MissingConfigException):
        return _no_such_option(error, overrides)
    if found := re.match(r"You must specify '([^']+)'", text):
        return f"{_given(found[1], overrides)}: choose one of {', '.join(_listed(text))}"
    if found := re.match(r"(?:Ambiguous value for argument|Sweep parameters) '(.*)'", text):
        return several_values(_given(found[1].partition("=")[0], overrides, found[1]))
    if "Sweeping over Hydra's" in text:
        return f"{text.partition(' : ')[2].strip(chr(39))}: Hydra's own settings cannot be swept; give one value"
    if found := re.match(
        r"Could not delete from config\. '?([^']+?)'? does not exist|Could not delete '([^']+)'", text
    ):
        key = found[1] or found[2]
        return f"{_given(key, overrides)}: there is no option {key} to remove; {SHOWN}"
    if found := re.match(r"Multiple values for (\S+)\. ", text):
        group = found[1].split("@")[0]
        return f"{_given(group, overrides)}: {group} already has a value; write {group}=NAME once, without +"
    if isinstance(cause, MissingMandatoryValue):
        return f"{_given(cause.full_key, overrides)}: has no value; give one, {cause.full_key}=VALUE"
    if isinstance(cause, InterpolationResolutionError):
        given = _given(cause.full_key, overrides)
        return f"{given}: {_first_line(cause)}; write a value, or the name of an existing option, such as ${{seed}}"
    if found := re.search(r"Error resolving interpolation '([^']+)'", text):
        given = next((override for override in overrides if found[1] in override), found[1])
        return f"{given}: {found[1]} is not known yet; write the name of an option"
    if found := re.match(r"Could not override '([^']+)'", text):
        return _no_such_key(found[1], cause, overrides)
    if isinstance(cause, ValidationError):
        return _wrong_type(cause, overrides)
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        return _no_such_key(str(cause.full_key), cause, overrides)
    return f"{' '.join(text.split())}; {SHOWN}, or the traceback with HYDRA_FULL_ERROR=1"


def _from_resolver(error: BaseException) -> ConfigError | None:
    """The error that a resolver of this program raised while OmegaConf read a value."""
    inner = error.__cause__ or error.__context__
    return inner if inner is None or isinstance(inner, ConfigError) else _from_resolver(inner)


def several_values(override: str) -> str:
    """Say what `key=a,b` can mean: a run for each value, or one value."""
    return f"{override}: for a run with each value, add -m{as_one_value(override)}"


def as_one_value(override: str) -> str:
    """How to write `key=a,b` as one value, by what the option takes; "" if it takes neither lists nor text."""
    key, _, value = override.partition("=")
    if key == "placement":
        return f"; for all of these sites in one network, write 'placement.sites=[{value}]'"
    if key == "attention":
        return "; for several in one network, write attention=mix 'attention.grafts={p3: acmix, p5: se}'"
    kinds = _kinds_of(key)
    if "list" in kinds and not re.match(r"\w+\(", value):
        return f"; for one list, write '{key}=[{value}]'"
    return f"; for one text with a comma, write \"{key}='{value}'\"" if "str" in kinds else ""


def _kinds_of(key: str) -> set[str]:
    """The types that an option takes in any choice of its group: list, str, int, ...; empty if it is unknown."""
    group, _, name = key.rpartition(".")
    found: set[str] = set()
    for schema in SCHEMAS[group].values() if group in SCHEMAS else [Config]:
        wanted = get_type_hints(schema).get(name)
        for part in get_args(wanted) if get_origin(wanted) in {Union, types.UnionType} else [wanted]:
            found.add("list" if part is Any else getattr(get_origin(part) or part, "__name__", ""))
    return found


def _unreadable(override: str) -> str:
    key = override.partition("=")[0] if re.match(r"[\w./]+=", override) else "KEY"
    return (
        f"{override} is not KEY=VALUE; write a list as '{key}=[a,b]', "
        f"and text with spaces or special characters in two kinds of quotes: \"{key}='TEXT'\""
    )


def _no_such_option(error: MissingConfigException, overrides: Sequence[str]) -> str:
    found = re.search(r"Available options in '([^']+)'", str(error))
    if not found:
        name = str(error.missing_cfg_file)
        given = next((o for o in overrides if "=" in o and name in o), f"-cn {name}")
        return f"{given}: there is no configuration {name}; leave out -cn and -cp"
    group, there = found[1], _listed(str(error))
    name = str(error.missing_cfg_file).removeprefix(f"{group}/")
    if not name:
        return f"{_given(group, overrides)}: choose one of {', '.join(there)}"
    given = _given(group, overrides, f"{group}={name}")
    if group == "optimizer" and name.lower() in map(str.lower, OTHER_OPTIMIZERS):
        return f"{given}: {NEAREST_OPTIMIZER}; choose {', '.join(there)}"
    smallest = [f"{name}n"] if f"{name}n" in there else []  # of a family of networks, such as yolo11
    close = smallest or get_close_matches(name.lower(), there, 1)
    hint = f"did you mean {close[0]}? " if close else ""
    if not close and group != "model" and not {"-cd", "--config-dir"} & set(overrides):
        hint = f"for one of your own add -cd DIR, the folder that has {group}/{name}.yaml; "
    if group == "data" and name.endswith((".yaml", ".yml")):
        hint = f"a data set of your own is data.yaml={name}; "
    if group == "model" and name.endswith(TASK_SUFFIXES):
        return f"{given}: {OTHER_TASKS.format(f'{name}.yaml')}"
    if group == "model" and name.endswith((".yaml", ".yml")):
        hint = f"a network of your own is model.yaml={name}; "
    if group == "model" and name.endswith(".pt"):
        hint = f"a checkpoint is model.weights={name}, beside the network that it fits; "
    return f"{given}: there is no {group} {name}; {hint}choose {', '.join(there)}"


def _listed(text: str) -> list[str]:
    """Parse the options that Hydra lists, one indented line each, before its search path."""
    return re.findall(r"^\t(\S+)$", text.partition("Config search path")[0], re.MULTILINE)


def _no_such_key(key: str, cause: Any, overrides: Sequence[str]) -> str:
    given = _given(key, overrides)
    missing = str(getattr(cause, "full_key", None) or key)
    if known := answer(missing):
        return f"{given}: there is no option {missing}; {known}"
    parent, _, name = missing.rpartition(".")
    there = list(getattr(getattr(cause, "object_type", None), "__dataclass_fields__", {}))
    if not parent and name in OF_SWEEP:
        return f"{given}: there is no option {missing} here; it is one of python -m src.sweep"
    inside = [group for group, kinds in SCHEMAS.items() if any(name in get_type_hints(kind) for kind in kinds.values())]
    close = get_close_matches(name, there, 1)
    if not parent and inside:
        close = [f"{inside[0]}.{name}"]
    hint = f"did you mean {'.'.join(filter(None, [parent, close[0]]))}? " if close else ""
    return f"{given}: there is no option {missing}; {hint}{SHOWN}"


def _wrong_type(cause: ValidationError, overrides: Sequence[str]) -> str:
    key = re.sub(r"\[\d+\]$", "", str(cause.full_key))  # the key of the list, for one of its items
    try:
        wanted = get_type_hints(cause.object_type)[key.rpartition(".")[2]]
    except (KeyError, TypeError, NameError):
        return f"{_given(key, overrides)}: {_first_line(cause)}; {SHOWN}"
    kind, example = _kind(wanted)
    value = _given(key, overrides).partition("=")[2]
    if example == "[a]" and re.fullmatch(r"[\w./-]+", value):  # one text in place of a list of texts
        example = f"[{value}]"
    example = _default(cause.object_type, key.rpartition(".")[2]) or example
    studies = f"; in a study file, where a list is swept, {key}: [{example}]" if kind == "a list" else ""
    return f"{_given(key, overrides)}: takes {kind}; write {key}={example}, for example{studies}"


def _kind(wanted: Any) -> tuple[str, str]:
    """Describe a type in words, with an example."""
    arguments = get_args(wanted)
    if get_origin(wanted) in {Union, types.UnionType}:
        kinds = [("null", "null") if part is type(None) else _kind(part) for part in arguments]
        return " or ".join(kind for kind, _ in kinds), kinds[0][1]
    if get_origin(wanted) is list:
        item = _kind(arguments[0])[1]
        return "a list", f"[{item}]"
    if isinstance(wanted, type) and issubclass(wanted, enum.Enum):
        names = [member.name for member in wanted]
        return f"one of {', '.join(names)}", names[0]
    return EXAMPLES.get(wanted, ("options of its own", "..."))


def _default(schema: Any, name: str) -> str | None:
    """The default of an option in command-line notation; None if it has no printable value."""
    field = schema.__dataclass_fields__[name]
    value = field.default if field.default_factory is MISSING else field.default_factory()
    printable = isinstance(value, bool | int | float | str | list) and value not in ("???", [])
    return as_override(value) if printable else None


def _given(key: str | None, overrides: Sequence[str], otherwise: str | None = None) -> str:
    """The override that sets a key; the last of several, which takes effect."""
    key = str(key)
    for override in reversed(overrides):
        name = override.partition("=")[0].lstrip("+~")
        if name == key or name.startswith((f"{key}.", f"{key}@")) or key.startswith(f"{name}."):
            return override
    return otherwise or key


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]

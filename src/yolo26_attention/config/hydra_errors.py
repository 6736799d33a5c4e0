"""Translate errors of Hydra and OmegaConf to messages with key, value, problem and way out."""

import enum
import re
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, is_dataclass
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
from yolo26_attention.config.plain_yaml import as_override
from yolo26_attention.config.schema import SCHEMAS, Config
from yolo26_attention.config.unknown import SHOWN, given, no_such_key, no_such_option, with_others

Converted = TypeVar("Converted")
FLAGS = ("Only one of --run", "The --resolve flag")  # --cfg job -m
EXAMPLES = {
    int: ("a whole number", "4"),
    float: ("a number", "0.5"),
    bool: ("true or false", "true"),
    str: ("text", "a"),
}


@contextmanager
def config_errors(overrides: Sequence[str], schema: type = Config) -> Iterator[None]:
    """Translate Hydra's errors in the block to an error with key, value and a way out.

    Args:
        overrides: command-line overrides, including the invalid one.
        schema: of the whole configuration.

    Raises:
        ConfigError: instead of an error of Hydra or OmegaConf.
    """
    _check_names(overrides)
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(with_others(explain(error, overrides), overrides, schema)) from error
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
    schema = OmegaConf.get_type(config)
    with config_errors(list(map(str, overrides or ())), schema if is_dataclass(schema) else Config):
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
        return f"{given(found[1], overrides)}: choose one of {', '.join(_listed(text))}"
    if found := re.match(r"(?:Ambiguous value for argument|Sweep parameters) '(.*)'", text):
        return several_values(given(found[1].partition("=")[0], overrides, found[1]))
    if "Sweeping over Hydra's" in text:
        return f"{text.partition(' : ')[2].strip(chr(39))}: Hydra's own settings cannot be swept; give one value"
    if found := re.match(
        r"Could not delete from config\. '?([^']+?)'? does not exist|Could not delete '([^']+)'", text
    ):
        key = found[1] or found[2]
        return f"{given(key, overrides)}: there is no option {key} to remove; {SHOWN}"
    if found := re.match(r"Multiple values for (\S+)\. ", text):
        group = found[1].split("@")[0]
        return f"{given(group, overrides)}: {group} already has a value; write {group}=NAME once, without +"
    if isinstance(cause, MissingMandatoryValue):
        return f"{given(cause.full_key, overrides)}: has no value; give one, {cause.full_key}=VALUE"
    if isinstance(cause, InterpolationResolutionError):
        typed = given(cause.full_key, overrides)
        return f"{typed}: {_first_line(cause)}; write a value, or the name of an existing option, such as ${{seed}}"
    if found := re.search(r"Error resolving interpolation '([^']+)'", text):
        typed = next((override for override in overrides if found[1] in override), found[1])
        return f"{typed}: {found[1]} is not known yet; write the name of an option"
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
        typed = next((o for o in overrides if "=" in o and name in o), f"-cn {name}")
        return f"{typed}: there is no configuration {name}; leave out -cn and -cp"
    name = str(error.missing_cfg_file).removeprefix(f"{found[1]}/")
    return no_such_option(found[1], name, _listed(str(error)), overrides)


def _listed(text: str) -> list[str]:
    """Parse the options that Hydra lists, one indented line each, before its search path."""
    return re.findall(r"^\t(\S+)$", text.partition("Config search path")[0], re.MULTILINE)


def _no_such_key(key: str, cause: Any, overrides: Sequence[str]) -> str:
    missing = str(getattr(cause, "full_key", None) or key)
    return no_such_key(missing, getattr(getattr(cause, "object_type", None), "__dataclass_fields__", {}), overrides)


def _wrong_type(cause: ValidationError, overrides: Sequence[str]) -> str:
    key = re.sub(r"\[\d+\]$", "", str(cause.full_key))  # the key of the list, for one of its items
    try:
        wanted = get_type_hints(cause.object_type)[key.rpartition(".")[2]]
    except (KeyError, TypeError, NameError):
        return f"{given(key, overrides)}: {_first_line(cause)}; {SHOWN}"
    kind, example = _kind(wanted)
    value = given(key, overrides).partition("=")[2]
    if example == "[a]" and re.fullmatch(r"[\w./-]+", value):  # one text in place of a list of texts
        example = f"[{value}]"
    example = _default(cause.object_type, key.rpartition(".")[2]) or example
    studies = f"; in a study file, where a list is swept, {key}: [{example}]" if kind == "a list" else ""
    return f"{given(key, overrides)}: takes {kind}; write {key}={example}, for example{studies}"


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


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]

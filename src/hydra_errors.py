"""What Hydra and OmegaConf refuse, in this program's words: key, value, what is wrong, way out."""

import enum
import re
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, Union, get_args, get_origin, get_type_hints

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

from src.config import ConfigError, plain_values

SHOWN = "see the options with --cfg job"
NO_NAME = "Config group override must be a string"  # attention=1
FLAGS = ("Only one of --run", "The --resolve flag")  # --cfg job -m
EXAMPLES = {
    int: ("a whole number", "4"),
    float: ("a number", "0.5"),
    bool: ("true or false", "true"),
    str: ("text", "a"),
}


@contextmanager
def config_errors(overrides: Sequence[str]) -> Iterator[None]:
    """Turn what Hydra refuses inside into an error that names key, value and a way out.

    Args:
        overrides: of the command line, the refused one among them.

    Raises:
        ConfigError: instead of an error of Hydra or OmegaConf.
    """
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error, overrides)) from error
    except ValueError as error:
        if str(error).startswith(FLAGS):
            raise ConfigError(str(error)) from error
        if not str(error).startswith(NO_NAME):
            raise
        wrong = next((o for o in overrides if re.fullmatch(r"[\w/]*=(\d+|null|true|false)?", o)), "")
        raise ConfigError(f"{wrong}: a group takes the name of one of its options; {SHOWN}") from error


def job_values(config: DictConfig) -> dict[str, Any]:
    """The values of the job that Hydra is at.

    Raises:
        ConfigError: also for what OmegaConf finds only now, such as an interpolation that points to nothing.
    """
    with config_errors(OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)):
        return plain_values(config)


def explain(error: Exception, overrides: Sequence[str]) -> str:
    """One line that says what was refused, and how to go on."""
    text = str(error)
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override)
    if isinstance(error, SearchPathException) and (found := re.search(r"directory '(.*)' not found", text)):
        return f"-cd {found[1]}: there is no such folder; give the one that holds your own attention/NAME.yaml"
    if isinstance(error, MissingConfigException):
        return _no_such_option(error, overrides)
    if found := re.match(r"You must specify '([^']+)'", text):
        return f"{_given(found[1], overrides)}: choose one of {', '.join(_listed(text))}"
    if found := re.match(r"(?:Ambiguous value for argument|Sweep parameters) '(.*)'", text):
        key = found[1].partition("=")[0]
        return f"{found[1]}: several values are a sweep; add -m, or write one list as '{key}=[a,b]'"
    if "Sweeping over Hydra's" in text:
        return f"{text.partition(' : ')[2].strip(chr(39))}: Hydra's own settings cannot be swept; give one value"
    if found := re.match(
        r"Could not delete from config\. '?([^']+?)'? does not exist|Could not delete '([^']+)'", text
    ):
        return f"~{found[1] or found[2]}: there is no such option to leave out; {SHOWN}"
    if found := re.match(r"Multiple values for (\S+)\. ", text):
        group = found[1].split("@")[0]
        return f"{_given(group, overrides)}: {group} has a value already; write {group}=NAME, once and without +"
    if "is not a subclass of" in text and (found := re.match(r"In 'schema/(\w+)/", text)):
        return f"{_given(found[1], overrides)}: takes one option; choose one, or sweep over several with -m"
    if isinstance(cause, MissingMandatoryValue):
        return f"{_given(cause.full_key, overrides)}: has no value; give one, {cause.full_key}=VALUE"
    if isinstance(cause, InterpolationResolutionError):
        given = _given(cause.full_key, overrides)
        return f"{given}: {_first_line(cause)}; write a value, or name an option that there is, such as ${{seed}}"
    if found := re.match(r"Could not override '([^']+)'", text):
        return _no_such_key(found[1], cause, overrides)
    if isinstance(cause, ValidationError):
        return _wrong_type(cause, overrides)
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        return _no_such_key(str(cause.full_key), cause, overrides)
    return f"{' '.join(text.split())}; {SHOWN}, or more about this error with HYDRA_FULL_ERROR=1"


def _unreadable(override: str) -> str:
    key = override.partition("=")[0] if re.match(r"[\w./]+=", override) else "KEY"
    return (
        f"{override}: this cannot be read as KEY=VALUE; write a list as '{key}=[a,b]', "
        f"and text with spaces or signs in two kinds of quotes: \"{key}='TEXT'\""
    )


def _no_such_option(error: MissingConfigException, overrides: Sequence[str]) -> str:
    found = re.search(r"Available options in '([^']+)'", str(error))
    if not found:
        name = str(error.missing_cfg_file)
        given = next((o for o in overrides if "=" in o and name in o), f"-cn {name}")
        return f"{given}: there is no configuration {name}; leave -cn and -cp out for this program's own"
    group, there = found[1], _listed(str(error))
    name = str(error.missing_cfg_file).removeprefix(f"{group}/")
    close = get_close_matches(name, there, 1)
    hint = f"did you mean {close[0]}? " if close else ""
    if group == "data" and name.endswith((".yaml", ".yml")):
        hint = f"a data set of your own is data.yaml={name}; "
    return f"{_given(group, overrides, f'{group}={name}')}: there is no {group} {name}; {hint}choose {', '.join(there)}"


def _listed(text: str) -> list[str]:
    """The options that Hydra lists, one indented line each, before its search path."""
    return re.findall(r"^\t(\S+)$", text.partition("Config search path")[0], re.MULTILINE)


def _no_such_key(key: str, cause: Any, overrides: Sequence[str]) -> str:
    given = _given(key, overrides)
    missing = str(getattr(cause, "full_key", None) or key)
    parent, _, name = missing.rpartition(".")
    there = list(getattr(getattr(cause, "object_type", None), "__dataclass_fields__", {}))
    close = get_close_matches(name, there, 1)
    hint = f"did you mean {'.'.join(filter(None, [parent, close[0]]))}? " if close else ""
    return f"{given}: there is no option {missing}; {hint}{SHOWN}"


def _wrong_type(cause: ValidationError, overrides: Sequence[str]) -> str:
    key = str(cause.full_key)
    try:
        wanted = get_type_hints(cause.object_type)[key.rpartition(".")[2]]
    except (KeyError, TypeError, NameError):
        return f"{_given(key, overrides)}: {_first_line(cause)}; {SHOWN}"
    kind, example = _kind(wanted)
    return f"{_given(key, overrides)}: takes {kind}; write {key}={example}, for example"


def _kind(wanted: Any) -> tuple[str, str]:
    """A type in words, and an example of it."""
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


def _given(key: str | None, overrides: Sequence[str], otherwise: str | None = None) -> str:
    """The override that sets a key; of several, the last one, which is the one that holds."""
    key = str(key)
    for override in reversed(overrides):
        name = override.partition("=")[0].lstrip("+~")
        if name == key or name.startswith((f"{key}.", f"{key}@")) or key.startswith(f"{name}."):
            return override
    return otherwise or key


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]

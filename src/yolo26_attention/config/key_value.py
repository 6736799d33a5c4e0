"""Parse NAME key=value arguments that Hydra does not read, by a schema and OmegaConf's conversions."""

import sys
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields
from difflib import get_close_matches
from typing import Any, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.plain_yaml import as_override
from yolo26_attention.config.words import refuse_word

Schema = TypeVar("Schema")
EXPECTED = {bool: "true or false", int: "a whole number", float: "a number"}


def parse_arguments(schema: type[Schema], command: str, about: str) -> Schema:
    """Read the program's arguments; print the help for -h and --help.

    Args:
        schema: as for `read_options`.
        command: the command as typed.
        about: what the command does.

    Exits with a message that names key, value and a way out if an argument is invalid.
    """
    arguments = sys.argv[1:]
    names = " ".join(_shown_name(field) for field in fields(schema) if _is_name(field) or field.metadata.get("many"))  # type: ignore[arg-type]
    usage = " ".join(filter(None, [command, names, "[key=value ...]"]))
    if {"-h", "--help"} & set(arguments):
        print("\n".join([usage, "", about, "", *option_lines(schema)]))
        sys.exit()
    try:
        return read_options(schema, arguments)
    except ConfigError as error:
        sys.exit(f"error: {error}\nusage: {usage}")


def option_lines(schema: type) -> list[str]:
    """One line for each name and option: default and meaning."""
    shown = {_shown_name(field): field.metadata["help"] for field in fields(schema)}
    width = max(map(len, shown))
    return [f"  {text:<{width}}  {meaning}" for text, meaning in shown.items()]


def _is_name(option: "Field[Any]") -> bool:
    return option.default is MISSING and option.default_factory is MISSING


def _shown_name(option: "Field[Any]") -> str:
    """The option as help shows it."""
    if option.metadata.get("many"):
        return f"[{option.name.upper()} ...]"
    return option.name.upper() if _is_name(option) else f"{option.name}={_default(option)}"


def read_options(schema: type[Schema], arguments: Sequence[str]) -> Schema:
    """Convert arguments to a dataclass.

    Args:
        schema: a dataclass. Fields without a default are names, given in order and without a key, such as a study's;
            every other field is an option. `metadata` may have `help`; `shown`, the default in words; `choices`;
            `least`, the smallest value; `below`, above the largest value; `many`, for a list of further names.
        arguments: `NAME` and `key=value`; null is None.

    Raises:
        ConfigError: naming key, value and a way out.
    """
    known: dict[str, Field[Any]] = {field.name: field for field in fields(schema)}  # type: ignore[arg-type]
    names = [name for name, field in known.items() if _is_name(field)]
    many = next((name for name, field in known.items() if field.metadata.get("many")), None)
    config = OmegaConf.structured(schema)
    OmegaConf.set_readonly(config, False)
    for argument in arguments:
        key, equals, value = argument.partition("=")
        refuse_word(argument)
        if not equals and names:
            key, value = names.pop(0), argument
        elif not equals and many is not None and not argument.startswith("-"):
            config[many].append(argument)
            continue
        elif not equals or key not in known:
            close = get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]}=?" if close else f"there are {', '.join(known)}"
            raise ConfigError(f"{argument}: no such option; {hint}")
        if key in names:
            names.remove(key)
        try:
            config[key] = None if value == "null" else value
            converted = config[key]
        except OmegaConfBaseException as error:
            raise ConfigError(f"{key}={value} is not {_expected(known[key])}") from error
        _check(known[key], value, converted)
    if names:
        raise ConfigError(f"{names[0].upper()} is missing: {known[names[0]].metadata['help']}")
    return OmegaConf.to_object(config)  # type: ignore[return-value]


def _check(option: "Field[Any]", text: str, value: Any) -> None:
    """Refuse a value outside the limits in the option's metadata."""
    limits = option.metadata
    if "choices" in limits and value not in limits["choices"]:
        raise ConfigError(f"{option.name}={text}: try {', '.join(limits['choices'])}")
    if value is None:
        return
    if "least" in limits and not value >= limits["least"]:
        raise ConfigError(f"{option.name}={text} is below {limits['least']:g}; the default is {_default(option)}")
    if "below" in limits and not value < limits["below"]:
        raise ConfigError(f"{option.name}={text} is not below {limits['below']:g}; the default is {_default(option)}")


def _expected(option: "Field[Any]") -> str:
    kinds = [EXPECTED[kind] for kind in EXPECTED if option.type in (kind, kind | None)]
    return f"{kinds[0] if kinds else 'a text'}; the default is {_default(option)}"


def _default(option: "Field[Any]") -> str:
    """The default as it is shown; `shown` in the metadata says what None stands for."""
    return str(option.metadata.get("shown", as_override(option.default)))

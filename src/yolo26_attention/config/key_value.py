"""Parse NAME key=value arguments without Hydra and its start-up time, for commands that only read."""

import argparse
from dataclasses import MISSING, fields
from difflib import get_close_matches
from typing import Any

from yolo26_attention.config.plain_yaml import as_override


def parse_arguments(schema: type, command: str, about: str) -> Any:
    """Fill a dataclass from NAME key=value ...; `metadata["help"]` of its fields is their help.

    Args:
        schema: a first field without a default is NAME, such as a study's; every other field is an option.
        command: the command as typed.
        about: what the command does.

    Exits with a message that names key, value and a way out if an argument is invalid.
    """
    options = [field for field in fields(schema) if field.default is not MISSING]
    names = [field for field in fields(schema) if field.default is MISSING]
    shown = {f"{option.name}={_default(option)}": option.metadata["help"] for option in options}
    width = max(map(len, shown))
    lines = [f"  {text:<{width}}  {meaning}" for text, meaning in shown.items()]
    parser = argparse.ArgumentParser(
        prog=command,
        description=about,
        epilog="options and their defaults:\n" + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name in names:
        parser.add_argument(name.name, help=name.metadata["help"])
    parser.add_argument("options", nargs="*", metavar="key=value", help="see below")
    given = parser.parse_args()
    known = {option.name: option for option in options}
    values: dict[str, Any] = {name.name: getattr(given, name.name) for name in names}
    for text in given.options:
        key, equals, value = text.partition("=")
        if not equals or key not in known:
            close = get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]}=?" if close else f"there are {', '.join(known)}"
            parser.error(f"{text}: no such option; {hint}")
        values[key] = _converted(parser, known[key], value)
    return schema(**values)


def _default(option: Any) -> str:
    """The default as it is shown; `shown` in the metadata says what None stands for."""
    return str(option.metadata.get("shown", as_override(option.default)))


def _converted(parser: argparse.ArgumentParser, option: Any, value: str) -> Any:
    kind = option.metadata.get("kind", type(option.default))
    choices = option.metadata.get("choices")
    if choices is not None and value not in choices:
        parser.error(f"{option.name}={value}: try {', '.join(choices)}")
    if kind is bool:
        if value not in ("true", "false"):
            parser.error(f"{option.name}={value}: try true or false")
        return value == "true"
    try:
        number = kind(value)
    except ValueError:
        parser.error(f"{option.name}={value} is not a number; the default is {_default(option)}")
    least = option.metadata.get("least")
    if least is not None and not number >= least:
        parser.error(f"{option.name}={value} is below {least:g}; the default is {_default(option)}")
    below = option.metadata.get("below")
    if below is not None and not number < below:
        parser.error(f"{option.name}={value} is not below {below:g}; the default is {_default(option)}")
    return number

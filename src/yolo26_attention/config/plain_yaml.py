"""Parse YAML written by users, with readable errors; overrides in the notation of Hydra's command line."""

import re
from contextlib import suppress
from typing import Any

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_yaml(content: bytes) -> Any:
    """Parse the content of a YAML file, which may begin with a byte-order mark.

    Raises:
        ValueError: with the problem and its line, as the end of a sentence that begins with the file.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError("is not text in UTF-8; save it as such") from error
    try:
        return yaml.load(text, Loader=LOADER)
    except yaml.YAMLError as error:
        raise ValueError(f"is not valid YAML: {_fault(text, error)}") from error


def as_override(value: Any) -> str:
    """Write a value in the notation of Hydra's command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(as_override, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{as_override(item)}' for key, item in value.items())}}}"
    if isinstance(value, str) and not _is_bare(value):
        # Hydra takes a backslash for an escape only before a quote, which also ends the value.
        escaped = re.sub(r"\\+(?='|\Z)", lambda found: 2 * found[0], value).replace("'", "\\'")
        return f"'{escaped}'"
    return str(value)


def key_of(override: str) -> str:
    """The key of an override in that notation, without + and ~."""
    return override.partition("=")[0].lstrip("+~")


def _is_bare(text: str) -> bool:
    """Whether Hydra's grammar and YAML both read a text without quotes as that text."""
    if not re.fullmatch(r"[\w./+@%-]+", text, re.ASCII) or text.lower() in {"true", "false", "null"}:
        return False
    with suppress(ValueError):
        float(text)  # also 1e5 and inf, which are numbers for Hydra alone
        return False
    try:
        return bool(yaml.safe_load(text) == text)
    except (yaml.YAMLError, ValueError):  # ValueError: 2024-13-45 has the form of a date
        return False


def _fault(text: str, error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return str(error)
    mark = error.problem_mark
    line = text.splitlines()[min(mark.line, len(text.splitlines()) - 1)]
    if "\t" in line:
        return f"line {mark.line + 1} has a tab; indent with spaces"
    return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem} in {line.strip()!r}"

"""The options of a schema as rows of a table: name, type, default, values and meaning."""

import types
from collections.abc import Iterable
from dataclasses import fields
from enum import Enum
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from yolo26_attention.config.plain_yaml import as_override

HIDDEN = {"name", "_target_"}  # keys of an attention that are no options


class OptionRow(NamedTuple):
    """One option in words."""

    option: str
    type: str = ""
    default: str = ""
    values: str = ""
    meaning: str = ""


HEADER = OptionRow("option", "type", "default", "values", "meaning")


def schema_rows(schema: type, group: str) -> list[OptionRow]:
    """Rows of a dataclass whose fields were declared with `option`.

    Args:
        schema: the dataclass.
        group: the key before the dot, such as attention.
    """
    hints = get_type_hints(schema)
    return [
        OptionRow(
            option=f"{group}.{field.name}",
            type=type_name(hints[field.name]),
            default=value_text(field.default),
            values=_members(hints[field.name]) or field.metadata["range"],
            meaning=field.metadata["help"],
        )
        for field in fields(schema)
        if field.name not in HIDDEN
    ]


def type_name(kind: Any) -> str:
    """A type in one word, `int or null` for an optional one."""
    if get_origin(kind) in {Union, types.UnionType}:
        return " or ".join(map(type_name, get_args(kind)))
    if kind is type(None):
        return "null"
    if kind is Any or (isinstance(kind, type) and issubclass(kind, Enum)):
        return "mapping" if kind is Any else "name"
    return getattr(kind, "__name__", str(kind))


def value_text(value: Any) -> str:
    """A value as it is typed on the command line."""
    return value.name if isinstance(value, Enum) else as_override(value)


def _members(kind: Any) -> str:
    """The values of a boolean or an enumeration; "" of other types."""
    if kind is bool:
        return "true, false"
    names: Iterable[Any] = kind if isinstance(kind, type) and issubclass(kind, Enum) else ()
    return ", ".join(member.name for member in names)

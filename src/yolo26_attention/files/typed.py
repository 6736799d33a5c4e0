"""Dataclasses to and from the JSON on disk. Unknown keys are ignored, so that earlier versions read later files."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from yolo26_attention.files.atomic import write_atomically

T = TypeVar("T")
_adapters: dict[type, TypeAdapter[Any]] = {}  # building one takes milliseconds


class NewerFormatError(ValueError):
    """A later version of the program wrote the file; the message says what to do."""


def read_file(kind: type[T], path: Path, newest: int) -> T:
    """Read an instance of a dataclass from a JSON file of this program.

    Args:
        kind: the dataclass.
        path: path of the file.
        newest: the newest format that this version of the program reads.

    Raises:
        FileNotFoundError: if there is no such file.
        NewerFormatError: if a later version of the program wrote it.
        ValueError: if it is not valid JSON, not an object, or does not fit the dataclass.
    """
    text = path.read_bytes()
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, not fields")
    found = content.get("format", 0)
    if not isinstance(found, int):
        raise ValueError(f"its format is {found!r}, not a number")
    if found > newest:
        raise NewerFormatError(
            f"{path} has format {found}, but this version of the program reads formats up to {newest}; upgrade the "
            "program, or choose another output_dir"
        )
    return parse(kind, text)


def write_file(path: Path, instance: Any, version: int) -> None:
    """Replace a JSON file by a dataclass atomically, with the version of its format."""
    write_atomically(path, json.dumps({"format": version, **plain(instance)}, indent=2) + "\n")


def parse(kind: type[T], text: str | bytes) -> T:
    """Read an instance of a dataclass from JSON.

    Raises:
        ValueError: if the text is not JSON, or if a field is missing or has another type.
    """
    try:
        return _adapter(kind).validate_json(text, strict=True)  # "0" is no number
    except ValidationError as error:
        raise ValueError("; ".join(_problems(error))) from error


def plain(value: Any) -> Any:
    """Convert dataclasses, at any depth, to what JSON holds, without fields that are None by default and are None."""
    if is_dataclass(value) and not isinstance(value, type):
        pairs = ((each, getattr(value, each.name)) for each in fields(value))
        return {each.name: plain(found) for each, found in pairs if found is not None or each.default is not None}
    if isinstance(value, Mapping):
        return {key: plain(found) for key, found in value.items()}
    return [plain(found) for found in value] if isinstance(value, list | tuple) else value


def _adapter(kind: type[T]) -> TypeAdapter[T]:
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def _problems(error: ValidationError) -> list[str]:
    """Describe each problem once; where several types are possible, pydantic repeats it for each of them."""
    said = {}
    for each in error.errors(include_url=False):
        key = ".".join(str(part) for part in each["loc"] if not str(part)[:1].isupper())  # a type's name
        said[key] = f"{key} is missing" if each["type"] == "missing" else f"{key} is {each['input']!r}: {each['msg']}"
    return [text if key else text.removeprefix(" is ") for key, text in said.items()]

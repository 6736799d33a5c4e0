"""The options of a class of your own, read from its source without running it, so that `--help` stays quick."""

import ast
import inspect
import re
from collections.abc import Sequence
from pathlib import Path

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.option_rows import OptionRow

NOT_OPTIONS = {"self", "out_channels"}


def own_signature(target: str, folders: Sequence[str]) -> tuple[str, dict[str, OptionRow]] | None:
    """The docstring of a class or function, and a row for each of its arguments except the channels.

    Args:
        target: its dotted path.
        folders: those given with -cd.

    Returns:
        None if no folder has the file, or the file has no such class or function.

    Raises:
        ConfigError: with file and line, if the file cannot be read or is no Python.
    """
    module, _, name = target.rpartition(".")
    file = _source(module, folders)
    if file is None:
        return None
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    except SyntaxError as error:
        raise ConfigError(f"attention._target_={target}: {file}:{error.lineno}: SyntaxError: {error.msg}") from error
    except (OSError, ValueError) as error:  # also null bytes
        raise ConfigError(f"attention._target_={target}: {file}: {error}; save it as UTF-8") from error
    definitions = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    found = definitions.get(name)
    if found is None:
        return None
    doc = ast.get_docstring(found) or ""
    function = found if isinstance(found, ast.FunctionDef) else _constructor(found, definitions)
    if function is None:
        return doc, {}
    return doc, _rows(function, _arguments(doc) | _arguments(ast.get_docstring(function) or ""))


def _source(module: str, folders: Sequence[str]) -> Path | None:
    places = [Path(folder, *module.split(".")) for folder in folders]
    files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
    return next((file for file in files if file.is_file()), None)


def _constructor(found: ast.ClassDef, definitions: dict[str, ast.ClassDef | ast.FunctionDef]) -> ast.FunctionDef | None:
    """`__init__` of a class, or of the nearest base in the same file that has one."""
    for node in found.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return node
    for base in found.bases:
        inherited = definitions.get(ast.unparse(base))
        if isinstance(inherited, ast.ClassDef) and inherited is not found:
            return _constructor(inherited, definitions)
    return None


def _rows(function: ast.FunctionDef, meanings: dict[str, str]) -> dict[str, OptionRow]:
    taken = function.args
    positional = [*taken.posonlyargs, *taken.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(taken.defaults)) + list(taken.defaults)
    pairs = [(argument, default) for argument, default in zip(positional, defaults, strict=True)]
    pairs = [pair for pair in pairs if pair[0].arg != "self"][1:]  # the first one gets the channels
    pairs += zip(taken.kwonlyargs, taken.kw_defaults, strict=True)
    return {
        argument.arg: OptionRow(
            option=argument.arg,
            type="" if argument.annotation is None else ast.unparse(argument.annotation).replace(" | None", " or null"),
            default="" if default is None else _typed(ast.unparse(default)),
            meaning=meanings.get(argument.arg, ""),
        )
        for argument, default in pairs
        if argument.arg not in NOT_OPTIONS
    }


def _typed(value: str) -> str:
    """A Python literal as it is typed on the command line."""
    return {"None": "null", "True": "true", "False": "false"}.get(value, value.strip("'\""))


def _arguments(doc: str) -> dict[str, str]:
    """What a docstring says of each argument, in Google's form: `Args:`, then indented `name: meaning`."""
    found = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", inspect.cleandoc(doc) + "\n", re.MULTILINE)
    if not found:
        return {}
    entries = re.findall(
        r"^(\w+)(?: \([^)]*\))?:[ ]*((?:.*\n?)(?:[ \t]+.*\n?)*)", inspect.cleandoc(found[1]), re.MULTILINE
    )
    return {name: " ".join(text.split()).rstrip(".") for name, text in entries}

"""The source files of a user's class; a change to any of them makes a new run."""

import ast
import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.detector.importing import find_class
from yolo26_attention.detector.mix import attention_groups
from yolo26_attention.detector.own_imports import differs_from_imported, is_library
from yolo26_attention.files.digest import file_digest

_files_before: dict[tuple[Path, str], "OwnCode"] = {}  # by a class's file and its content


@dataclass(frozen=True)
class OwnCode:
    """The file of a class and the files below its folder that it imports, directly or not, except this program's.

    For a class in an installed package, only the class's file. `at_import` are those that the import of the class's
    module imports, without what functions import later: those that identities of earlier versions covered.
    """

    file: Path
    imported: tuple[Path, ...]
    at_import: tuple[Path, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the files' content now; for a single file, that of `file_digest`."""
        return _joined(file_digest(self.file), map(file_digest, self.imported))

    @property
    def earlier_fingerprint(self) -> str:
        """As `fingerprint`, of what the import of the class's module imports."""
        return _joined(file_digest(self.file), map(file_digest, self.at_import))

    @property
    def changed_at(self) -> float:
        """Newest mtime of the files, in seconds since the epoch."""
        return max(path.stat().st_mtime for path in (self.file, *self.imported))


def own_code(found: Any) -> OwnCode | None:
    """Find the files of a class or function; None if it has none, as for a built-in.

    It follows the imports in the source, so the answer does not depend on what functions have imported before.

    Raises:
        TypeError: if it is neither a class nor a function.
        ConfigError: if its module has bytecode only.
    """
    source = inspect.getsourcefile(found)
    module = sys.modules.get(found.__module__)
    if source is None or module is None:
        return None
    if not os.path.isfile(source):
        raise ConfigError(
            f"attention._target_={found.__module__}.{found.__qualname__}: its source {source} is not there, so a "
            "change of its code would go unnoticed; put the .py file back, or start the command again if it was moved"
        )
    start, file = Path(os.path.abspath(module.__file__ or source)), Path(source).resolve()
    if is_library(module.__name__, file):
        return OwnCode(file, ())
    imports = _Imports(module.__name__, start, file)
    at_import = imports.follow({}, everywhere=False)
    return OwnCode(file, imports.files(imports.follow(at_import, everywhere=True)), imports.files(at_import))


def imported_fingerprint(found: Any) -> str | None:
    """Fingerprint of the code of a class or function as this process imported it; None if it has no files.

    Raises:
        TypeError: if it is neither a class nor a function.
        ConfigError: if a file changed since it was imported, as this process would go on running the former code.
    """
    code = own_code(found)
    if code is None:
        return None
    prints = {file: file_digest(file) for file in (code.file, *code.imported) if file.is_file()}
    before = _files_before.setdefault((code.file, prints[code.file]), code)
    changed = [file for file in code.imported if file not in prints]
    changed += [file for file, content in prints.items() if differs_from_imported(file, content)]
    changed += sorted(set(before.imported) ^ set(code.imported))
    if changed:
        raise ConfigError(
            f"attention._target_={found.__module__}.{found.__qualname__}: {changed[0]} changed after this command "
            "imported it, and the command still runs the former code; start the command again, which trains with the "
            "new code as a new run"
        )
    return _joined(prints[code.file], [prints[file] for file in code.imported])


def code_changed(trained: Mapping[str, Any]) -> str | None:
    """Say whether the code of a user's class is no longer that with which a run was trained.

    Args:
        trained: the attention group in the run's record. Its class is imported.

    Returns:
        The class and its file, in words; None if nothing changed or the class is this program's.

    Raises:
        ValueError: if the class cannot be imported, or its source is not there.
    """
    return next(filter(None, map(_changed, attention_groups(trained))), None)


def _changed(attention: Mapping[str, Any]) -> str | None:
    source, target = attention.get("source"), attention.get("_target_")
    if source is None or target is None:
        return None
    code = own_code(find_class(target))
    if code is None or source in (code.fingerprint, code.earlier_fingerprint, file_digest(code.file)):
        return None
    return f"the code of {target} ({code.file}, or what it imports) is not the code that the run was trained with"


class _Imports:
    """Finds the files that a module imports, by their names and without importing anything."""

    def __init__(self, module: str, start: Path, file: Path) -> None:
        """Args: name and file of the module, which may be a link; file of the class, resolved."""
        importlib.invalidate_caches()
        self.module, self.start, self.file = module, start, file
        depth = module.count(".")
        self.roots = {path.parents[min(depth, len(path.parents) - 1)] for path in (start, file)}
        inside = depth + (start.name == "__init__.py")
        self.top = start.parents[min(inside, len(start.parents) - 1)]  # the folder that has the module's package

    def follow(self, known: Mapping[str, Path], *, everywhere: bool) -> dict[str, Path]:
        """Files of the modules that the module and the known ones import, by name.

        Args:
            known: files of modules.
            everywhere: whether imports in functions and in branches not taken count, too. Otherwise only what the
                import of the module did import.
        """
        located = {self.module: self.start, **known}
        todo = list(located.items())
        while todo:
            name, path = todo.pop()
            if not self._counts(name, path):
                continue
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            names = {name, *_imported_names(path, package, everywhere=everywhere)}
            names |= {each.rsplit(".", count)[0] for each in names for count in range(1, each.count(".") + 1)}
            for each in names - set(located):
                file = self._locate(each) if everywhere else _loaded(each)
                if file is not None:
                    located[each] = file
                    todo.append((each, file))
        return located

    def files(self, located: Mapping[str, Path]) -> tuple[Path, ...]:
        """Resolved paths of the files that count, without the class's."""
        return tuple(
            sorted({path.resolve() for name, path in located.items() if self._counts(name, path)} - {self.file})
        )

    def _counts(self, name: str, path: Path) -> bool:
        """Whether a module's file is source below the module's folder, as a link or as its target."""
        below = any(each.is_relative_to(root) for each in (path, path.resolve()) for root in self.roots)
        return below and path.suffix == ".py" and not is_library(name, path)

    def _locate(self, name: str) -> Path | None:
        """The source file of a module; None if there is none, as for what is built in and for an attribute."""
        top, *inner = name.split(".")
        file, folders = _search(top, [self.top]) if top == self.module.partition(".")[0] else _find_top_level(top)
        for part in inner:
            file, folders = _search(part, folders)
        return file


def _loaded(name: str) -> Path | None:
    """The file of an imported module."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return None if file is None else Path(os.path.abspath(file))


def _search(name: str, folders: Iterable[Path]) -> tuple[Path | None, list[Path]]:
    """Source file of a module in some folders, and the folders in which its submodules are."""
    portions = []
    for folder in folders:
        package = folder / name / "__init__.py"
        if package.is_file():
            return package, [package.parent]
        if (module := folder / f"{name}.py").is_file():
            return module, []
        if package.parent.is_dir():
            portions.append(package.parent)
    return None, portions


def _find_top_level(name: str) -> tuple[Path | None, list[Path]]:
    """As `_search`, in the order in which Python searches."""
    for finder in sys.meta_path:
        spec = finder.find_spec(name, None)
        if spec is not None:
            file = Path(spec.origin) if spec.has_location and spec.origin is not None else None
            folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
            return (file if file is None or file.suffix == ".py" else None), folders
    return None, []


def _imported_names(file: Path, package: str, *, everywhere: bool) -> Iterator[str]:
    """Names of the modules that a file may import."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):  # gone, which the fingerprint reports, or refused by its import
        return
    for node in _statements(tree, everywhere=everywhere):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                if package.count(".") + 1 < node.level or not package:
                    continue  # leads out of its package: Python refuses it
                origin = resolve_name("." * node.level + origin, package)
            yield from (origin, *(f"{origin}.{alias.name}" for alias in node.names))


def _statements(node: ast.AST, *, everywhere: bool) -> Iterator[ast.AST]:
    """All nodes, without blocks that an import never runs; those in functions only if `everywhere`."""
    inner = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.If) and _never_runs(node.test):
        inner = list(node.orelse)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not everywhere:
        inner = []
    yield node
    for each in inner:
        yield from _statements(each, everywhere=everywhere)


def _never_runs(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__ == '__main__'")


def _joined(first: str, others: Iterable[str]) -> str:
    prints = [first, *sorted(others)]
    return first if len(prints) == 1 else hashlib.sha256(" ".join(prints).encode()).hexdigest()

"""The source files of a user's class; a change to any of them makes a new run."""

import ast
import hashlib
import inspect
import sys
from dataclasses import dataclass
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType
from typing import Any

INSTALLED = {"site-packages", "dist-packages"}
PROGRAM = __name__.partition(".")[0]  # an upgrade of this program makes no new run


@dataclass(frozen=True)
class OwnCode:
    """The file of a class and the files below its folder that it imports, directly or not, except this program's.

    For a class in an installed package, only the class's file.
    """

    file: Path
    imported: tuple[Path, ...]

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the files' content; for a single file, that of `file_fingerprint`."""
        prints = [file_fingerprint(self.file), *sorted(file_fingerprint(path) for path in self.imported)]
        return prints[0] if len(prints) == 1 else hashlib.sha256(" ".join(prints).encode()).hexdigest()

    @property
    def changed_at(self) -> float:
        """Newest mtime of the files, in seconds since the epoch."""
        return max(path.stat().st_mtime for path in (self.file, *self.imported))


def own_code(found: Any) -> OwnCode | None:
    """Find the files of a class or function; None if it has none, as for a built-in.

    Raises:
        TypeError: if it is neither a class nor a function.
    """
    source = inspect.getsourcefile(found)
    module = sys.modules.get(found.__module__)
    if source is None or module is None:
        return None
    file = Path(source).resolve()
    root = file.parents[min(module.__name__.count("."), len(file.parents) - 1)]
    return OwnCode(file, tuple(sorted(_files_below(root, module) - {file})))


def _files_below(root: Path, module: ModuleType) -> set[Path]:
    """Files below a folder that a module imports, directly or not, including the module's own."""
    seen: set[Path] = set()
    todo = [module]
    while todo:
        module = todo.pop()
        file = Path(getattr(module, "__file__", None) or "").resolve()
        others = INSTALLED & set(file.parts) or module.__name__.partition(".")[0] == PROGRAM
        if others or file.suffix != ".py" or not file.is_relative_to(root) or file in seen:
            continue
        seen.add(file)
        todo += [sys.modules[name] for name in _imports(file, module) if name in sys.modules]
    return seen


def _imports(file: Path, module: ModuleType) -> set[str]:
    """Names of the modules that a file may import, and of their packages."""
    names: set[str] = {module.__name__}
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                origin = resolve_name("." * node.level + origin, module.__package__ or module.__name__)
            names |= {origin, *(f"{origin}.{alias.name}" for alias in node.names)}
    return names | {name.rsplit(".", count)[0] for name in names for count in range(1, name.count(".") + 1)}


def file_fingerprint(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

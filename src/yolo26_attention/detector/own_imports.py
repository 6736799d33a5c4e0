"""Import modules outside the installed packages from their source, and remember what was imported.

Python runs the bytecode in __pycache__ if size and mtime (in whole seconds) of the source are those of when it was
compiled, so an edit can go unnoticed. And a module that was imported keeps its code while its file changes.
"""

import hashlib
import os
import sys
import sysconfig
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

INSTALLED = {"site-packages", "dist-packages"}
PROGRAM = __name__.partition(".")[0]
LIBRARY = {os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}

_imported: dict[str, dict[str, str]] = {}  # by file and module: SHA-256 of the source
_expected: dict[str, str] = {}  # by file: as it was when a run's code was first fingerprinted


def compile_from_source() -> None:
    """Make Python import modules outside the installed packages from their source, never from cached bytecode."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        at = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
        sys.meta_path.insert(at, _Finder())


def is_library(module: str, file: str | Path) -> bool:
    """Whether a module belongs to this program, to an installed package or to Python."""
    if module.partition(".")[0] == PROGRAM or not INSTALLED.isdisjoint(Path(file).parts):
        return True  # most modules, without a look at the disk
    resolved = os.path.realpath(file)
    in_library = any(resolved.startswith(folder + os.sep) for folder in LIBRARY)
    return in_library or not INSTALLED.isdisjoint(Path(resolved).parts)


def differs_from_imported(file: Path, fingerprint: str) -> bool:
    """Whether a file differs from what this process imported; if it imported nothing, from the file at the first call.

    Args:
        file: the file.
        fingerprint: SHA-256 of its content now.
    """
    path = os.path.realpath(file)
    known = set(_imported.get(path, {}).values()) or {_expected.setdefault(path, fingerprint)}
    return known != {fingerprint}


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        source = self.get_data(path)
        file, fingerprint = os.path.realpath(path), hashlib.sha256(source).hexdigest()
        if file not in _imported and _expected.get(file, fingerprint) != fingerprint:
            raise ImportError(f"{file} changed while this command runs; start the command again", name=fullname)
        code: CodeType = self.source_to_code(source, path)
        _imported.setdefault(file, {})[fullname] = fingerprint
        return code


class _Finder(MetaPathFinder):
    """Finds what the finders after it find, with another loader for source files."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if type(spec.loader) is SourceFileLoader and not is_library(fullname, spec.loader.path):
                    spec.loader = _Loader(fullname, spec.loader.path)
                return spec
        return None

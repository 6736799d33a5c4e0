"""The module names that checkpoints have from before the library had its own: `src.attention`, `src.detector`."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

LIBRARY = "yolo26_attention"
FORMER = ("src.attention", "src.detector")


def current_name(path: str) -> str:
    """The dotted path of a module, class or function today; one that never moved stays as it is."""
    moved = any(path == former or path.startswith(f"{former}.") for former in FORMER)
    return LIBRARY + path.removeprefix("src") if moved else path


def find_former_names() -> None:
    """Let the former names import today's modules, unless another package is called `src.attention`."""
    if not any(isinstance(finder, _FormerNames) for finder in sys.meta_path):
        sys.meta_path.insert(0, _FormerNames())


class _FormerNames(MetaPathFinder, Loader):
    """First in line, as a submodule's parent is today's package, in whose folder it would be found a second time."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "src" or fullname in FORMER:
            others = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
            found = next((spec for spec in others if spec is not None), None)
            # A folder without __init__.py is what a moved package leaves behind: nothing but __pycache__.
            taken = found is not None and (fullname == "src" or found.origin is not None)
            return None if taken else ModuleSpec(fullname, self, is_package=True)
        parent = sys.modules.get(fullname.rpartition(".")[0])
        if current_name(fullname) != fullname and parent is not None and parent.__name__.startswith(LIBRARY):
            return ModuleSpec(fullname, self)
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Put today's module in the place of the one that was asked for; `src` itself stays empty."""
        if module.__name__ != "src":
            sys.modules[module.__name__] = import_module(current_name(module.__name__))

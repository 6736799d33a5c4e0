"""Former module names in checkpoints: `src.attention`, `src.detector`."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

LIBRARY = "yolo26_attention"
FORMER = ("src.attention", "src.detector")


def current_name(path: str) -> str:
    """Return the current dotted path of a module, class or function; unchanged if it never moved."""
    moved = any(path == former or path.startswith(f"{former}.") for former in FORMER)
    return LIBRARY + path.removeprefix("src") if moved else path


def find_former_names() -> None:
    """Make the former names import the current modules, unless another package is called `src.attention`."""
    if not any(isinstance(finder, _FormerNames) for finder in sys.meta_path):
        sys.meta_path.insert(0, _FormerNames())


class _FormerNames(MetaPathFinder, Loader):
    """Comes first: a submodule's parent is the current package, whose folder would load it a second time."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "src" or fullname in FORMER:
            others = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
            found = next((spec for spec in others if spec is not None), None)
            # A moved package leaves behind a folder without __init__.py, with only __pycache__.
            taken = found is not None and (fullname == "src" or found.origin is not None)
            return None if taken else ModuleSpec(fullname, self, is_package=True)
        parent = sys.modules.get(fullname.rpartition(".")[0])
        if current_name(fullname) != fullname and parent is not None and parent.__name__.startswith(LIBRARY):
            return ModuleSpec(fullname, self)
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Replace the requested module by the current one; `src` itself stays empty."""
        if module.__name__ != "src":
            sys.modules[module.__name__] = import_module(current_name(module.__name__))

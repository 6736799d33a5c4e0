"""Attention ablations on YOLO26.

    from yolo26_attention import Study, grafted_yolo

Ultralytics reads the environment when it is first imported, so the one setting the library relies on is made here: it
must never pip-install anything at run time (a checkpoint whose class is missing would make it install that name).
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from yolo26_attention.compat.former_names import find_former_names

if TYPE_CHECKING:
    from yolo26_attention.reporting.notebook import Study
    from yolo26_attention.yolo import GraftedYOLO, grafted_yolo

    __version__: str

__all__ = ["GraftedYOLO", "Study", "grafted_yolo"]

os.environ.setdefault("YOLO_AUTOINSTALL", "false")
find_former_names()


def __getattr__(name: str) -> Any:
    """Import Ultralytics only for those who build a network, and the statistics only for those who read a study."""
    if name in __all__:
        module = "yolo26_attention.reporting.notebook" if name == "Study" else "yolo26_attention.yolo"
        return getattr(import_module(module), name)
    if name == "__version__":
        from importlib.metadata import version  # takes longer than the rest of this module

        return version("yolo26-attention")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

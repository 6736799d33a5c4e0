"""Attention ablations on YOLO26.

    from yolo26_attention import grafted_yolo

Ultralytics reads the environment when it is first imported, so the one setting the library relies on is made here: it
must never pip-install anything at run time (a checkpoint whose class is missing would make it install that name).
"""

import os
from typing import TYPE_CHECKING, Any

from yolo26_attention.compat.former_names import find_former_names

if TYPE_CHECKING:
    from yolo26_attention.yolo import GraftedYOLO, grafted_yolo

__all__ = ["GraftedYOLO", "grafted_yolo"]

os.environ.setdefault("YOLO_AUTOINSTALL", "false")
find_former_names()


def __getattr__(name: str) -> Any:
    """Import torch and Ultralytics only for those who build a network."""
    if name in __all__:
        from yolo26_attention import yolo

        return getattr(yolo, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

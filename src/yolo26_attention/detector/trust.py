"""Decide whose code may run: classes in a checkpoint, and dotted paths in a configuration.

Both are checked by name before they are imported or unpickled.
"""

import importlib
import os
import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from yolo26_attention.attention.options import ATTENTION_SCHEMAS
from yolo26_attention.compat.former_names import current_name
from yolo26_attention.compat.ultralytics import restricted_loading
from yolo26_attention.detector.importing import importing

TARGETS = {getattr(schema, "_target_", None) for schema in ATTENTION_SCHEMAS.values()}
# Modules in grafted checkpoints beside those of Ultralytics and torch.
MODULES = ("yolo26_attention.attention.", "yolo26_attention.detector.", "timm.layers.")
HOOKS = {"yolo26_attention.detector.grafting.append", "yolo26_attention.attention.from_timm.refuse_single_image"}


@dataclass(frozen=True)
class Trust:
    """Code that may run beside this program's own.

    Args:
        everything: whether all code may run.
        folders: folders whose modules may run.
    """

    everything: bool = False
    folders: tuple[str, ...] = ()

    def covers(self, module: str) -> bool:
        """Whether a module is in one of the folders; imports nothing."""
        spec = _top_level(module)
        places = [] if spec is None else list(spec.submodule_search_locations or [])
        if spec is not None and spec.origin is not None and spec.has_location:  # "built-in" is not a file
            places.append(os.path.dirname(spec.origin))
        found = [os.path.realpath(place) for place in places]
        allowed = [os.path.realpath(folder) for folder in self.folders]
        return bool(found) and all(
            any(os.path.commonpath([place, folder]) == folder for folder in allowed) for place in found
        )


def check_target(key: str, target: Any, trust: Trust) -> None:
    """Refuse a dotted path to external code; the import reports paths that name no module.

    Args:
        key: configuration key, for the message.
        target: dotted path of a class.
        trust: what may run.

    Raises:
        ValueError: with the file and the way out.
    """
    if not isinstance(target, str):
        raise ValueError(f"{key}={target} is not a dotted path; write MODULE.CLASS")
    if trust.everything or is_shipped(target):
        return
    spec = _top_level(target)
    if spec is None or trust.covers(target):
        return
    raise ValueError(
        f"{key}={target} is not part of this program, and its code ({spec.origin or spec.name}) is in no "
        "folder given with -cd; give the folder of your class, -cd DIR, or trust=true to run external code"
    )


def is_shipped(target: str) -> bool:
    """Whether a dotted path names one of this program's attentions."""
    return target in TARGETS or target.startswith("yolo26_attention.attention.")


@contextmanager
def known_classes_only(key: str, checkpoint: Any, trust: Trust) -> Iterator[None]:
    """Make Ultralytics load this checkpoint within the block only if all its classes are known.

    It uses Ultralytics' restricted loading, which refuses a class before any of its code runs. Known classes are those
    of Ultralytics, torch, this program, timm's layers and trusted folders.

    Args:
        key: configuration key, for the message.
        checkpoint: path; anything else is left to Ultralytics.
        trust: what may run.

    Raises:
        ValueError: with the class that is refused.
        pickle.UnpicklingError: if the file cannot be read without running code.
    """
    if trust.everything:
        yield
        return
    is_file = isinstance(checkpoint, str | Path) and Path(checkpoint).is_file()
    known = _known_classes(Path(checkpoint), trust) if is_file else []
    try:
        with restricted_loading(known):
            yield
    except TypeError as error:
        if not isinstance(error.__cause__, pickle.UnpicklingError):
            raise
        foreign = re.search(r"GLOBAL (\S+)", str(error.__cause__))
        if foreign is None:
            raise pickle.UnpicklingError("damaged, or readable only with trust=true") from error
        raise ValueError(
            f"{key}={checkpoint} holds {foreign[1]}, which is no part of a YOLO or of this program, and loading it "
            "would run external code; give -cd DIR if it is a class of your own, another file, or trust=true if you "
            "trust its author"
        ) from error


def _known_classes(checkpoint: Path, trust: Trust) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(checkpoint)
    except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError):
        return []  # not a zip archive with a safely readable pickle: loading reports it
    found = [(_known_class(name, trust), name) for name in names]
    return [(known, name) for known, name in found if known is not None]


def _known_class(name: str, trust: Trust) -> Any:
    name = current_name(name)
    module = name.rpartition(".")[0]
    if not module.startswith(MODULES) and not trust.covers(module):
        return None
    try:
        with importing(module):
            found = getattr(importlib.import_module(module), name.rpartition(".")[2], None)
    except ImportError:
        return None
    is_module = isinstance(found, type) and issubclass(found, nn.Module)
    return found if is_module or name in HOOKS else None


def _top_level(path: str) -> ModuleSpec | None:
    """Spec of the top-level module of a dotted path; None if there is none."""
    try:
        return find_spec(path.partition(".")[0])
    except ValueError:  # for "", and for a running module without a spec
        return None

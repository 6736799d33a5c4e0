"""Whose code may run: the classes in a checkpoint, and what a dotted path in a configuration names.

Both are judged by name, before anything of them is imported or unpickled.
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

TARGETS = {getattr(schema, "_target_", None) for schema in ATTENTION_SCHEMAS.values()}
# What grafted checkpoints are made of beside Ultralytics' and torch's own modules.
MODULES = ("yolo26_attention.attention.", "yolo26_attention.detector.", "timm.layers.")
HOOKS = {"yolo26_attention.detector.grafting.append", "yolo26_attention.attention.from_timm.refuse_single_image"}


@dataclass(frozen=True)
class Trust:
    """What may run beside this program's own code.

    Args:
        everything: whatever a checkpoint or a dotted path names.
        folders: whose modules may.
    """

    everything: bool = False
    folders: tuple[str, ...] = ()

    def covers(self, module: str) -> bool:
        """Whether a module lies in one of the folders; nothing is imported to find out."""
        spec = _top_level(module)
        places = [] if spec is None else list(spec.submodule_search_locations or [])
        if spec is not None and spec.origin is not None and spec.has_location:  # "built-in" is no file
            places.append(os.path.dirname(spec.origin))
        found = [os.path.realpath(place) for place in places]
        allowed = [os.path.realpath(folder) for folder in self.folders]
        return bool(found) and all(
            any(os.path.commonpath([place, folder]) == folder for folder in allowed) for place in found
        )


def check_target(key: str, target: Any, trust: Trust) -> None:
    """Refuse a dotted path to code from elsewhere; one that names no module at all is left to the import.

    Args:
        key: of the configuration, for the message.
        target: dotted path of a class.
        trust: what may run.

    Raises:
        ValueError: with the file, and the way out.
    """
    if not isinstance(target, str):
        raise ValueError(f"{key}={target} is no dotted path; write MODULE.CLASS")
    if trust.everything or is_shipped(target):
        return
    spec = _top_level(target)
    if spec is None or trust.covers(target):
        return
    raise ValueError(
        f"{key}={target} is none of this program's attention, and its code ({spec.origin or spec.name}) is in no "
        "folder given with -cd; give the folder of your class, -cd DIR, or say trust=true to run code from elsewhere"
    )


def is_shipped(target: str) -> bool:
    """Whether a dotted path names attention of this program."""
    return target in TARGETS or target.startswith("yolo26_attention.attention.")


@contextmanager
def known_classes_only(key: str, checkpoint: Any, trust: Trust) -> Iterator[None]:
    """Have Ultralytics load this checkpoint, in this block, only if it is made of classes that are known.

    Its restricted loading is used, which refuses a class before any of its code runs; ours, timm's layers and those in
    trusted folders are known beside Ultralytics' and torch's.

    Args:
        key: of the configuration, for the message.
        checkpoint: path; anything else is left to Ultralytics.
        trust: what may run.

    Raises:
        ValueError: naming the class that is refused.
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
            raise pickle.UnpicklingError("damaged, or pickled in a way that only trust=true reads") from error
        raise ValueError(
            f"{key}={checkpoint} holds {foreign[1]}, which is no part of a YOLO or of this program, and loading it "
            "would run code from elsewhere; give another file, or say trust=true if you trust whoever made it"
        ) from error


def _known_classes(checkpoint: Path, trust: Trust) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(checkpoint)
    except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError):
        return []  # no zip archive with a pickle that is read without running it: the load says so
    found = [(_known_class(name, trust), name) for name in names]
    return [(known, name) for known, name in found if known is not None]


def _known_class(name: str, trust: Trust) -> Any:
    name = current_name(name)
    module = name.rpartition(".")[0]
    if not module.startswith(MODULES) and not trust.covers(module):
        return None
    try:
        found = getattr(importlib.import_module(module), name.rpartition(".")[2], None)
    except ImportError:
        return None
    is_module = isinstance(found, type) and issubclass(found, nn.Module)
    return found if is_module or name in HOOKS else None


def _top_level(path: str) -> ModuleSpec | None:
    """Where the top-level module of a dotted path comes from; None if there is none."""
    try:
        return find_spec(path.partition(".")[0])
    except ValueError:  # of "", and of a module that is running and says nothing of where it is from
        return None

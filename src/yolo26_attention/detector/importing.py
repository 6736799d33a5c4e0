"""Import the class of an attention."""

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import nn

from yolo26_attention.detector.blame import last_line
from yolo26_attention.detector.isolation import kept_settings, own_generator
from yolo26_attention.detector.own_imports import compile_from_source


@contextmanager
def importing(module: str) -> Iterator[None]:
    """Import a user's module in the block: from its source, and without an effect on generators and settings."""
    compile_from_source()
    with own_generator(f"import/{module}"), kept_settings():
        yield


def find_class(target: str) -> Callable[..., nn.Module]:
    """Import the class that a dotted path names.

    Raises:
        ValueError: if it cannot be imported; with file and line of a mistake in the source, otherwise with the last
            line of the traceback and the folders searched.
    """
    module_name, _, class_name = target.rpartition(".")
    try:
        with importing(module_name):
            found: Callable[..., nn.Module] = getattr(importlib.import_module(module_name), class_name)
    except SyntaxError as error:
        raise ValueError(
            f"attention._target_={target} cannot be imported ({last_line(error)}); correct that line"
        ) from error
    except (Exception, SystemExit) as error:
        prefixes = (sys.prefix, sys.base_prefix)
        searched = [os.path.abspath(folder) for folder in sys.path]
        own = [folder for folder in searched if os.path.isdir(folder) and not folder.startswith(prefixes)]
        raise ValueError(
            f"attention._target_={target} cannot be imported ({last_line(error)}); write MODULE.CLASS; searched "
            f"{', '.join(dict.fromkeys(own))} and in the installed packages"
        ) from error
    return found

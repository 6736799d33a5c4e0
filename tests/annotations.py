"""Has every call of a test check the annotations of the library: types by beartype, shapes by jaxtyping."""

import random
import sys
from collections.abc import Callable
from functools import cache, partial, wraps
from inspect import isclass
from pathlib import Path
from typing import Any
from unittest import mock

import jaxtyping

LIBRARY = Path(__file__).parent.parent / "src" / "yolo26_attention"
ROOMS = ("attention", "detector", "statistics")
# Triton compiles the source of its kernels, decorators included.
UNCHECKED = ("window_triton_geometry", "window_triton_kernels")
# An int passes for a float, as it does for mypy.
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"


@cache
def check_annotations() -> None:
    """Check the modules of `ROOMS` that are imported from now on."""
    files = (file for room in ROOMS for file in (LIBRARY / room).glob("*.py") if file.stem not in UNCHECKED)
    modules = [f"yolo26_attention.{file.parent.name}.{file.stem}" for file in files]
    if loaded := sorted(sys.modules.keys() & {*modules, "beartype"}):
        raise RuntimeError(f"imported too early: {', '.join(loaded)}")
    import_beartype()
    jaxtyping.install_import_hook(modules, CHECKER)
    # By this name the hook decorates what it imports.
    jaxtyping.jaxtyped = unless_tracing(jaxtyping.jaxtyped)


def import_beartype() -> None:
    """Import beartype with a random stream of its own.

    It looks at one random item of a list, and would draw it from the stream that augmentations draw from: networks that
    are checked more often than others would see other images.
    """
    with mock.patch.object(random, "getrandbits", random.Random(0).getrandbits):
        from beartype import beartype

        @beartype
        def load(items: list[int]) -> None:
            """Has beartype import the rest of itself."""


def unless_tracing(jaxtyped: Callable[..., Any]) -> Callable[..., Any]:
    """A jaxtyped whose functions are not checked while PyTorch traces them: Dynamo cannot follow a check.

    Functions inside functions are left out: they would be decorated once more at every call.
    """

    def decorate(function: Any = None, *, typechecker: Any) -> Any:
        if function is None:
            return partial(decorate, typechecker=typechecker)
        if isclass(function):
            return jaxtyped(function, typechecker=typechecker)
        if "<locals>" in function.__qualname__:
            return function
        checked = jaxtyped(function, typechecker=typechecker)

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            return function(*args, **kwargs) if tracing() else checked(*args, **kwargs)

        return call

    return decorate


def tracing() -> bool:
    torch = sys.modules.get("torch")  # statistics/ does without
    return torch is not None and (torch.compiler.is_compiling() or torch.jit.is_tracing())

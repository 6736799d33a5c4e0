"""What annotations promise is checked in tests, everywhere that it should be, and nowhere else."""

import importlib
import inspect
import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import numpy as np
import pytest
import torch
from jaxtyping import Float, TypeCheckError
from torch import Tensor, nn

from tests.annotations import LIBRARY, ROOMS, UNCHECKED
from yolo26_attention.attention.acmix import ACmix
from yolo26_attention.attention.placebo import Placebo
from yolo26_attention.attention.simam import SimAM
from yolo26_attention.attention.window import window_attention
from yolo26_attention.detector.modes import Gated
from yolo26_attention.statistics import Matches, average_precision, mean_interval

MODULES = [
    f"yolo26_attention.{file.parent.name}.{file.stem}"
    for room in ROOMS
    for file in sorted((LIBRARY / room).glob("[a-z]*.py"))
    if file.stem not in UNCHECKED
]
# Five dimensions, which every operation of SimAM takes as well.
FIVE = "SimAM(8)(torch.zeros(1, 8, 4, 4, 2))"


def no_detections() -> Matches:
    none = np.zeros(0, dtype=int)
    return Matches(np.array(["a.jpg"]), none, none, np.zeros((0, 10), dtype=bool), none, none)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda: SimAM(8)(torch.zeros(1, 8, 4, 4, 2)), id="dimensions"),
        pytest.param(lambda: SimAM(8)(torch.zeros(1, 8, 4, 4, dtype=torch.int64)), id="dtype"),
        pytest.param(lambda: ACmix(8)(torch.zeros(1, 4, 8, 8)), id="channels"),
        pytest.param(lambda: ACmix(8.0), id="type"),
        pytest.param(
            lambda: window_attention(*torch.zeros(2, 1, 4, 8, 8), torch.zeros(1, 4, 8, 9), heads=1, window=3),
            id="two-maps-that-differ",
        ),
        pytest.param(lambda: Gated(nn.Identity())(torch.zeros(8, 4, 4)), id="detector"),
        pytest.param(lambda: average_precision(no_detections(), np.ones(2, dtype=int)), id="statistics"),
        pytest.param(lambda: mean_interval(np.zeros((2, 2))), id="statistics-dimensions"),
    ],
)
def test_refuses_what_an_annotation_excludes(call):
    with pytest.raises(TypeCheckError, match="checking the parameters"):
        call()


def test_refuses_a_result_that_the_annotation_excludes():
    """An even kernel makes the map of a placebo grow by a pixel."""
    with pytest.raises(TypeCheckError, match="checking the return value"):
        Placebo(8, hidden=4, kernel=2, shortcut=False)(torch.zeros(1, 8, 4, 4))


def test_checks_draw_nothing_from_the_stream_of_augmentations():
    """beartype looks at a random item of a list."""
    state = random.getstate()
    mean_interval([1.0, 2.0, 3.0])
    assert random.getstate() == state


@pytest.mark.usefixtures("unchecked")
def test_checks_can_be_switched_off():
    assert eval(FIVE).shape == (1, 8, 4, 4, 2)


def test_a_trace_is_not_checked():
    """Dynamo cannot follow a check, and a trace would keep the sizes that it compares."""
    traced = torch.jit.trace(SimAM(8), torch.rand(1, 8, 4, 4))
    assert traced(torch.rand(2, 8, 3, 5)).shape == (2, 8, 3, 5)
    compiled = torch.compile(SimAM(8), fullgraph=True, backend="eager")
    assert compiled(torch.rand(2, 8, 3, 5)).shape == (2, 8, 3, 5)


def test_nothing_is_checked_outside_of_tests():
    program = (
        "import sys, torch; from yolo26_attention.attention.simam import SimAM\n"
        f"print({FIVE}.shape == (1, 8, 4, 4, 2), hasattr(SimAM.forward, '__wrapped__'), 'beartype' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True", "False", "False"]


def functions(module: Any) -> Iterator[tuple[str, Any]]:
    """Public functions and methods that a module defines, and what its classes are built and called by."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            for method, own in vars(value).items():
                own = getattr(own, "func", getattr(own, "fget", getattr(own, "__func__", own)))
                if inspect.isfunction(own) and own.__module__ == module.__name__ and not method.startswith("_"):
                    yield f"{name}.{method}", own


def parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from parts(part)


def shapeless(annotated: Any) -> list[str]:
    """Parameters and the return value of a function, or fields of a class, that are arrays without a shape."""
    found = []
    for name, annotation in inspect.get_annotations(inspect.unwrap(annotated), eval_str=True).items():
        if any(part is Tensor or part is np.ndarray or get_origin(part) is np.ndarray for part in parts(annotation)):
            found.append(name)
    return found


@pytest.mark.parametrize("name", MODULES)
def test_every_public_function_is_checked_and_says_the_shapes_of_its_arrays(name):
    module = importlib.import_module(name)
    for function_name, function in functions(module):
        assert hasattr(function, "__wrapped__"), f"{function_name} is not checked"
        assert not shapeless(function), f"{function_name}: write Float[Tensor, '...'] for {shapeless(function)}"
    for value in vars(module).values():
        if inspect.isclass(value) and value.__module__ == name:
            assert not shapeless(value), f"{value.__name__}: give a shape to {shapeless(value)}"


def test_arrays_without_a_shape_are_noticed():
    def function(a: Tensor, b: Float[Tensor, " b"] | None, c: np.ndarray | None, d: int) -> tuple[Tensor, ...]: ...

    assert shapeless(function) == ["a", "c", "return"]

"""A user's own class: what can be wrong with it is said in the user's own words."""

import copy
import sys

import pytest
import torch
from torch import nn

from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.importing import find_class
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock

HERE = __name__


class Halving(nn.Module):
    """Halves the map."""

    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        return x[..., ::2, ::2]


class Doubling(nn.Module):
    """Doubles the channels."""

    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        return torch.cat([x, x], 1)


class Unbuildable(nn.Module):
    """Divides by zero when it is built."""

    def __init__(self, channels, parts=0):
        super().__init__()
        self.size = channels // parts


class Unrunnable(nn.Module):
    """Fails on every map."""

    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        raise RuntimeError("no map is good enough")


TABLES: dict[int, torch.Tensor] = {}


class FromTable(nn.Module):
    """Keeps its table in the module's file."""

    def __init__(self, channels):
        super().__init__()
        self.table = TABLES.setdefault(channels, torch.ones(channels, 1, 1))

    def forward(self, x):
        return x * self.table


class Endless(nn.Module):
    """Copies a part more often than memory allows."""

    def __init__(self, channels, size=10**12, copies=0):
        super().__init__()
        one = nn.Linear(1, size, bias=False)
        self.parts = nn.ModuleList([copy.deepcopy(one) for _ in range(copies)])


def refuse(target, **settings):
    model = build_stock("yolo26n", classes=10, channels=3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - each test looks at the message
        graft(model, Graft(target, **{"sites": ("p3", "p5"), **settings}))
    after = model.state_dict()
    assert after.keys() == before.keys(), "a refused graft leaves the model as it was"
    return str(caught.value)


def test_a_module_that_does_not_exist():
    message = refuse("no_such_module.Attention")
    assert message.startswith("attention._target_=no_such_module.Attention cannot be imported (ModuleNotFoundError: ")
    assert "searched " in message


def test_a_class_that_does_not_exist():
    assert "has no attribute 'Missing'" in refuse(f"{HERE}.Missing")


def test_a_module_that_fails_is_named_with_its_line(tmp_path, monkeypatch):
    (tmp_path / "broken_attention.py").write_text("first = 1\nsecond = first + unknown\n")
    monkeypatch.syspath_prepend(tmp_path)
    message = refuse("broken_attention.Attention")
    sys.modules.pop("broken_attention", None)
    assert "NameError: name 'unknown' is not defined" in message
    assert f"{tmp_path}/broken_attention.py, line 2" in message


def test_a_class_that_cannot_be_built():
    message = refuse(f"{HERE}.Unbuildable")
    assert f"attention at site p3: {HERE}.Unbuildable(64) failed: ZeroDivisionError" in message
    assert "test_building.py, line" in message


def test_an_option_that_the_class_does_not_have():
    message = refuse(f"{HERE}.Doubling", options={"head": 4})
    assert "Doubling(64, head=4) failed: TypeError" in message


def test_a_class_that_fails_on_the_map():
    message = refuse(f"{HERE}.Unrunnable")
    assert "Unrunnable failed on a map of (1, 64, " in message
    assert "no map is good enough" in message


@pytest.mark.parametrize(
    ("target", "mode", "message"),
    [
        pytest.param("Halving", "append", "appended attention must keep the shape", id="smaller-map"),
        pytest.param("Doubling", "append", "appended attention must keep the shape", id="more-channels"),
        pytest.param("Halving", "replace", "placement.mode=replace needs (1, 64, ", id="replace"),
        pytest.param("Doubling", "bottleneck", "placement.mode=bottleneck needs", id="bottleneck"),
    ],
)
def test_another_shape_is_named(target, mode, message):
    text = refuse(f"{HERE}.{target}", mode=mode)
    assert f"{target} changes the map at site p3" in text
    assert message in text


def test_found_class_is_the_class():
    assert find_class(f"{HERE}.Halving") is Halving


def test_a_table_that_the_file_of_a_class_keeps():
    graft(build_stock("yolo26n", classes=10, channels=3), Graft(f"{HERE}.FromTable", {}, ("p3", "p5")))
    assert {table.device.type for table in TABLES.values()} == {"cpu"}


@pytest.mark.parametrize("options", [{"size": 10**9}, {"size": 10**7 + 1, "copies": 10}])
def test_too_many_parameters(options, monkeypatch):
    """They are refused where they are registered, so that they take no memory."""
    if "copies" not in options:
        monkeypatch.setattr(nn.Linear, "reset_parameters", lambda self: pytest.fail("filled"))
    message = refuse(f"{HERE}.Endless", options=options)
    assert message.startswith(f"attention at site p3: size={options['size']}")
    assert "gives more than 100,000,000 parameters; try smaller sizes" in message

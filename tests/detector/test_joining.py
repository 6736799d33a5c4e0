"""Joining a network changes nothing about a user's module, and nothing outside of the graft."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from yolo26_attention.detector.grafted import grafted_attention
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.importing import find_class
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.plan.checks import check
from yolo26_attention.training.trainer import GraftTrainer

HERE = __name__
MODES = ("append", "replace", "bottleneck")


class Mixed(nn.Module):
    """Has tensors of every kind."""

    def __init__(self, channels):
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)
        self.fixed = nn.Parameter(torch.rand(channels, 1, 1), requires_grad=False)
        self.wide = nn.Parameter(torch.rand(channels, 1, 1, dtype=torch.float64))
        self.register_buffer("phase", torch.randn(channels, 1, 1, dtype=torch.complex64))
        self.register_buffer("index", torch.arange(2**40, 2**40 + 4))
        self.register_buffer("mask", torch.tensor([True, False]))

    def forward(self, x):
        return x + self.mix(x) * self.fixed * self.wide * self.phase.imag


class Lazy(nn.Module):
    """Makes its parameters at its first forward, by torch's means."""

    def __init__(self, channels):
        super().__init__()
        self.mix = nn.LazyConv2d(channels, 1)

    def forward(self, x):
        return x + self.mix(x)


class OwnLazy(nn.Module):
    """Makes its parameters at its first forward, by itself."""

    def __init__(self, channels):
        super().__init__()
        self.weight = None

    def forward(self, x):
        if self.weight is None:
            self.weight = nn.Parameter(torch.randn(x.shape[1], x.shape[1], 1, 1))
        return x + F.conv2d(x, self.weight)


class Seeds(nn.Module):
    """Seeds and draws from every stream, when it is built and when it runs."""

    def __init__(self, channels):
        super().__init__()
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(1)
        self.scale = nn.Parameter(torch.rand(1) * random.random() * np.random.rand())  # noqa: NPY002

    def forward(self, x):
        for draw in (random.random, np.random.rand, lambda: torch.rand(1)):
            draw()
        return x * self.scale


class NumPyStart(nn.Module):
    """Draws its initial values from NumPy and Python."""

    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(np.random.rand(channels, 1, 1) + random.random()).float())  # noqa: NPY002

    def forward(self, x):
        return x * self.scale


class Draws(nn.Module):
    """Draws in training, and does nothing with it."""

    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        F.dropout(x, 0.5, self.training)
        return x * 1


class Silent(Draws):
    """The same without drawing."""

    def forward(self, x):
        return x * 1


class PartlyFixed(nn.Module):
    """Keeps one of its parameters as it is."""

    def __init__(self, channels):
        super().__init__()
        self.fixed = nn.Parameter(torch.rand(channels, 1, 1), requires_grad=False)
        self.free = nn.Parameter(torch.rand(channels, 1, 1))

    def forward(self, x):
        return x * self.fixed * self.free


def grafted(cls, seed=0, mode="append"):
    model = build_stock("yolo26n", classes=10, channels=3)
    graft(model, Graft(f"{HERE}.{cls.__name__}", {}, ("p3",), seed, mode))
    (module, *_) = grafted_attention(model).values()
    return module


def streams():
    return random.getstate(), np.random.get_state(legacy=False)["state"], torch.get_rng_state()  # noqa: NPY002


def same_streams(before):
    after = streams()
    assert after[0] == before[0]
    assert after[1]["pos"] == before[1]["pos"]
    assert (after[1]["key"] == before[1]["key"]).all()
    assert torch.equal(after[2], before[2])


@pytest.mark.parametrize("mode", MODES)
def test_values_and_types_stay(mode):
    alone = Mixed(1)
    module = grafted(Mixed, mode=mode)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        own = alone.state_dict()[name]
        expected = torch.float32 if own.is_floating_point() else own.dtype
        assert tensor.dtype == expected, name
    assert module.phase.imag.abs().min() > 0
    assert module.index.tolist() == list(range(2**40, 2**40 + 4))
    assert not module.fixed.requires_grad
    assert module.wide.requires_grad


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cls", [Lazy, OwnLazy])
def test_parameters_made_at_the_first_forward_are_the_graft_s(cls, mode):
    before = streams()
    first, second, other = grafted(cls, mode=mode), grafted(cls, mode=mode), grafted(cls, seed=1, mode=mode)
    same_streams(before)
    (name, value), *_ = first.named_parameters()
    assert value.numel() > 1
    assert torch.equal(value, second.get_parameter(name))
    assert not torch.equal(value, other.get_parameter(name))


@pytest.mark.parametrize("cls", [Seeds, NumPyStart, Lazy, Draws])
def test_no_random_stream_moves(cls):
    build_stock("yolo26n", classes=10, channels=3)
    before = streams()
    grafted(cls)
    same_streams(before)


def test_values_from_numpy_and_python_follow_the_seed():
    first = grafted(NumPyStart).scale
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    assert torch.equal(first, grafted(NumPyStart).scale)
    assert not torch.equal(first, grafted(NumPyStart, seed=1).scale)


def test_a_file_that_changes_settings_when_it_is_imported_changes_none(tmp_path, monkeypatch):
    (tmp_path / "setting_attention.py").write_text(
        "import random, numpy, torch\nrandom.seed(0), numpy.random.seed(0), torch.manual_seed(0)\n"
        "torch.set_default_dtype(torch.float64)\ntorch.set_num_threads(3)\nclass A(torch.nn.Module): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    before, threads = streams(), torch.get_num_threads()
    try:
        find_class("setting_attention.A")
        assert torch.get_default_dtype() == torch.float32
        assert torch.get_num_threads() == threads
        same_streams(before)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(threads)


def trained(tiny, folder, cls, *overrides):
    plan = check(tiny("attention=baseline", *overrides))
    spec = Graft(f"{HERE}.{cls.__name__}", {}, ("p3",), 0)
    trainer = GraftTrainer.configured((spec,))(overrides={**plan.arguments, "save_dir": str(folder)})
    trainer.train()
    return trainer


def test_what_a_module_draws_in_training_shifts_no_augmentation(tiny, tmp_path):
    runs = [trained(tiny, tmp_path / cls.__name__, cls, "trainer.epochs=2") for cls in (Draws, Silent)]
    first, second = (run.ema.ema.state_dict() for run in runs)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def test_a_parameter_that_a_module_keeps_fixed_stays_as_it_is(tiny, tmp_path):
    start = grafted(PartlyFixed)
    run = trained(tiny, tmp_path, PartlyFixed)
    (module,) = grafted_attention(run.model).values()
    assert torch.equal(module.fixed, start.fixed)
    assert not torch.equal(module.free, start.free)

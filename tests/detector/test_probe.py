"""A user's module is tried before training: what would fail, or be wrong without a word, is said with its line."""

import functools
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from ultralytics.nn.modules import Conv, RepConv

from yolo26_attention.detector.grafting import prepare, probe_sites
from yolo26_attention.detector.probe import Candidate, UnfitError, Use
from yolo26_attention.detector.probe.passes import check_on
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock

HERE = __name__


class Base(nn.Module):
    """Fit: a residual 1x1 convolution."""

    def __init__(self, channels):
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x + self.mix(x)


class Rich(nn.Module):
    """Fit: much of what real modules have."""

    def __init__(self, channels):
        super().__init__()
        self.conv = Conv(channels, channels, 3)
        self.rep = RepConv(channels, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.norm = nn.GroupNorm(1, channels)
        self.act = nn.ReLU(inplace=True)
        self.scale = nn.Parameter(torch.zeros(1))
        self.fixed = nn.Parameter(torch.ones(channels, 1, 1), requires_grad=False)
        self.register_buffer("table", torch.arange(4))
        self.register_buffer("mask", torch.ones(1, 1, 1, 1, dtype=torch.bool), persistent=False)
        self.layers = [self.conv, self.rep]
        self.kept = None

    def forward(self, x):
        q, k, v = self.qkv(self.norm(x)).flatten(2).chunk(3, 1)
        attended = F.scaled_dot_product_attention(*(part.transpose(1, 2) for part in (q, k, v)))
        attended = attended.transpose(1, 2).reshape(x.shape)
        self.kept = attended.detach()
        out = self.act(self.rep(self.conv(attended)) * self.fixed)
        return x + F.dropout(self.scale * out, 0.1, self.training)


# What is wrong, class by class; each is Base but for that.


class OwnConv(Conv):
    """Inherits from what Ultralytics fuses."""

    def __init__(self, channels):
        super().__init__(channels, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.act(self.bn(self.conv(x))))


class HoldsOwnConv(Base):
    """Holds one that inherits from it."""

    def __init__(self, channels):
        super().__init__(channels)
        self.mix = OwnConv(channels)


class ReadsNorm(Base):
    """Reads the batch norm of a Conv."""

    def __init__(self, channels):
        super().__init__(channels)
        self.mix = Conv(channels, channels, 1)

    def forward(self, x):
        return x + self.mix(x) * self.mix.bn.weight[:, None, None]


class OwnRepConv(RepConv):
    """Inherits from a convolution that is merged."""

    def __init__(self, channels):
        super().__init__(channels, channels)

    def forward(self, x):
        return x + super().forward(x)


class Complex(Base):
    """Holds a complex parameter."""

    def __init__(self, channels):
        super().__init__(channels)
        self.phase = nn.Parameter(torch.randn(channels, 1, 1, dtype=torch.complex64))

    def forward(self, x):
        return (self.mix(x) * self.phase).real


class Lambda(Base):
    """Holds a lambda."""

    def __init__(self, channels):
        super().__init__(channels)
        self.act = lambda x: x.relu()

    def forward(self, x):
        return x + self.act(self.mix(x))


class LocalClass(Base):
    """Holds an object of a class within a function."""

    def __init__(self, channels):
        super().__init__(channels)

        class Local(nn.Module):
            def forward(self, x):
                return x

        self.local = Local()


class Parametrized(Base):
    """Is saved by its state dict only, says torch."""

    def __init__(self, channels):
        super().__init__(channels)
        self.mix = nn.utils.parametrizations.weight_norm(self.mix)


class OpenFile(Base):
    """Holds an open file."""

    def __init__(self, channels):
        super().__init__(channels)
        self.log = open(__file__)


class NoLeaf(Base):
    """Holds a tensor that is the result of a computation."""

    def __init__(self, channels):
        super().__init__(channels)
        self.scale = torch.ones(1, requires_grad=True) * 2


class KeepsGraph(Base):
    """Keeps a tensor of its last pass."""

    def forward(self, x):
        self.kept = self.mix(x)
        return x + self.kept


class EvenOnly(Base):
    """Takes maps of even sides only."""

    def forward(self, x):
        return x + self.mix(F.interpolate(F.avg_pool2d(x, 2), scale_factor=2))


class SquareOnly(Base):
    """Takes the height for the width."""

    def forward(self, x):
        b, c, h, _ = x.shape
        return x + self.mix(x).reshape(b, c, h, h)


class TupleInTraining(Base):
    """Puts out two things in training mode."""

    def forward(self, x):
        y = x + self.mix(x)
        return (y, y) if self.training else y


class InPlace(Base):
    """Changes its input."""

    def forward(self, x):
        return x.relu_() + self.mix(x)


class InPlaceBreaksBackward(Base):
    """Changes what its backward pass needs."""

    def forward(self, x):
        y = self.mix(x).sigmoid()
        z = y * y
        y += 1
        return x + z


class AnotherType(Base):
    """Puts out float64."""

    def forward(self, x):
        return x + self.mix(x) * torch.ones(1, dtype=torch.float64)


class NotFinite(Base):
    """Takes roots of negative numbers."""

    def forward(self, x):
        return x + self.mix(x).sqrt()


class NotFiniteGradient(Base):
    """Takes the root at zero."""

    def forward(self, x):
        return x + (self.mix(x) * 0).abs().sqrt()


class Detached(Base):
    """Cuts the gradient off."""

    def forward(self, x):
        return x.detach() + self.mix(x.detach())


class NoGradient(Base):
    """Cuts everything off."""

    @torch.no_grad()
    def forward(self, x):
        return x + self.mix(x)


class AlwaysDrops(Base):
    """Drops out in evaluation mode as well."""

    def forward(self, x):
        return x + F.dropout(self.mix(x))


class Remembers(Base):
    """Puts out something of the image before."""

    def __init__(self, channels):
        super().__init__(channels)
        self.before = 0.0

    def forward(self, x):
        y = x + self.mix(x) + self.before
        self.before = float(y.mean())
        return y


class OverTheBatch(Base):
    """Normalises over the batch, in evaluation mode too."""

    def forward(self, x):
        return x + self.mix(x) - x.mean((0, 2, 3), keepdim=True)


class DrawsFromPython(Base):
    """Skips at random."""

    def forward(self, x):
        return x + self.mix(x) if self.training and random.random() < 0.5 else x + 0.5 * self.mix(x)


class DrawsFromNumPy(Base):
    """Adds noise in training."""

    def forward(self, x):
        return x + self.mix(x) * (np.random.rand() if self.training else 0.5)  # noqa: NPY002


class Steps(Base):
    """Counts its steps in an integer buffer."""

    def __init__(self, channels):
        super().__init__(channels)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        self.steps += self.training
        return x + self.mix(x) * (self.steps + 1)


class PlainCounter(Base):
    """Counts them in a plain attribute."""

    def __init__(self, channels):
        super().__init__(channels)
        self.steps = 0

    def forward(self, x):
        self.steps += int(self.training)
        return x + self.mix(x) * (self.steps + 1)


class PlainList(Base):
    """Holds modules in a list."""

    def __init__(self, channels):
        super().__init__(channels)
        self.more = [nn.Conv2d(channels, channels, 1)]


class NestedList(Base):
    """Holds modules in a list in a dictionary."""

    def __init__(self, channels):
        super().__init__(channels)
        self.more = {"a": [nn.Conv2d(channels, channels, 1)]}


class PrivateList(Base):
    """Holds modules in a list whose name begins with an underscore, and that holds itself."""

    def __init__(self, channels):
        super().__init__(channels)
        self._more = [nn.Conv2d(channels, channels, 1)]
        self._more.insert(0, self._more)


class NeverLearns(Base):
    """Keeps every gradient from its own parameters."""

    def forward(self, x):
        return x * self.mix(x).detach().sigmoid()


class OnlyZeros(Base):
    """Has a product of two zeros, which no step changes."""

    def __init__(self, channels):
        super().__init__(channels)
        self.scale = nn.Parameter(torch.zeros(1))
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)

    def forward(self, x):
        return x + self.scale * self.mix(x)


class PlainTensor(Base):
    """Holds a trainable tensor that is no parameter."""

    def __init__(self, channels):
        super().__init__(channels)
        self.scale = torch.ones(1, requires_grad=True)


class Resting(Base):
    """Puts a part into evaluation mode for good."""

    def __init__(self, channels):
        super().__init__(channels)
        self.norm = nn.BatchNorm2d(channels).eval()


class MapSized(Base):
    """Makes a parameter of its first map's size."""

    def __init__(self, channels):
        super().__init__(channels)
        self.position = None

    def forward(self, x):
        if self.position is None:
            self.position = nn.Parameter(torch.randn(1, *x.shape[1:]))
        return x + self.mix(x) + F.interpolate(self.position, x.shape[2:])


class InTraining(Base):
    """Makes a parameter in training mode."""

    def forward(self, x):
        if self.training and not hasattr(self, "scale"):
            self.scale = nn.Parameter(torch.ones(1))
        return x + self.mix(x)


class SetsPrecision(Base):
    """Changes a setting of the process."""

    def forward(self, x):
        torch.set_float32_matmul_precision("medium")
        return x + self.mix(x)


class LosesOnPickling(Base):
    """Leaves something out of its pickle."""

    def __getstate__(self):
        state = dict(vars(self))
        state["_parameters"] = {}
        state["factor"] = 3.0
        return state

    def forward(self, x):
        return x + self.mix(x) * getattr(self, "factor", 1.0)


class NotForOnnx(Base):
    """Uses an operator without a form in ONNX."""

    def forward(self, x):
        return x + self.mix(x) * torch.special.bessel_j0(x.mean())


class OneImage(Base):
    """Normalises one value a channel over the batch."""

    def __init__(self, channels):
        super().__init__(channels)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        return x * self.norm(x.mean((2, 3), keepdim=True)).sigmoid()


class Branches(Base):
    """Asks for a value in the midst of it."""

    def forward(self, x):
        return x + self.mix(x) if float(x.detach().mean()) > 9 else x - self.mix(x)


class FloatConstant(Base):
    """Makes a constant of its own type."""

    def forward(self, x):
        return x + self.mix(x) * torch.ones(1, 1, x.shape[2], x.shape[3])


class TinyCounter(Base):
    """Counts its steps for a schedule of 10,000 of them."""

    def __init__(self, channels):
        super().__init__(channels)
        self.step = 0

    def forward(self, x):
        self.step += int(self.training)
        return x + min(1, self.step / 10_000) * self.mix(x)


class LateCounter(Base):
    """Counts its steps, which matters late and in training only."""

    def __init__(self, channels):
        super().__init__(channels)
        self.inner = nn.Identity()
        self.inner.seen = {"steps": [0]}

    def forward(self, x):
        if self.training:
            self.inner.seen["steps"][0] += 1
            if self.inner.seen["steps"][0] > 100:
                return x + 2 * self.mix(x)
        return x + self.mix(x)


class ClassCounter(Base):
    """Counts its steps in its class."""

    steps = 0

    def forward(self, x):
        type(self).steps += int(self.training)
        return x + self.mix(x)


class OwnRandom(Base):
    """Draws from a generator of its own."""

    def __init__(self, channels):
        super().__init__(channels)
        self.chance = random.Random(0)

    def forward(self, x):
        return x + self.mix(x) if self.training and self.chance.random() < 2 else x + 0.5 * self.mix(x)


class InTrainingOnly(Base):
    """Keeps the scale of its first batch, for training only."""

    def __init__(self, channels):
        super().__init__(channels)
        self.scale = None

    def forward(self, x):
        if not self.training:
            return x + self.mix(x)
        if self.scale is None:
            self.scale = x.detach().std() * 1e-4 + 1
        return x + self.mix(x) * self.scale


class Hidden(Base):
    """Averages in a buffer that is not persistent."""

    def __init__(self, channels):
        super().__init__(channels)
        self.register_buffer("average", torch.zeros(channels, 1, 1), persistent=False)

    def forward(self, x):
        if self.training:
            self.average.lerp_(x.detach().mean((0, 2, 3))[:, None, None], 0.01)
        return x + self.mix(x) + 1e-6 * self.average


class Replaces(Base):
    """Averages into new tensors."""

    def __init__(self, channels):
        super().__init__(channels)
        self.register_buffer("average", torch.zeros(channels, 1, 1))

    def forward(self, x):
        if self.training:
            self.average = 0.9 * self.average + 0.1 * x.detach().mean((0, 2, 3))[:, None, None]
        return x + self.mix(x) + self.average


class KeptGate(Base):
    """Keeps a gate in evaluation."""

    def __init__(self, channels):
        super().__init__(channels)
        self.level = nn.Parameter(torch.zeros(1))
        self.gate = None

    def forward(self, x):
        if self.training:
            return x + self.level.sigmoid() * self.mix(x)
        if self.gate is None:
            self.gate = self.level.detach().sigmoid()
        return x + self.gate * self.mix(x)


class ClearedGate(KeptGate):
    """Clears it when training starts again."""

    def train(self, mode=True):
        if mode:
            self.gate = None
        return super().train(mode)


class ExtraState(Base):
    """Puts a dictionary into its state dict."""

    def get_extra_state(self):
        return {"steps": 1}

    def set_extra_state(self, state):
        pass


class Tied(Base):
    """Ties the weights of two parts."""

    def __init__(self, channels):
        super().__init__(channels)
        self.more = nn.Conv2d(channels, channels, 1)
        self.more.weight = self.mix.weight

    def forward(self, x):
        return x + self.more(self.mix(x))


class TiedPart(Base):
    """Registers a part twice."""

    def __init__(self, channels):
        super().__init__(channels)
        self.more = self.mix

    def forward(self, x):
        return x + self.more(self.mix(x))


PARTS: dict[int, nn.Module] = {}


class SharedPart(Base):
    """Takes a part that all instances share."""

    def __init__(self, channels):
        super().__init__(channels)
        self.mix = PARTS.setdefault(channels, self.mix)


@functools.lru_cache
def start(channels):
    return torch.ones(channels, 1, 1)


class SharedValues(Base):
    """Takes a parameter's initial values from a cache."""

    def __init__(self, channels):
        super().__init__(channels)
        self.scale = nn.Parameter(start(channels))

    def forward(self, x):
        return x + self.scale * self.mix(x)


# What ordinary code keeps, and may.


@functools.lru_cache
def table(channels):
    return torch.linspace(0, 1, channels)[:, None, None]


class CachedTable(Base):
    """Fit: takes tables from a cache, as a buffer, in a buffer of a part, and as they are."""

    def __init__(self, channels):
        super().__init__(channels)
        self.register_buffer("first", table(channels))
        self.mix.register_buffer("second", table(channels), persistent=False)
        self.third = table(channels)

    def forward(self, x):
        return x + self.mix(x) * self.first * self.mix.second + self.third.to(x)


class KeepsTables(Base):
    """Fit: keeps what depends on the size of the map alone, in several ways, and what it saw last."""

    def __init__(self, channels):
        super().__init__(channels)
        self.tables, self.sides, self.row = {}, 0, None
        self.register_buffer("grid", torch.zeros(0), persistent=False)

    def forward(self, x):
        sides = x.shape[2:]
        if sides not in self.tables:
            self.tables[sides] = torch.ones(sides)
        if x.shape[3] > self.sides:
            self.sides, self.row = x.shape[3], torch.linspace(0, 0, x.shape[3])
        if self.grid.shape != sides:
            self.grid = torch.ones(sides)
        self.kept, self.spread = x.detach().mean(), float(x.detach().std())
        return x + F.dropout(self.mix(x), 0.1, self.training) * self.tables[sides] * self.grid + self.row[: sides[1]]


class OwnAverage(Base):
    """Fit: averages in a float buffer, and keeps what follows from it."""

    def __init__(self, channels):
        super().__init__(channels)
        self.register_buffer("average", torch.zeros(channels, 1, 1))

    def forward(self, x):
        if self.training:
            self.average.lerp_(x.detach().mean((0, 2, 3))[:, None, None], 0.1)
        self.gate = self.average.sigmoid()
        return x + self.mix(x) * self.gate


@functools.cache
def stock():
    model = build_stock("yolo26n", classes=10, channels=3)
    return model, probe_sites(model)


def tried(cls, sites=("p5",), mode="append", **use):
    model, found = stock()
    return prepare(model, Graft(f"{HERE}.{cls.__name__}", {}, sites, 0, mode), sites=found, use=Use(**use))


@pytest.mark.parametrize("mode", ["append", "replace", "bottleneck"])
@pytest.mark.parametrize("cls", [Base, Rich, CachedTable, KeepsTables, OwnAverage])
def test_a_module_that_is_fit_passes(cls, mode):
    tried(cls, ("p3", "p5"), mode, lone="the last is")
    tried(cls, ("p3", "p5"), mode, runtime="onnx")


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (OwnConv, "gives another output once the network is fused"),
        (HoldsOwnConv, "gives another output once the network is fused"),
        (OwnRepConv, "gives another output once the network is fused"),
        (ReadsNorm, "fails once the network is fused, as in validation: AttributeError"),
        (Complex, "has a complex parameter, phase"),
        (Lambda, "cannot be saved because of act"),
        (LocalClass, "cannot be saved"),
        (Parametrized, "cannot be saved because of mix"),
        (OpenFile, "cannot be copied because of log: TypeError"),
        (NoLeaf, "cannot be copied because of scale: RuntimeError"),
        (KeepsGraph, "cannot be copied after a pass in training mode because of kept: RuntimeError"),
        (EvenOnly, "failed on a map of (2, 256, 3, 3) in evaluation mode: RuntimeError"),
        (SquareOnly, "failed on a map of (2, 256, 2, 3) in evaluation mode: RuntimeError"),
        (TupleInTraining, "returns a tuple in training mode"),
        (InPlace, "changes its input in place"),
        (InPlaceBreaksBackward, "has no backward pass: RuntimeError"),
        (AnotherType, "returns torch.float64 for torch.float32"),
        (NotFinite, "returns non-finite values"),
        (NotFiniteGradient, "gives its input a non-finite gradient"),
        (Detached, "gives an output that does not depend on its input"),
        (NoGradient, "blocks the gradient"),
        (AlwaysDrops, "draws random numbers in evaluation mode"),
        (Remembers, "gives another output for the same input"),
        (OverTheBatch, "gives another output for an image alone in its batch"),
        (DrawsFromPython, "draws from random in its forward"),
        (DrawsFromNumPy, "draws from numpy.random in its forward"),
        (Steps, "changes steps in training, a buffer of torch.int64"),
        (PlainCounter, "learns state in training that is not in its state dict"),
        (TinyCounter, "learns state in training that is not in its state dict: step"),
        (LateCounter, "changes inner.seen in each training step, which is not in its state dict"),
        (ClassCounter, "changes ClassCounter.steps in each training step"),
        (OwnRandom, "changes chance in each training step"),
        (InTrainingOnly, "learns state in training that is not in its state dict: scale"),
        (Hidden, "learns state in training that is not in its state dict: average"),
        (Replaces, "replaces average in training by another tensor"),
        (KeptGate, "gives an outdated output in evaluation mode after its weights change: gate"),
        (ClearedGate, "gives an outdated output in evaluation mode after its weights change: gate"),
        (ExtraState, "puts a dict into its state dict (_extra_state)"),
        (Tied, "holds mix.weight a second time as more.weight"),
        (TiedPart, "holds mix.weight a second time as more.weight"),
        (SharedPart, "shares mix with every other instance of its class"),
        (SharedValues, "shares scale with every other instance of its class"),
        (PlainList, "holds more, a Conv2d that torch does not see"),
        (NestedList, "holds more, a Conv2d that torch does not see"),
        (PrivateList, "holds _more, a Conv2d that torch does not see"),
        (NeverLearns, "gives none of its parameters a gradient (mix.weight, mix.bias)"),
        (OnlyZeros, "gives none of its parameters a gradient (scale, mix.weight, mix.bias)"),
        (PlainTensor, "holds scale, a Tensor that torch does not see"),
        (Resting, "puts norm in evaluation mode"),
        (MapSized, "takes the size of position from the first map"),
        (InTraining, "creates parameters in training mode (scale)"),
        (SetsPrecision, "changes a setting of the whole process (torch.set_float32_matmul_precision"),
        (LosesOnPickling, "gives another output after it is copied, or saved and loaded"),
    ],
)
def test_a_module_that_is_not_fit_is_refused_with_its_line(cls, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        tried(cls)
    assert str(caught.value).startswith(f"attention at site p5: {cls.__name__} ")
    assert re.search(rf"{Path(__file__).name}, line \d+\)", str(caught.value)), caught.value


def test_an_operator_without_a_form_in_onnx_is_refused_where_that_is_measured():
    tried(NotForOnnx)
    with pytest.raises(ValueError, match=r"NotForOnnx cannot be deployed by latency.backend \(onnx\).*test_probe.py"):
        tried(NotForOnnx, runtime="onnx")


def test_a_graph_that_breaks_is_refused_where_it_is_compiled_as_a_whole():
    tried(Branches)
    tried(Base, runtime="compiled")
    with pytest.raises(ValueError, match=r"Branches cannot be deployed by latency.backend \(compiled\)"):
        tried(Branches, runtime="compiled")


@pytest.mark.parametrize("own", [True, False])
def test_a_batch_of_one_image_is_refused_if_there_will_be_one(own):
    model, found = stock()
    spec = Graft(f"{HERE}.OneImage" if own else "yolo26_attention.attention.from_timm.sk", {}, ("p5",))
    prepare(model, spec, sites=found, use=Use())
    with pytest.raises(ValueError, match="cannot train on a batch of one image, and the last is: ValueError"):
        prepare(model, spec, sites=found, use=Use(lone="the last is"))


def test_half_precision_is_tried_where_it_is_used():
    """On the CPU here; a run does it on its GPU."""
    candidate = Candidate(Base(8), 8, 8, 2)
    check_on(candidate, "cpu", amp=True)
    candidate = Candidate(FloatConstant(8), 8, 8, 2)
    check_on(candidate, "cpu", amp=False)
    with pytest.raises(UnfitError, match=r"returns torch.float32 for torch.float16"):
        check_on(candidate, "cpu", amp=True)


class _OnlyBackward(torch.autograd.Function):
    """Has no backward pass in a dtype."""

    @staticmethod
    def forward(ctx, x, refused):
        ctx.refused = refused
        return x * 1

    @staticmethod
    def backward(ctx, gradient):
        if gradient.dtype == ctx.refused:
            raise NotImplementedError(f"no kernel for {gradient.dtype}")
        return gradient, None


class Backward(Base):
    """Cannot compute its gradient in a dtype."""

    refused = torch.bfloat16

    def forward(self, x):
        return x + _OnlyBackward.apply(self.mix(x), self.refused)


class Backward32(Backward):
    """Cannot compute its gradient in float32."""

    refused = torch.float32


def test_the_backward_pass_is_tried_on_the_device():
    check_on(Candidate(Backward(8), 8, 8, 2), "cpu", amp=False)
    with pytest.raises(UnfitError, match=r"no backward pass in training on cpu with amp: .*no kernel for torch.bfloat"):
        check_on(Candidate(Backward(8), 8, 8, 2), "cpu", amp=True)
    with pytest.raises(UnfitError, match=r"no backward pass in training on cpu: .*no kernel for torch.float32"):
        check_on(Candidate(Backward32(8), 8, 8, 2), "cpu", amp=False)


def test_what_is_shipped_is_not_tried_again(monkeypatch):
    monkeypatch.setattr("yolo26_attention.detector.building.probe", lambda *_: pytest.fail("tried"))
    model, found = stock()
    prepare(model, Graft("yolo26_attention.attention.simam.SimAM", {}, ("p5",)), sites=found, use=Use())
    with pytest.raises(pytest.fail.Exception):
        tried(Base)

"""Attention joins a site in one of three ways, and appended attention can start as if it were not there."""

import copy
import io

import pytest
import torch
from torch import nn
from ultralytics.cfg import get_cfg
from ultralytics.nn.modules import Conv

from yolo26_attention.detector.grafted import grafted_attention, grafted_scalars
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.modes import AttentionConv, Gated, Replacement
from yolo26_attention.detector.sites import find_sites
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock

ACMIX = "yolo26_attention.attention.acmix.ACmix"
SE = "yolo26_attention.attention.from_timm.se"
ECA = "yolo26_attention.attention.from_timm.eca"
HERE = __name__

EVERY_MODE = [
    pytest.param("append", "none", id="append"),
    pytest.param("append", "zero", id="append-gated"),
    pytest.param("replace", "none", id="replace"),
    pytest.param("bottleneck", "none", id="bottleneck"),
]
EVERY_TARGET = [pytest.param(ACMIX, id="acmix"), pytest.param(SE, id="se"), pytest.param(ECA, id="eca")]


@pytest.fixture(scope="module")
def original():
    """A stock model whose batch norms have seen something, as those of a checkpoint have."""
    torch.manual_seed(0)
    model = build_stock("yolo26n", classes=10, channels=3)
    with torch.no_grad():
        for _ in range(2):
            model.train()(torch.rand(2, 3, 96, 160))
    return model


@pytest.fixture
def stock(original):
    return copy.deepcopy(original)


def output(model, x):
    with torch.no_grad():
        return model.eval()(x)[0]


class Halving(nn.Module):
    """Halves height and width."""

    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        return x[..., ::2, ::2]


class Amplified(nn.Module):
    """Far from what it is given, and in another type."""

    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        return 1000 * x.double() + 7


class Named(nn.Module):
    """Has submodules of the names that Ultralytics sets on a layer."""

    def __init__(self, in_channels, out_channels=None):
        super().__init__()
        self.f = nn.Conv2d(in_channels, out_channels or in_channels, 1)
        self.i = nn.Identity()

    def forward(self, x):
        return self.i(self.f(x))


@pytest.mark.parametrize("target", EVERY_TARGET)
@pytest.mark.parametrize(("mode", "gate"), EVERY_MODE)
class TestEveryMode:
    def spec(self, target, mode, gate):
        return Graft(target, {}, ("backbone_p2", "p4", "p5"), mode=mode, gate=gate)

    def test_trains_a_step_with_finite_gradients(self, target, mode, gate, stock):
        graft(stock, self.spec(target, mode, gate))
        stock.train().args = get_cfg()
        batch = {
            "img": torch.rand(2, 3, 96, 160),
            "batch_idx": torch.tensor([0.0, 1.0]),
            "cls": torch.tensor([[1.0], [2.0]]),
            "bboxes": torch.tensor([[0.5, 0.5, 0.4, 0.3], [0.3, 0.6, 0.2, 0.5]]),
        }
        stock(batch)[0].sum().backward()
        gradients = {
            f"{site}.{name}": parameter.grad
            for site, attention in grafted_attention(stock).items()
            for name, parameter in attention.named_parameters()
        }
        assert gradients
        assert [name for name, gradient in gradients.items() if gradient is None] == []
        assert all(p.grad.isfinite().all() for p in stock.parameters() if p.grad is not None)
        if gate == "zero":
            assert all(gradient.any() for name, gradient in gradients.items() if name.endswith("gate"))

    def test_survives_pickling_copying_halving_and_fusing(self, target, mode, gate, stock):
        graft(stock, self.spec(target, mode, gate))
        for module in stock.modules():
            if isinstance(module, Gated):
                module.gate.data.fill_(0.7)
        x = torch.rand(1, 3, 96, 160)
        expected = output(stock, x)
        assert expected.isfinite().all()
        buffer = io.BytesIO()
        torch.save(stock, buffer)
        buffer.seek(0)
        loaded = torch.load(buffer, weights_only=False)
        assert torch.equal(output(loaded, x), expected)
        assert list(grafted_attention(loaded)) == list(grafted_attention(stock))
        assert torch.equal(output(copy.deepcopy(stock), x), expected)
        assert output(copy.deepcopy(stock).half(), x.half()).dtype == torch.float16
        stock.eval().fuse(verbose=False)
        assert stock.is_fused()
        torch.testing.assert_close(output(stock, x), expected, rtol=1e-3, atol=1e-2)

    def test_stock_tensors_that_stay_keep_their_values(self, target, mode, gate, stock, original):
        graft(stock, self.spec(target, mode, gate))
        before, after = original.state_dict(), stock.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before if name in after)
        assert [(m.i, m.f, m.type) for m in stock.model] == [(m.i, m.f, m.type) for m in original.model]
        assert all(m.np == sum(p.numel() for p in m.parameters()) for m in stock.model)


@pytest.mark.parametrize(
    ("mode", "sites", "kept"),
    [
        pytest.param("append", ("all",), 708, id="append-all"),
        pytest.param("replace", ("p4",), 654, id="replace-p4"),
        pytest.param("bottleneck", ("p5",), 706, id="bottleneck-p5"),
        pytest.param("bottleneck", ("p4",), 704, id="bottleneck-p4"),
    ],
)
def test_stock_tensors_kept(mode, sites, kept, stock, original):
    graft(stock, Graft(ACMIX, {}, sites, mode=mode))
    assert len(original.state_dict()) == 708
    assert len(set(original.state_dict()) & set(stock.state_dict())) == kept


@pytest.mark.parametrize("target", [*EVERY_TARGET, pytest.param(f"{HERE}.Amplified", id="far-off-and-double")])
@pytest.mark.parametrize("training", [pytest.param(True, id="train"), pytest.param(False, id="eval")])
@pytest.mark.parametrize("dtype", [pytest.param(torch.float32, id="float32"), pytest.param(torch.float16, id="half")])
def test_gate_of_zero_starts_as_the_stock_model(target, training, dtype, stock, original):
    graft(stock, Graft(target, {}, ("all",), gate="zero"))
    x = torch.rand(2, 3, 96, 160, dtype=dtype)
    with torch.no_grad():
        ours, theirs = (copy.deepcopy(model).train(training).to(dtype)(x) for model in (stock, original))
    if training:
        assert all(torch.equal(ours["one2one"][key], theirs["one2one"][key]) for key in ("boxes", "scores"))
    else:
        assert torch.equal(ours[0], theirs[0])


@pytest.mark.parametrize("target", [*EVERY_TARGET, pytest.param(f"{HERE}.Amplified", id="far-off-and-double")])
def test_gate_of_zero_starts_as_the_stock_model_under_autocast(target, stock, original):
    graft(stock, Graft(target, {}, ("all",), gate="zero"))
    x = torch.rand(1, 3, 96, 160)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(output(stock, x), output(original, x))


def test_gate_is_one_scalar_a_site_and_blends(stock):
    graft(stock, Graft(ACMIX, {}, ("p3", "p5"), gate="zero"))
    rates = {f"{site}/{name}": 0.5 for site in ("p3", "p5") for name in ("rate1", "rate2")}
    assert grafted_scalars(stock) == {**rates, "p3/gate": 0.0, "p5/gate": 0.0}
    block = stock.eval().model[16]
    x = torch.rand(1, 256, 8, 8)
    with torch.no_grad():
        plain = block.forward(x)
        assert torch.equal(block(x), plain)
        block.attention.gate.fill_(0.25)
        torch.testing.assert_close(block(x), 0.75 * plain + 0.25 * block.attention.attention(plain))


def test_gated_attention_starts_from_the_values_of_ungated(original):
    gated, plain = copy.deepcopy(original), copy.deepcopy(original)
    graft(gated, Graft(ACMIX, {}, ("p4",), gate="zero"))
    graft(plain, Graft(ACMIX, {}, ("p4",)))
    ours = grafted_attention(gated)["p4"].attention.state_dict()
    theirs = grafted_attention(plain)["p4"].state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_replacement_maps_the_channels_itself_if_it_can(stock):
    sites = find_sites(stock)
    graft(stock, Graft(ACMIX, {}, ("p4",), mode="replace"))
    block = stock.model[19]
    assert isinstance(block, Replacement)
    assert block.project is None
    assert (block.attention.in_channels, block.attention.out_channels) == (sites["p4"].in_channels, 128)


def test_replacement_is_given_the_channels_it_needs_otherwise(stock):
    graft(stock, Graft(SE, {}, ("p4", "sppf"), mode="replace"))
    project = stock.model[19].project
    assert isinstance(project, Conv)
    assert project.conv.weight.shape == (128, 192, 1, 1)
    assert (project.bn.eps, project.bn.momentum) == (1e-3, 0.03)
    assert stock.model[9].project is None  # 256 channels in and out


def test_attention_may_have_submodules_named_as_ultralytics_attributes(stock):
    graft(stock, Graft(f"{HERE}.Named", {}, ("p4",), mode="replace"))
    assert output(stock, torch.rand(1, 3, 64, 96)).isfinite().all()


@pytest.mark.parametrize(
    ("site", "paths"),
    [
        pytest.param("backbone_p2", ["m.0.cv1", "m.0.cv2"], id="bottleneck"),
        pytest.param("p4", [f"m.0.m.{i}.cv{j}" for i in (0, 1) for j in (1, 2)], id="c3k"),
        pytest.param("p5", ["m.0.0.cv1", "m.0.0.cv2"], id="beside-attention"),
    ],
)
@pytest.mark.parametrize("target", EVERY_TARGET)
def test_bottleneck_takes_every_3x3_convolution_and_keeps_norm_and_activation(site, paths, target, stock):
    layer = find_sites(stock)[site].layer
    block = stock.model[layer]
    before = {path: block.get_submodule(path) for path in paths}
    graft(stock, Graft(target, {}, (site,), mode="bottleneck"))
    assert list(grafted_attention(stock)) == [f"{site}/{path}" for path in paths]
    for path, conv in before.items():
        module = block.get_submodule(path)
        assert isinstance(module, AttentionConv)
        assert module.bn is conv.bn
        assert module.act is conv.act
    left = [m for m in block.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3) and m.groups == 1]
    assert left == []


def test_attention_runs_in_the_place_of_the_convolution_alone(stock):
    graft(stock, Graft(SE, {}, ("backbone_p2",), mode="bottleneck"))
    module = stock.eval().model[2].get_submodule("m.0.cv1")  # 16 to 8 channels, which se cannot do itself
    x = torch.rand(1, 16, 6, 10)
    with torch.no_grad():
        expected = module.act(module.bn(module.attention(module.project(x))))
        assert torch.equal(module(x), expected)
        assert not torch.equal(expected, module.attention(module.project(x)))


@pytest.mark.parametrize("mode", ["append", "replace", "bottleneck"])
def test_initial_values_depend_on_seed_site_and_convolution_alone(mode):
    def weights(seed, sites, noise):
        torch.manual_seed(noise)
        model = build_stock("yolo26n", classes=10, channels=3)
        state = torch.get_rng_state()
        graft(model, Graft(SE, {}, sites, seed, mode))
        assert torch.equal(torch.get_rng_state(), state)
        block = model.model[19]
        return {name: t for name, t in block.state_dict().items() if "attention" in name or "project" in name}

    alone, together, other = weights(0, ("p4",), 1), weights(0, ("neck",), 2), weights(1, ("p4",), 1)
    assert all(torch.equal(alone[name], together[name]) for name in alone)
    assert any(not torch.equal(alone[name], other[name]) for name in alone)


def test_convolutions_of_one_site_start_from_different_values(stock):
    graft(stock, Graft(ACMIX, {}, ("p4",), mode="bottleneck"))
    first, second, *_ = grafted_attention(stock).values()
    assert not torch.equal(first.conv1.weight, second.conv1.weight)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param(
            {"sites": ("p3", "sppf"), "mode": "bottleneck"},
            r"mode=bottleneck: site sppf has no bottleneck .*; choose from backbone_p2, .*, p3, p4, p5",
            id="no-bottleneck",
        ),
        pytest.param({"mode": "prepend"}, "mode=prepend is unknown; choose one of append, replace", id="mode"),
        pytest.param({"gate": "one"}, "gate=one is unknown; choose one of none, zero", id="gate"),
        pytest.param(
            {"mode": "replace", "gate": "zero"},
            r"gate=zero .* placement.mode=replace removes the block",
            id="gate-of-replacement",
        ),
        pytest.param(
            {"mode": "bottleneck", "gate": "zero"},
            r"gate=zero .* placement.mode=bottleneck removes the block",
            id="gate-in-bottleneck",
        ),
        pytest.param(
            {"mode": "bottleneck", "options": {"heads": 5}}, r"site p4 \(m.0.m.0.cv1\): .*5", id="option-in-bottleneck"
        ),
        pytest.param(
            {"target": f"{HERE}.Halving", "mode": "replace"},
            r"Halving changes the map at site p4 from \(1, 192, 4, 4\) to \(1, 128, 2, 2\); "
            r"placement.mode=replace needs \(1, 128, 4, 4\) there",
            id="shape",
        ),
    ],
)
def test_refused_with_the_way_out(spec, message, stock, original):
    with pytest.raises(ValueError, match=message):
        graft(stock, Graft(**{"target": ACMIX, "sites": ("p4",), **spec}))
    assert list(stock.state_dict()) == list(original.state_dict())


def test_halving_is_noticed_at_the_coarsest_level():
    with pytest.raises(ValueError, match=r"from \(1, 256, 2, 2\) to \(1, 256, 1, 1\)"):
        graft(build_stock("yolo26n-p6", classes=3, channels=3), Graft(f"{HERE}.Halving", {}, ("p6",)))

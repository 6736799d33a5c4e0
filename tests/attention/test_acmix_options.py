"""Every option of ACmix changes the output or the parameters, or is rejected; checkpoints of the original load."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from yolo26_attention.attention.acmix import ACmix
from yolo26_attention.attention.sasa import SASA
from yolo26_attention.attention.window import reflect_pad


def build(seed=0, **options):
    torch.manual_seed(seed)
    return ACmix(16, **options)


def output(module):
    x = torch.randn(2, 16, 12, 11, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return module(x)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"heads": 2}, id="heads"),
        pytest.param({"kernel_att": 5}, id="kernel_att"),
        pytest.param({"kernel_conv": 5}, id="kernel_conv"),
        pytest.param({"stride": 2}, id="stride"),
        pytest.param({"dilation": 2}, id="dilation"),
        pytest.param({"paths": "attention"}, id="attention"),
        pytest.param({"paths": "convolution"}, id="convolution"),
        pytest.param({"combine": "complement", "rate1": 0.4}, id="complement"),
        pytest.param({"combine": "sum"}, id="sum"),
        pytest.param({"combine": "fixed", "rate1": 0.4}, id="fixed"),
        pytest.param({"rate1": 0.4}, id="rate1"),
        pytest.param({"rate2": 0.4}, id="rate2"),
        pytest.param({"shift": "random"}, id="random-shift"),
        pytest.param({"position": False}, id="position"),
    ],
)
def test_option_changes_output(change):
    assert not torch.equal(output(build()), output(build(**change)))


@pytest.mark.parametrize(
    ("options", "absent"),
    [
        pytest.param({"combine": "complement"}, {"rate2"}, id="complement"),
        pytest.param({"combine": "sum"}, {"rate1", "rate2"}, id="sum"),
        pytest.param({"combine": "fixed"}, {"rate1", "rate2"}, id="fixed"),
        pytest.param({"shift": "fixed"}, {"dep_conv.weight"}, id="fixed-shift"),
        pytest.param({"position": False}, {"conv_p.weight", "conv_p.bias"}, id="no-position"),
        pytest.param({"paths": "attention"}, {"rate1", "rate2", "fc.weight", "dep_conv.weight"}, id="attention"),
        pytest.param(
            {"paths": "convolution"},
            {"rate1", "rate2", "conv_p.weight", "conv_p.bias"},
            id="convolution",
        ),
    ],
)
def test_parameters(options, absent):
    everything = dict(build().named_parameters())
    module = build(**options)
    assert set(everything) - set(dict(module.named_parameters())) == absent


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"combine": "complement"},
        {"shift": "fixed"},
        {"paths": "attention"},
        {"paths": "convolution"},
        {"position": False},
    ],
    ids=str,
)
def test_every_parameter_has_a_gradient(options):
    module = build(**options)
    module(torch.randn(1, 16, 9, 9)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


@pytest.mark.parametrize(
    "options",
    [{"combine": "sum"}, {"position": False}, {"paths": "attention"}, {"shift": "fixed"}, {"kernel_att": 3}],
    ids=str,
)
def test_options_share_initial_values(options):
    everything, module = build().state_dict(), build(**options).state_dict()
    shared = set(everything) & set(module)
    assert len(shared) >= 6
    assert all(torch.equal(everything[name], module[name]) for name in shared)


def test_initial_values():
    module = build(kernel_conv=3)
    taps = torch.eye(9).view(9, 3, 3)
    assert torch.equal(module.dep_conv.weight, taps.expand(16, -1, -1, -1))
    assert module.rate1.tolist() == module.rate2.tolist() == [0.5]
    assert module.dep_conv.bias is None


def test_fixed_shift_survives_thawing():
    module = build(shift="fixed")
    for parameter in module.parameters():
        parameter.requires_grad_(True)  # as the Ultralytics trainer does
    assert "dep_conv.weight" not in dict(module.named_parameters())
    assert torch.equal(module.dep_conv.weight, build().dep_conv.weight)


def test_random_shift_is_a_convolution_start():
    torch.manual_seed(0)
    weight = build(shift="random").dep_conv.weight
    bound = nn.Conv2d(9 * 4, 16, 3, groups=4, bias=False).weight.abs().max()
    assert 0.8 * bound < weight.abs().max() < 1.25 * bound


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"heads": 5}, "heads=5 does not divide the 16 channels; try 4 or 8", id="heads"),
        pytest.param({"heads": 0}, "heads=0 must be at least 1", id="no-heads"),
        pytest.param({"kernel_att": 4}, "kernel_att=4 .*try 5", id="even-window"),
        pytest.param({"kernel_att": -3}, "kernel_att=-3 .*try 1", id="negative-window"),
        pytest.param({"kernel_conv": 2}, "kernel_conv=2 .*try 3", id="even-convolution"),
        pytest.param({"stride": 0}, "stride=0 must be at least 1", id="stride"),
        pytest.param({"dilation": 0}, "dilation=0 must be at least 1", id="dilation"),
        pytest.param({"paths": "all"}, "paths=all is unknown; try both, attention", id="paths"),
        pytest.param({"combine": "mean"}, "combine=mean is unknown", id="combine"),
        pytest.param({"shift": "none"}, "shift=none is unknown", id="shift"),
        pytest.param({"implementation": "fast"}, "implementation=fast is unknown", id="implementation"),
        pytest.param({"combine": "sum", "rate1": 0.4}, "rate1=0.4 has no effect", id="sum-rate1"),
        pytest.param({"combine": "sum", "rate2": 0.4}, "rate2=0.4 has no effect", id="sum-rate2"),
        pytest.param({"combine": "complement", "rate2": 0.4}, "rate2=0.4 has no effect", id="complement-rate2"),
        pytest.param({"paths": "attention", "combine": "sum"}, "combine=sum has no effect", id="attention-combine"),
        pytest.param({"paths": "attention", "rate1": 1.0}, "rate1=1.0 has no effect", id="attention-rate1"),
        pytest.param({"paths": "attention", "kernel_conv": 5}, "kernel_conv=5 has no effect", id="attention-kernel"),
        pytest.param({"paths": "attention", "shift": "fixed"}, "shift=fixed has no effect", id="attention-shift"),
        pytest.param({"paths": "convolution", "kernel_att": 5}, "kernel_att=5 has no effect", id="convolution-window"),
        pytest.param({"paths": "convolution", "dilation": 2}, "dilation=2 has no effect", id="convolution-dilation"),
        pytest.param(
            {"paths": "convolution", "position": False}, "position=False has no effect", id="convolution-position"
        ),
        pytest.param(
            {"paths": "convolution", "implementation": "tiled"},
            "implementation=tiled has no effect",
            id="convolution-implementation",
        ),
        pytest.param({"kernel_att": 1, "dilation": 2}, "dilation=2 has no effect with kernel_att=1", id="one-dilation"),
        pytest.param({"kernel_att": 1, "position": False}, "position=False has no effect", id="one-position"),
        pytest.param({"paths": "attention", "kernel_att": 1, "heads": 2}, "heads=2 has no effect", id="one-heads"),
    ],
)
def test_rejects(options, message):
    with pytest.raises(ValueError, match=message):
        ACmix(16, **options)


def test_a_window_of_one_key_takes_the_options_of_the_convolution():
    assert ACmix(16, kernel_att=1, heads=2).heads == 2
    with pytest.raises(ValueError, match="heads=2 has no effect with kernel_att=1, a window of one key; leave it at 4"):
        SASA(16, kernel_att=1, heads=2)


def test_rejects_channels():
    with pytest.raises(ValueError, match="out_channels=0"):
        ACmix(16, 0)
    with pytest.raises(ValueError, match="in_channels=0"):
        ACmix(0, 16)


def test_loads_a_bias_where_there_is_one():
    plain, biased = build(), build(seed=1)
    state = {**plain.state_dict(), "dep_conv.bias": torch.arange(16.0)}
    biased.load_state_dict(state, strict=True)
    assert isinstance(biased.dep_conv.bias, nn.Parameter)
    expected = output(plain) + 0.5 * torch.arange(16.0).view(1, -1, 1, 1)
    torch.testing.assert_close(output(biased), expected)
    biased.load_state_dict(plain.state_dict(), strict=True)
    assert torch.equal(output(biased), output(plain))


def test_strict_loading_still_complains():
    state = build().state_dict()
    state["dep_conv.scale"] = state.pop("fc.weight")
    with pytest.raises(RuntimeError, match=r"(?s)fc.weight.*dep_conv.scale"):
        build().load_state_dict(state, strict=True)


def test_shown_options():
    assert "kernel_att=5" in repr(build(kernel_att=5))


@pytest.mark.parametrize(
    ("size", "options"),
    [
        pytest.param((6, 7), {}, id="plain"),
        pytest.param((3, 4), {"kernel_att": 5}, id="map_smaller_than_window"),
        pytest.param((9, 8), {"stride": 2, "dilation": 2, "kernel_att": 3}, id="stride_and_dilation"),
        pytest.param((6, 7), {"position": False}, id="no_position"),
    ],
)
def test_attention_weights_are_those_the_output_is_made_of(size, options):
    module = ACmix(8, heads=2, paths="attention", **options).double()
    x = torch.randn(2, 8, *size, dtype=torch.float64)
    weights = module.attention_weights(x)
    border = module.dilation * (module.kernel_att // 2)
    v = F.unfold(reflect_pad(module.conv3(x), border), module.kernel_att, module.dilation, 0, module.stride)
    v = v.view(2, 2, 4, module.kernel_att**2, *weights.shape[-2:])
    torch.testing.assert_close((weights.unsqueeze(2) * v).sum(3).flatten(1, 2), module(x), atol=1e-12, rtol=1e-12)


def test_convolution_alone_looks_at_nothing():
    with pytest.raises(ValueError, match="paths=convolution has no attention"):
        ACmix(8, paths="convolution").attention_weights(torch.randn(1, 8, 4, 4))

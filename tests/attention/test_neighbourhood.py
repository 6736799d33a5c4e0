"""NeighbourhoodAttention: a projection, windowed attention, a projection."""

import copy

import pytest
import torch
import torch.nn.functional as F

from yolo26_attention.attention.neighbourhood import NeighbourhoodAttention

from .reference import windowed


@pytest.mark.parametrize(
    ("height", "width", "options"),
    [
        pytest.param(9, 12, {}, id="default"),
        pytest.param(9, 12, {"heads": 2, "kernel_att": 3, "dilation": 2}, id="dilation"),
        pytest.param(2, 1, {"kernel_att": 5}, id="smaller-than-window"),
    ],
)
@pytest.mark.parametrize("implementation", ["auto", "tiled", "shifted"])
def test_equals_definition(height, width, options, implementation):
    torch.manual_seed(0)
    module = NeighbourhoodAttention(16, **options, implementation=implementation).double()
    x = torch.randn(2, 16, height, width, dtype=torch.float64)
    q, k, v = F.conv2d(x, module.qkv.weight, module.qkv.bias).split(16, 1)
    heads, window = options.get("heads", 4), options.get("kernel_att", 7)
    attended = windowed(q, k, v, heads, window, 1, options.get("dilation", 1))
    expected = F.conv2d(attended, module.proj.weight, module.proj.bias)
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"heads": 5}, "heads=5 does not divide the 16 channels; try 4 or 8", id="heads"),
        pytest.param({"kernel_att": 6}, "kernel_att=6 .*try 7", id="even-window"),
        pytest.param({"dilation": 0}, "dilation=0", id="dilation"),
        pytest.param({"implementation": "fast"}, "implementation=fast is unknown", id="implementation"),
        pytest.param({"kernel_att": 1, "heads": 2}, "heads=2 has no effect with kernel_att=1", id="one-heads"),
        pytest.param({"kernel_att": 1, "dilation": 2}, "dilation=2 has no effect with kernel_att=1", id="one-dilation"),
    ],
)
def test_rejects(options, message):
    with pytest.raises(ValueError, match=message):
        NeighbourhoodAttention(16, **options)


def test_shown_options():
    assert "heads=2, kernel_att=5, dilation=3" in repr(NeighbourhoodAttention(8, heads=2, kernel_att=5, dilation=3))


@pytest.mark.parametrize("size", [(12, 9), (24, 21)])
def test_a_trace_of_one_size(size):
    module, x = NeighbourhoodAttention(16).eval(), torch.randn(2, 16, *size)
    twin = copy.deepcopy(module)
    twin.prepare_export(dynamic=False)
    traced = torch.jit.trace(twin, x)
    with torch.no_grad():
        torch.testing.assert_close(traced(x), module(x), rtol=0, atol=1e-5)
    assert not any("as_strided" in str(node) for node in traced.graph.nodes())

"""The Triton kernels against the literal definition: on the GPU where there is one, else interpreted.

Triton decides at import whether it interprets, and so for a whole process. Without a GPU, whatever
touches a kernel therefore happens in a process of its own, and the other tests keep theirs.
"""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple
from unittest import mock

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from .reference import windowed

pytest.importorskip("triton")

from yolo26_attention.attention import window_triton, window_triton_launch

GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
NAMES = ("out", "grad_q", "grad_k", "grad_v")


class Case(NamedTuple):
    height: int
    width: int
    heads: int = 1
    dim: int = 8
    window: int = 3
    stride: int = 1
    dilation: int = 1
    dim_v: int = 0
    batch: int = 1

    @property
    def arguments(self):
        return self.heads, self.window, self.stride, self.dilation

    def tensors(self, dtype=torch.float64):
        """q, k, v and the gradient of the result."""
        generator = torch.Generator().manual_seed(self.height * 31 + self.width)
        channels, channels_v = self.heads * self.dim, self.heads * (self.dim_v or self.dim)
        out = (-(-self.height // self.stride), -(-self.width // self.stride))
        shapes = (channels, *out), (channels, self.height, self.width)
        shapes += (channels_v, self.height, self.width), (channels_v, *out)
        draw = [torch.randn(self.batch, *s, generator=generator) for s in shapes]
        # Rounded to bfloat16, so that every dtype starts from the same numbers.
        return [x.bfloat16().to(dtype) for x in draw]


CASES = [
    pytest.param(Case(1, 1, heads=2, dim=4, window=7), id="one-pixel"),
    pytest.param(Case(2, 3, window=7), id="smaller-than-window"),
    pytest.param(Case(1, 9, window=5), id="one-row"),
    pytest.param(Case(9, 1, window=3, stride=2), id="one-column-stride-2"),
    pytest.param(Case(5, 9, heads=4, dim=4, window=1), id="window-1-four-heads"),
    pytest.param(Case(5, 9, heads=2, dim=16), id="window-3-two-heads"),
    pytest.param(Case(5, 9, dim=20, window=5), id="window-5-dim-20"),
    pytest.param(Case(13, 17, window=7), id="window-7-many-tiles", marks=pytest.mark.slow),
    pytest.param(Case(9, 10, heads=2, dim=4, batch=2), id="two-images", marks=pytest.mark.slow),
    pytest.param(Case(5, 9, heads=2, dim_v=4), id="fewer-channels-in-v"),
    pytest.param(Case(3, 4, dim=4, window=7, dilation=2), id="reflected-repeatedly", marks=pytest.mark.slow),
    pytest.param(Case(5, 9, stride=2), id="stride-2-odd"),
    pytest.param(Case(7, 8, stride=3), id="stride-3"),
    pytest.param(Case(5, 9, dilation=2), id="dilation-2"),
    pytest.param(Case(9, 7, window=5, stride=2, dilation=2), id="stride-2-dilation-2"),
    pytest.param(Case(5, 7, stride=2, dilation=3), id="stride-2-dilation-3"),
    pytest.param(Case(9, 9, stride=4, dilation=2), id="stride-4-dilation-2"),
]


@pytest.fixture(scope="module")
def on_device():
    """Call a function of this module where the kernels can run."""
    if GPU:
        yield lambda function, *arguments: function(*arguments)
        return
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        with mock.patch.dict(os.environ, TRITON_INTERPRET="1"):
            pool.submit(os.getpid).result()
        yield lambda function, *arguments: pool.submit(function, *arguments).result()


def attend(q, k, v, case):
    assert window_triton.can_run(q, k, v, *case.arguments) is None
    return window_triton.run(q, k, v, *case.arguments)


def differentiate(function, q, k, v, grad_out):
    q, k, v = (x.detach().requires_grad_() for x in (q, k, v))
    out = function(q, k, v)
    grads = torch.autograd.grad(out, (q, k, v), grad_out)
    return [x.detach().cpu() for x in (out, *grads)]


def measure(case, dtype, blocks="large", memory_format=torch.contiguous_format):
    """Result and gradients of the kernels, as float64 arrays; "large" blocks where interpreted."""
    tensors = [x.to(DEVICE).contiguous(memory_format=memory_format) for x in case.tensors(dtype)]
    # Each program costs the interpreter milliseconds, whatever its size.
    own = {"TILES": window_triton_launch.TILES, "BLOCK": window_triton_launch.BLOCK}
    sizes = own if blocks == "own" or GPU else {"TILES": ((8, 8),), "BLOCK": 128}
    with mock.patch.multiple(window_triton_launch, **sizes):
        window_triton_launch.plan.cache_clear()
        values = differentiate(lambda q, k, v: attend(q, k, v, case), *tensors)
    window_triton_launch.plan.cache_clear()
    return [x.double().numpy() for x in values]


def expect(case, dtype=torch.float64):
    function = lambda q, k, v: windowed(q, k, v, *case.arguments)  # noqa: E731
    return [x.double() for x in differentiate(function, *case.tensors(dtype))]


def errors(values, truth):
    """Largest error of each, relative to the largest value."""
    pairs = zip(NAMES, values, truth, strict=True)
    return {n: float((torch.as_tensor(a) - b).abs().max() / b.abs().max()) for n, a, b in pairs}


@pytest.mark.parametrize("case", CASES)
def test_float32_matches_the_definition(on_device, case):
    found = [torch.as_tensor(x) for x in on_device(measure, case, torch.float32)]
    torch.testing.assert_close(found, expect(case), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case(5, 10, window=7), id="window-7"),
        pytest.param(Case(4, 9, stride=2, window=5), id="stride-2"),
        pytest.param(Case(5, 4, dilation=2), id="dilation-2"),
    ],
)
def test_blocks_as_on_a_gpu(on_device, case):
    found = [torch.as_tensor(x) for x in on_device(measure, case, torch.float32, "own")]
    torch.testing.assert_close(found, expect(case), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case(5, 9, heads=2, dim=16, window=7), id="window-7"),
        pytest.param(Case(5, 9, dim=20, stride=2), id="dim-20-stride-2"),
    ],
)
def test_low_precision_errs_at_most_twice_as_much_as_eager_code(on_device, case, dtype):
    truth = expect(case)
    found = errors(on_device(measure, case, dtype), truth)
    eager = errors(expect(case, dtype), truth)
    floor = torch.finfo(dtype).eps / 2
    assert {n: e for n, e in found.items() if e > 2 * eager[n] + floor} == {}, eager


def backward_twice(case):
    q, k, v, grad_out = (x.to(DEVICE) for x in case.tensors(torch.bfloat16))
    leaves = [x.requires_grad_() for x in (q, k, v)]
    out = attend(*leaves, case)
    first = torch.autograd.grad(out, leaves, grad_out, retain_graph=True)
    second = torch.autograd.grad(out, leaves, grad_out)
    return [torch.equal(a, b) for a, b in zip(first, second, strict=True)]


def test_two_backward_passes_are_bit_equal(on_device):
    assert on_device(backward_twice, Case(4, 5, window=5)) == [True, True, True]


def saved_for_backward(case):
    kept = []
    q, k, v, _ = (x.to(DEVICE) for x in case.tensors(torch.bfloat16))
    # As a projection to all three in channels_last gives them.
    projected = torch.cat((q, k, v), 1).contiguous(memory_format=torch.channels_last)
    q, k, v = projected.requires_grad_().split([x.shape[1] for x in (q, k, v)], 1)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        out = attend(q, k, v, case)
    copies = [x for x in kept if x.untyped_storage().data_ptr() != projected.data_ptr()]
    return len(kept), [tuple(x.shape) for x in copies], out.is_contiguous()


def test_keeps_nothing_larger_than_the_map_and_copies_no_slice_of_channels_last(on_device):
    case = Case(4, 5, heads=2, window=5)
    kept, copies, _ = on_device(saved_for_backward, case)
    assert kept == 5
    assert copies == [(1, 16, 4, 5), (1, 2, 4, 5)]


def formats(case):
    q, k, v, _ = (x.to(DEVICE) for x in case.tensors(torch.float32))
    plain = attend(q, k, v, case)
    q, k, v = (x.contiguous(memory_format=torch.channels_last) for x in (q, k, v))
    last = attend(q, k, v, case)
    return (
        plain.is_contiguous(),
        last.is_contiguous(memory_format=torch.channels_last),
        torch.equal(plain, last),
    )


def test_result_has_the_memory_format_of_q(on_device):
    assert on_device(formats, Case(3, 5, heads=2)) == (True, True, True)


def test_gradients_do_not_depend_on_the_memory_format(on_device):
    case = Case(3, 5, heads=2)
    plain = on_device(measure, case, torch.float32)
    last = on_device(measure, case, torch.float32, "large", torch.channels_last)
    assert [(a == b).all() for a, b in zip(plain, last, strict=True)] == [True] * 4


def compiled(case):
    tensors = [x.to(DEVICE) for x in case.tensors(torch.float32)]
    function = lambda q, k, v: attend(q * 2, k, v, case) + 1  # noqa: E731
    eager = differentiate(function, *tensors)
    # The kernels are opaque to the compiler: what counts is one graph, forward and backward.
    graph = torch.compile(function, backend="aot_eager", fullgraph=True)
    traced = differentiate(graph, *tensors)
    return [torch.equal(a, b) for a, b in zip(eager, traced, strict=True)]


def test_compiles_without_a_graph_break(on_device):
    assert on_device(compiled, Case(3, 4)) == [True] * 4


def under_autocast(case):
    tensors = [x.to(DEVICE) for x in case.tensors(torch.float32)]
    plain = differentiate(lambda *qkv: attend(*qkv, case), *tensors)
    with torch.autocast(DEVICE, torch.bfloat16):
        cast = differentiate(lambda *qkv: attend(*qkv, case), *tensors)
    return [torch.equal(a, b) for a, b in zip(plain, cast, strict=True)]


def test_autocast_leaves_its_precision_alone(on_device):
    assert on_device(under_autocast, Case(3, 4)) == [True] * 4


def reason_for(dtype=torch.float32, dtype_v=None, dim=8, window=3, device=DEVICE):
    q = torch.zeros(1, dim, 2, 2, dtype=dtype, device=device)
    return window_triton.can_run(q, q, q.to(dtype_v or dtype), 1, window, 1, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param({}, None, id="able"),
        pytest.param({"dtype": torch.bfloat16, "dim": 128}, None, id="able-128-channels"),
        pytest.param({"dtype": torch.float64}, "not torch.float64", id="float64"),
        pytest.param({"dtype_v": torch.float16}, "differ in dtype", id="two-dtypes"),
        pytest.param({"dim": 65}, "64 channels in torch.float32, not 65", id="channels"),
        pytest.param({"window": 4}, "window=4 is even", id="even"),
        pytest.param({"device": "meta"}, "needs a CUDA device", id="device"),
    ],
)
def test_says_why_it_cannot_run(on_device, options, words):
    reason = on_device(reason_by_name, options)
    assert (reason is None) if words is None else (words in reason)


def reason_by_name(options):
    return reason_for(**options)


class Reason(torch.nn.Module):
    def forward(self, x):
        self.reason = window_triton.can_run(x, x, x, 1, 3, 1, 1)
        return x + 1


def reason_while(export):
    module, x = Reason(), torch.zeros(1, 8, 2, 2, device=DEVICE)
    with mock.patch.object(torch.nn.Module, "__setattr__", object.__setattr__):
        export(module, x)
    return module.reason


def trace(module, x):
    torch.jit.trace(module, x, check_trace=False)


def export(module, x):
    torch.export.export(module, (x,), strict=False)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("exporter", [pytest.param(trace, id="trace"), pytest.param(export, id="export")])
def test_stays_out_of_exported_graphs(on_device, exporter):
    assert on_device(reason_while, exporter) == "an exported graph cannot hold a Triton kernel"


def test_says_that_triton_is_missing(monkeypatch):
    monkeypatch.setattr(window_triton, "kernels", None)
    assert reason_for() == "triton is not installed"


def test_counts_its_flops():
    with FakeTensorMode(), FlopCounterMode(display=False) as counter:
        q = torch.empty(2, 8, 5, 3, requires_grad=True)
        k = torch.empty(2, 8, 10, 6, requires_grad=True)
        v = torch.empty(2, 4, 10, 6, requires_grad=True)
        window_triton.run(q, k, v, 2, 7, 2, 1).sum().backward()
    # Per query and key of its window: 8 channels of q and k, 4 of v.
    pairs = 2 * 5 * 3 * 49
    assert counter.get_total_flops() == 2 * pairs * (8 + 4) + 2 * pairs * (3 * 8 + 2 * 4)


@pytest.mark.gpu
@pytest.mark.skipif(not GPU, reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case(80, 80, heads=4, dim=16, window=7, batch=2), id="p3"),
        pytest.param(Case(20, 21, heads=4, dim=64, window=7), id="p5"),
        pytest.param(Case(40, 33, heads=4, dim=32, window=9, dilation=2), id="dilation-2"),
        pytest.param(Case(40, 33, heads=4, dim=32, window=3, stride=2), id="stride-2"),
    ],
)
def test_maps_of_real_size(case, dtype):
    truth = expect(case)
    found = errors(measure(case, dtype), truth)
    eager = errors(expect(case, dtype), truth)
    floor = torch.finfo(dtype).eps / 2
    assert {n: e for n, e in found.items() if e > 2 * eager[n] + floor} == {}, eager


@pytest.mark.gpu
@pytest.mark.skipif(not GPU, reason="needs a CUDA device")
def test_peak_memory_is_a_few_maps():
    case = Case(80, 80, heads=4, dim=16, window=7, batch=16)
    q, k, v, grad_out = (x.to(DEVICE) for x in case.tensors(torch.bfloat16))
    leaves = [x.requires_grad_() for x in (q, k, v)]
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    torch.autograd.grad(attend(*leaves, case), leaves, grad_out)
    # Four copies to channels_last, the result, three gradients, and two float32 values per head.
    maps = (torch.cuda.max_memory_allocated() - before) / (q.numel() * q.element_size())
    assert maps < 9

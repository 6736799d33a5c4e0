"""ACmix wherever YOLO26 works: layouts, autocast, half, compile, trace, ONNX, copies, counted work."""

import copy
import io
import pickle

import onnxruntime
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from yolo26_attention.attention.acmix import ACmix

OPTIONS = [
    pytest.param({}, id="default"),
    pytest.param({"stride": 2}, id="stride-2"),
    pytest.param({"kernel_att": 3, "dilation": 2, "kernel_conv": 5}, id="dilation-2"),
    pytest.param({"paths": "attention"}, id="attention"),
    pytest.param({"paths": "convolution"}, id="convolution"),
]


def build(channels=16, **options):
    torch.manual_seed(0)
    module = ACmix(channels, **options)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return module


def feature_map(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("channels", [pytest.param(16, id="dense"), pytest.param(128, id="grouped")])
def test_layout_is_kept_and_does_not_matter(channels, options):
    module, x = build(channels, **options), feature_map(2, channels, 12, 9)
    with torch.no_grad():
        y = module(x)
        y_last = module(x.contiguous(memory_format=torch.channels_last))
    assert y.is_contiguous()
    assert y_last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(y, y_last)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast(dtype):
    module, x = build(), feature_map(2, 16, 12, 9).requires_grad_()
    expected = module(x)
    with torch.autocast("cpu", dtype=dtype):
        y = module(x)
    y.float().square().mean().backward()
    assert y.dtype == dtype
    assert x.grad.dtype == torch.float32
    assert all(p.grad.isfinite().all() and p.grad.dtype == p.dtype for p in module.parameters())
    assert (y - expected).norm() <= 8 * torch.finfo(dtype).eps * expected.norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_module(dtype):
    module, x = build(), feature_map(2, 16, 13, 9)
    with torch.no_grad():
        expected = module(x)
        y = copy.deepcopy(module).to(dtype)(x.to(dtype))
    assert y.dtype == dtype
    assert (y - expected).norm() <= 8 * torch.finfo(dtype).eps * expected.norm()


@pytest.mark.parametrize("options", OPTIONS)
def test_compiles_without_graph_breaks(options):
    module, x = build(**options), feature_map(1, 16, 9, 10)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), module(x))


def test_compiled_gradients():
    module = build()
    x, x_compiled = (feature_map(1, 16, 9, 10).requires_grad_() for _ in range(2))
    module(x).square().sum().backward()
    torch.compile(module, fullgraph=True, backend="aot_eager")(x_compiled).square().sum().backward()
    torch.testing.assert_close(x_compiled.grad, x.grad)


@pytest.mark.parametrize("options", OPTIONS)
def test_traces(options):
    module, x = build(**options).eval(), feature_map(1, 16, 9, 10)
    traced = torch.jit.trace(module, x)
    with torch.no_grad():
        torch.testing.assert_close(traced(x), module(x), rtol=0, atol=1e-5)


@pytest.fixture(scope="module", params=OPTIONS)
def exported(request):
    module, file = build(**request.param).eval(), io.BytesIO()
    axes = {0: "batch", 2: "height", 3: "width"}
    torch.onnx.export(
        module,
        (feature_map(1, 16, 16, 16),),
        file,
        opset_version=17,
        dynamo=False,
        input_names=["images"],
        output_names=["output"],
        dynamic_axes={"images": axes, "output": axes},
    )
    return module, onnxruntime.InferenceSession(file.getvalue())


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((1, 16, 16, 16), id="as-exported"),
        pytest.param((3, 16, 20, 28), id="not-square"),
        pytest.param((2, 16, 9, 11), id="odd"),
        pytest.param((1, 16, 2, 3), id="smaller-than-window"),
        pytest.param((1, 16, 1, 1), id="one-pixel"),
    ],
)
def test_onnx_with_dynamic_sizes(exported, shape):
    module, session = exported
    x = feature_map(*shape)
    (y,) = session.run(None, {"images": x.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(y), module(x), rtol=0, atol=1e-4)


@pytest.mark.parametrize("implementation", ["auto", "tiled"])
def test_a_trace_holds_for_any_size(implementation):
    module = build(implementation=implementation)
    traced = torch.jit.trace(module, feature_map(1, 16, 9, 10))
    with torch.no_grad():
        for shape in ((1, 16, 9, 10), (2, 16, 20, 28), (1, 16, 3, 30), (1, 16, 1, 1)):
            x = feature_map(*shape)
            torch.testing.assert_close(traced(x), module(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "twin",
    [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))],
    ids=["deepcopy", "pickle"],
)
def test_copies_compute_the_same(twin):
    module, x = build(shift="fixed"), feature_map(1, 16, 9, 10)
    module(x).sum().backward()
    assert torch.equal(twin(module)(x), module(x))


def test_ema_follows():
    module = build()
    average = torch.optim.swa_utils.AveragedModel(module, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5))
    average.update_parameters(module)
    assert torch.equal(average(feature_map(1, 16, 9, 10)), module(feature_map(1, 16, 9, 10)))


def test_flops_by_hand():
    # 30 outputs of 120 pixels: projections, 25 keys in two products, 5 x 5 taps of 12 maps.
    module = build(kernel_att=5, kernel_conv=5, stride=2)
    projections = 2 * 120 * 16 * 3 * 16
    attention = 2 * 30 * 16 * 25 * 2
    convolution = 2 * 30 * 16 * 12 * 25
    assert module.flops(12, 10) == projections + attention + convolution


@pytest.mark.parametrize(("paths", "left_out"), [("attention", "convolution"), ("convolution", "attention")])
def test_flops_of_one_path(paths, left_out):
    parts = {
        "projections": 2 * 120 * 16 * 3 * 16,
        "attention": 2 * 120 * 16 * 49 * 2,
        "convolution": 2 * 120 * 16 * 12 * 9,
    }
    del parts[left_out]
    assert build(paths=paths).flops(12, 10) == sum(parts.values())


def test_flop_counter_sees_the_products():
    module, x = build(), feature_map(1, 16, 16, 16)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(x)
    assert counter.get_total_flops() >= module.flops(16, 16)

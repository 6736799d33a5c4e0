"""The deployed form of ACmix computes what the trained module does, wherever a network is deployed."""

import copy
import io
import pickle

import onnxruntime
import pytest
import torch

from yolo26_attention.attention import acmix_convolution
from yolo26_attention.attention.acmix import ACmix
from yolo26_attention.attention.sasa import SASA

OPTIONS = [
    pytest.param({}, id="default"),
    pytest.param({"stride": 2}, id="stride-2"),
    pytest.param({"kernel_att": 3, "dilation": 2, "kernel_conv": 5}, id="dilation-2"),
    pytest.param({"paths": "attention"}, id="attention"),
    pytest.param({"paths": "convolution"}, id="convolution"),
    pytest.param({"combine": "complement"}, id="complement"),
    pytest.param({"combine": "fixed", "rate1": 0.0}, id="no-attention"),
    pytest.param({"position": False, "shift": "fixed"}, id="no-position"),
    pytest.param({"out_channels": 24}, id="other-channels"),
]
CHANNELS = [pytest.param(16, id="dense"), pytest.param(128, id="grouped")]
SIZES = [(20, 20), (9, 13), (24, 7), (2, 3), (1, 5), (1, 1), (21, 33)]


def build(channels=16, kind=ACmix, dtype=torch.float32, **options):
    torch.manual_seed(0)
    module = kind(channels, **options).to(dtype)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return module.eval()


def deployed(module, **export):
    twin = copy.deepcopy(module)
    if export:
        twin.prepare_export(**export)
    twin.fold_constants()
    return twin


def feature_map(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [pytest.param(torch.float64, 1e-14, id="f64"), pytest.param(torch.float32, 2e-6, id="f32")]
)
def test_computes_the_same_at_any_size(dtype, tolerance, options, channels):
    module = build(channels, dtype=dtype, **options)
    twin = deployed(module)
    assert twin.deployed.grouped == (channels == 128 and options.get("paths") != "attention")
    with torch.no_grad():
        for batch, size in enumerate((*SIZES, SIZES[0]), 1):
            x = feature_map(batch % 3 + 1, channels, *size, dtype=dtype)
            y, expected = twin(x), module(x)
            assert (y - expected).abs().max() <= tolerance * expected.abs().max()


def test_sasa_computes_the_same():
    module = build(kind=SASA)
    x = feature_map(2, 16, 9, 13)
    torch.testing.assert_close(deployed(module)(x), module(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("size", [(12, 9), (24, 20)])
def test_the_layout_is_kept_and_does_not_matter(size, channels):
    twin, x = deployed(build(channels)), feature_map(2, channels, *size)
    with torch.no_grad():
        y, y_last = twin(x), twin(x.contiguous(memory_format=torch.channels_last))
    assert y.is_contiguous()
    assert y_last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(y, y_last)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision(dtype, channels):
    module = build(channels)
    for size in ((13, 9), (24, 20)):
        x = feature_map(2, channels, *size)
        with torch.no_grad():
            expected = module(x)
            y = deployed(module).to(dtype)(x.to(dtype))
            with torch.autocast("cpu", dtype=dtype):
                cast = deployed(module)(x)
        assert y.dtype == cast.dtype == dtype
        assert (y - expected).norm() <= 8 * torch.finfo(dtype).eps * expected.norm()
        assert (cast - expected).norm() <= 8 * torch.finfo(dtype).eps * expected.norm()


def test_maps_of_another_precision_are_not_used():
    module = build()
    twin, x = deployed(module), feature_map(1, 16, 9, 13)
    with torch.no_grad():
        twin(x)
        y = twin.double()(x.double())
        torch.testing.assert_close(y, module.double()(x.double()), rtol=0, atol=1e-6)
        assert y.dtype == torch.float64


@pytest.mark.parametrize(
    "twin",
    [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))],
    ids=["deepcopy", "pickle"],
)
def test_copies_compute_the_same_and_carry_no_maps(twin):
    module, x = deployed(build()), feature_map(1, 16, 40, 40)
    with torch.no_grad():
        expected = module(x)
        copied = twin(module)
        assert len(pickle.dumps(module)) < 100_000 < x.numel() * 4
        assert torch.equal(copied(x), expected)


def test_maps_that_were_made_in_inference_mode_serve_gradients():
    module, x = deployed(build()), feature_map(1, 16, 9, 13)
    with torch.inference_mode():
        module(x)
    x.requires_grad_()
    module(x).sum().backward()
    assert x.grad.isfinite().all()


def test_training_and_loading_are_refused():
    module, x = deployed(build()), feature_map(1, 16, 9, 10)
    with pytest.raises(RuntimeError, match="fused for deployment and cannot train; load its checkpoint again"):
        module.train()(x)
    with pytest.raises(RuntimeError, match=r"cannot load weights; load them before fuse\(\)"):
        module.load_state_dict(build().state_dict())


def test_parameters_state_and_costs_are_those_of_the_trained_module():
    module = build()
    twin = deployed(module)
    twin.fold_constants()  # a second time changes nothing
    assert [name for name, _ in twin.named_parameters()] == [name for name, _ in module.named_parameters()]
    assert list(twin.state_dict()) == list(module.state_dict())
    assert twin.flops(9, 10) == module.flops(9, 10)
    x = feature_map(1, 16, 9, 10)
    assert torch.equal(twin.attention_weights(x), module.attention_weights(x))


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("channels", CHANNELS)
def test_a_network_that_is_fused_already_is_prepared_for_export(channels, dynamic):
    """Validation of a YOLO fuses it, and exporting it comes after that."""
    module, x = build(channels), feature_map(1, channels, 20, 20)
    twin = deployed(module, dynamic=not dynamic)
    twin.prepare_export(dynamic=dynamic)
    expected = deployed(module, dynamic=dynamic)
    assert twin.deployed.fixed_size == expected.deployed.fixed_size == (not dynamic)
    assert twin.deployed.grouped == expected.deployed.grouped
    late = deployed(module)
    late.prepare_export(dynamic=dynamic)
    assert late.deployed.grouped == expected.deployed.grouped
    assert not twin.deployed.training
    traced = torch.jit.trace(twin, x, check_trace=False)
    with torch.no_grad():
        for size in [(20, 20), (24, 21)] if dynamic else [(20, 20)]:
            x = feature_map(1, channels, *size)
            torch.testing.assert_close(traced(x), module(x), rtol=0, atol=1e-4)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("combine", ["learned", "complement", "sum", "fixed"])
def test_folds_without_a_warning(combine):
    torch.set_warn_always(True)  # otherwise torch warns once in a process
    try:
        deployed(build(combine=combine))
    finally:
        torch.set_warn_always(False)


@pytest.mark.parametrize("options", OPTIONS)
def test_compiles_without_graph_breaks(options):
    module, x = deployed(build(**options)), feature_map(1, 16, 9, 10)
    torch.compiler.reset()  # there is a limit of modules that share code
    with torch.no_grad():
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x), module(x))


@pytest.mark.parametrize("size", [(9, 10), (24, 21)])
@pytest.mark.parametrize("options", OPTIONS)
def test_a_trace_of_one_size(options, size):
    module, x = build(**options), feature_map(1, 16, *size)
    twin = deployed(module, dynamic=False)
    traced = torch.jit.trace(twin, x)
    with torch.no_grad():
        for batch in (1, 3):
            x = feature_map(batch, 16, *size)
            torch.testing.assert_close(traced(x), module(x), rtol=0, atol=1e-5)


def exported(module, size, dynamic):
    file, channels = io.BytesIO(), module.conv1.in_channels
    axes = {0: "batch", 2: "height", 3: "width"} if dynamic else {0: "batch"}
    torch.onnx.export(
        module,
        (feature_map(1, channels, *size),),
        file,
        opset_version=17,
        dynamo=False,
        input_names=["images"],
        output_names=["output"],
        dynamic_axes={"images": axes, "output": axes},
    )
    return onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("size", [(16, 12), (24, 21)])
@pytest.mark.parametrize("options", OPTIONS)
def test_onnx_of_one_size(options, size):
    module = build(**options)
    session = exported(deployed(module, dynamic=False), size, dynamic=False)
    x = feature_map(2, 16, *size)
    with torch.no_grad():
        (y,) = session.run(None, {"images": x.numpy()})
        torch.testing.assert_close(torch.from_numpy(y), module(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "prepare",
    [pytest.param({"dynamic": True}, id="prepared"), pytest.param({}, id="exported-by-plain-ultralytics")],
)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("options", OPTIONS)
def test_onnx_of_any_size(options, channels, prepare):
    module = build(channels, **options)
    session = exported(deployed(module, **prepare), (16, 16), dynamic=True)
    for shape in ((1, 16, 16), (3, 20, 28), (2, 9, 11), (1, 2, 3), (1, 1, 1)):
        x = feature_map(shape[0], channels, *shape[1:])
        with torch.no_grad():
            (y,) = session.run(None, {"images": x.numpy()})
            torch.testing.assert_close(torch.from_numpy(y), module(x), rtol=0, atol=1e-4)


def test_a_grouped_module_that_nobody_prepared_still_traces():
    module, x = build(128), feature_map(1, 128, 9, 10)
    traced = torch.jit.trace(deployed(module), x)
    with torch.no_grad():
        torch.testing.assert_close(traced(x), module(x), rtol=0, atol=1e-5)


def test_the_convolutions_form_follows_the_device():
    assert acmix_convolution.most_dense_channels(torch.device("cpu")) == 96
    assert acmix_convolution.most_dense_channels(torch.device("cuda")) > 512
    assert acmix_convolution.most_dense_channels(torch.device("mps")) == 96


def test_a_small_map_takes_few_operators():
    module, x = deployed(build(128)), feature_map(1, 128, 8, 8).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        module(x)
        with torch.profiler.profile() as profiled:
            module(x)
    assert len(profiled.events()) <= 60

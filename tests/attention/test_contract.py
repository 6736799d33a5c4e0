"""What every mechanism of ATTENTION_SCHEMAS keeps to, with its defaults; a new one is tested by being in the table."""

import copy
import importlib
import inspect
import io
import pickle
import warnings
from dataclasses import fields
from enum import Enum

import onnxruntime
import pytest
import torch
from hydra.errors import HydraException
from omegaconf import OmegaConf
from torch import nn

from yolo26_attention.attention.options import ATTENTION_SCHEMAS

NAMES = [pytest.param(name, id=name) for name in ATTENTION_SCHEMAS if name != "baseline"]
SIZES = [pytest.param(size, id="x".join(map(str, size))) for size in ((20, 20), (13, 17), (3, 1), (1, 1))]

# Another value of every option that is not a switch or a choice; those take their other value.
OTHER = {
    "heads": 8,
    "kernel_att": 11,
    "kernel_conv": 5,
    "dilation": 2,
    "rate1": 0.3,
    "rate2": 0.3,
    "reduction": 2,
    "divisor": 16,
    "radix": 4,
    "groups": 4,
    "dim_head": 8,
    "e_lambda": 1.0,
    "area": 2,
    "attn_ratio": 1.0,
}
# Arguments of a target that are no options: the placement decides them.
PLACED = {"stride"}
# Options that choose how something is computed, not what.
SAME_RESULT = {"implementation"}
# Parameters whose gradient is zero by construction: softmax or batch norm removes what they add.
NO_GRADIENT = {
    "acmix": {"conv_p.bias"},
    "sasa": {"conv2.bias", "conv_p.bias"},
    "gc": {"conv_attn.bias"},
    "gca": {"conv_attn.bias"},
    "nl": {"p.bias", "g.bias", "z.bias"},
    "area": {"pe.bn.bias"},
    "psa": {"attn.pe.bn.bias"},
}
# name: why it cannot be exported with dynamic sizes.
NO_ONNX: dict[str, str] = {}
# timm's own classes whose views leave a size to torch, which cannot know it for an empty map.
NO_EMPTY_BATCH = {"eca", "ceca", "splat", "nl", "attention2d"}
# name: why two runs on CUDA may differ.
NOT_DETERMINISTIC = {"attention2d": "the backward of torch's fused attention"}


def target(name):
    module, _, attribute = ATTENTION_SCHEMAS[name]._target_.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def default_options(name):
    options = OmegaConf.to_container(OmegaConf.structured(ATTENTION_SCHEMAS[name]), enum_to_str=True)
    return {key: value for key, value in options.items() if key not in {"name", "_target_"}}


def build(name, channels=64, **options):
    """A module from seed 0 whose parameters that start at zero are drawn, or nothing could be seen through them."""
    torch.manual_seed(0)
    module = target(name)(channels, **default_options(name) | options)
    assert isinstance(module, nn.Module)
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.any():
                parameter.uniform_(-0.5, 0.5)
    return module


def draw(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def run(module, x):
    """Output, gradient of the input and of every parameter."""
    x = x.clone().requires_grad_()
    module.zero_grad()
    y = module(x)
    (y * draw(*y.shape).to(y)).sum().backward()
    return [y.detach(), x.grad, *(parameter.grad for parameter in module.parameters())]


@pytest.mark.parametrize("name", NAMES)
def test_options_are_the_targets_keyword_arguments(name):
    arguments = inspect.signature(target(name)).parameters.values()
    keywords = {p.name: p.default for p in arguments if p.kind is p.KEYWORD_ONLY and p.name not in PLACED}
    assert default_options(name) == keywords
    assert ATTENTION_SCHEMAS[name].name == name


@pytest.mark.parametrize("name", NAMES)
def test_options_use_the_words_of_all(name):
    foreign = {"num_heads", "head", "kernel_size", "kernel", "window", "rd_ratio", "has_skip", "skip", "gate_layer"}
    assert {field.name for field in fields(ATTENTION_SCHEMAS[name])} & foreign == set()


@pytest.mark.parametrize("name", NAMES)
def test_channels_last_changes_nothing(name):
    """Ultralytics puts a network into this format for inference on a CPU."""
    module, x = build(name).eval(), draw(2, 64, 12, 10)
    with torch.no_grad():
        expected = module(x)
        found = module.to(memory_format=torch.channels_last)(x)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("size", [(6, 6), (40, 40)])
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_images_gives_an_empty_map(name, size):
    """As convolutions do."""
    module, x = build(name).eval(), torch.zeros(0, 64, *size)
    with torch.no_grad():
        if name in NO_EMPTY_BATCH:
            with pytest.raises(RuntimeError, match="of 0 elements"):
                module(x)
            return
        assert module(x).shape == x.shape
        if hasattr(module, "fold_constants"):
            module.fold_constants()
            assert module(x).shape == x.shape


@pytest.mark.parametrize(
    ("name", "option"),
    [
        pytest.param(name, option, id=f"{name}-{option}")
        for name, schema in ATTENTION_SCHEMAS.items()
        for option in ("heads", "kernel_att")
        if option not in schema.__dataclass_fields__
    ],
)
def test_an_option_the_mechanism_lacks_is_refused(name, option, composed):
    with pytest.raises(HydraException) as caught:
        composed(f"attention={name}", f"attention.{option}=3")
    assert f"Key '{option}' not in" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        pytest.param(name, field.name, id=f"{name}-{field.name}")
        for name, schema in ATTENTION_SCHEMAS.items()
        for field in fields(schema)
        if field.name not in {"name", "_target_"} | SAME_RESULT
    ],
)
def test_every_option_changes_output_or_parameters(name, option):
    default = ATTENTION_SCHEMAS[name].__dataclass_fields__[option].default
    if isinstance(default, bool):
        other = not default
    elif isinstance(default, Enum):
        other = next(choice.value for choice in type(default) if choice is not default)
    else:
        other = OTHER[option]
        assert other != default
    before, after = build(name).eval(), build(name, **{option: other}).eval()
    x = draw(2, 64, 12, 11)
    with torch.no_grad():
        same_output = torch.equal(before(x), after(x))
    shapes = [[tuple(p.shape) for p in module.parameters()] for module in (before, after)]
    assert not same_output or shapes[0] != shapes[1]


@pytest.mark.parametrize("channels", [64, 128, 256])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_shape_and_dtype_stay(name, size, channels):
    module = build(name, channels).eval()
    x = draw(1, channels, *size)
    with torch.no_grad():
        y = module(x)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert y.isfinite().all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite(name, size):
    training = run(build(name), draw(2, 64, *size))
    inference = run(build(name).eval(), draw(1, 64, *size))
    assert all(tensor.isfinite().all() for tensor in training + inference)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(name):
    module = build(name).double()
    # Images unlike each other, or a bottleneck of four channels is dead for all.
    x = draw(8, 64, 7, 9, dtype=torch.float64) + 3 * draw(8, 64, 1, 1, dtype=torch.float64)
    _, of_input, *of_parameters = run(module, x)
    largest = {
        key: grad.abs().max().item() for (key, _), grad in zip(module.named_parameters(), of_parameters, strict=True)
    }
    assert of_input.any()
    assert {key for key, value in largest.items() if value < 1e-9} == NO_GRADIENT.get(name, set())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_input_is_left_alone(name, training):
    x = draw(2, 64, 13, 17)
    before = x.clone()
    with torch.no_grad():
        y = build(name).train(training)(x)
        y.zero_()  # nor is the output a view of it
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", NAMES)
def test_channels_last_gives_the_same(name):
    module = build(name).eval()
    x = draw(2, 64, 13, 17)
    with torch.no_grad():
        torch.testing.assert_close(module(x.contiguous(memory_format=torch.channels_last)), module(x))


@pytest.mark.parametrize("name", NAMES)
def test_autocast_trains(name):
    module = build(name)
    x = draw(2, 64, 13, 17).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = module(x)
    y.float().square().mean().backward()
    assert y.isfinite().all()
    assert x.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_validates(name):
    module = build(name).eval().half()
    with torch.no_grad():
        y = module(draw(1, 64, 13, 17).half())
    assert y.dtype == torch.float16
    assert y.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_two_runs_are_equal(name):
    module, again = build(name), build(name)
    first = run(module, draw(2, 64, 13, 17))
    torch.manual_seed(1)  # a forward pass that draws would draw something else
    second = run(again, draw(2, 64, 13, 17))
    assert all(map(torch.equal, first, second))


@pytest.mark.parametrize("name", NAMES)
def test_initial_values_come_from_the_global_generator(name):
    torch.manual_seed(0)
    first = target(name)(64)
    second = target(name)(64)
    torch.manual_seed(0)
    again = target(name)(64)
    drawn = [key for key, value in first.state_dict().items() if not torch.equal(value, second.state_dict()[key])]
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in first.state_dict().items())
    assert drawn or not list(first.parameters())


@pytest.mark.parametrize(
    "copied",
    [
        pytest.param(lambda module: pickle.loads(pickle.dumps(module)), id="pickle"),
        pytest.param(copy.deepcopy, id="deepcopy"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_copies_compute_the_same(name, copied):
    module = build(name)
    run(module, draw(2, 64, 13, 17))  # moves the running statistics
    x = draw(1, 64, 13, 17)
    with torch.no_grad():
        assert torch.equal(copied(module).eval()(x), module.eval()(x))


@pytest.mark.parametrize("name", NAMES)
def test_state_dict_round_trips(name):
    module = build(name)
    run(module, draw(2, 64, 13, 17))
    torch.manual_seed(7)
    other = target(name)(64, **default_options(name))
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    other.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True), strict=True)
    x = draw(1, 64, 13, 17)
    with torch.no_grad():
        assert torch.equal(other.eval()(x), module.eval()(x))


@pytest.mark.parametrize("name", [name for name in NAMES if name.values[0] not in NO_ONNX])
def test_onnx_with_dynamic_sizes_matches(name):
    module = build(name).eval()
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecation, and the tracer's
        torch.onnx.export(
            module,
            (draw(1, 64, 20, 20),),
            file,
            dynamo=False,
            opset_version=17,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={key: {0: "batch", 2: "height", 3: "width"} for key in ("x", "y")},
        )
    threads = onnxruntime.SessionOptions()
    threads.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file.getvalue(), threads, providers=["CPUExecutionProvider"])
    for shape in ((1, 64, 20, 20), (2, 64, 13, 17)):
        x = draw(*shape)
        with torch.no_grad():
            expected = module(x)
        actual = torch.from_numpy(session.run(None, {"x": x.numpy()})[0])
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", [name for name in NAMES if name.values[0] not in NOT_DETERMINISTIC])
def test_two_runs_on_cuda_are_equal(name):
    torch.use_deterministic_algorithms(True, warn_only=True)  # as Ultralytics does
    try:
        x = draw(4, 64, 40, 40).cuda()
        first, second = (run(build(name).cuda(), x) for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(map(torch.equal, first, second))

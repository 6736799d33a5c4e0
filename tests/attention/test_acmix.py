"""ACmix against what the original code computed, and against the paper's definition where that code fails."""

from pathlib import Path

import numpy as np
import pytest
import torch

from yolo26_attention.attention import acmix_convolution
from yolo26_attention.attention.acmix import ACmix

from . import reference

CPU = ("tiled", "shifted")
VECTORS = sorted((Path(__file__).parent / "vectors").glob("acmix-*.npz"))


@pytest.fixture(params=["dense", "grouped"])
def form(request, monkeypatch):
    """Both forms of the convolution path, whatever the channels."""
    monkeypatch.setitem(acmix_convolution.MOST_DENSE_CHANNELS, "cpu", 1000 if request.param == "dense" else 0)


def randomise(module, seed=0):
    """Give every parameter a value that no other has, so that nothing cancels."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.4)
    return module


def values(module):
    return {name: x.detach().clone().requires_grad_() for name, x in module.state_dict().items()}


def feature_map(*shape, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()


def upstream(y):
    generator = torch.Generator().manual_seed(2)
    return torch.randn(y.shape, generator=generator, dtype=torch.float64).to(y.dtype)


def load_vectors(path, prefix=""):
    data = np.load(path)
    options = {name: int(data[name]) for name in ("heads", "kernel_att", "kernel_conv", "stride")}
    arrays = {name: torch.from_numpy(data[name]) for name in data.files if name not in options}
    return options, arrays


def starting_with(prefix, arrays):
    return {name.removeprefix(prefix): x for name, x in arrays.items() if name.startswith(prefix)}


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("implementation", CPU)
@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_original_code(path, implementation):
    options, arrays = load_vectors(path)
    x = arrays["x"].requires_grad_()
    module = ACmix(x.shape[1], arrays["y"].shape[1], **options, implementation=implementation).double()
    module.load_state_dict(starting_with("param.", arrays), strict=True)
    y = module(x)
    y.backward(arrays["grad_y"])
    got = {name: parameter.grad for name, parameter in module.named_parameters()}
    torch.testing.assert_close(y, arrays["y"], rtol=0, atol=1e-12)
    torch.testing.assert_close(x.grad, arrays["grad_x"], rtol=0, atol=1e-12)
    torch.testing.assert_close(got, starting_with("grad.", arrays), rtol=0, atol=1e-12)


def test_six_vectors_are_there():
    assert len(VECTORS) == 6


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_original_code_without_gradients(path):
    options, arrays = load_vectors(path)
    module = ACmix(arrays["x"].shape[1], arrays["y"].shape[1], **options).double().eval()
    module.load_state_dict(starting_with("param.", arrays), strict=True)
    with torch.no_grad():
        y = module(arrays["x"])
    torch.testing.assert_close(y, arrays["y"], rtol=0, atol=1e-12)


# height, width, in_channels, out_channels, options
CASES = [
    pytest.param(10, 13, 12, 16, {}, id="default"),
    pytest.param(9, 7, 8, 8, {"heads": 1, "kernel_att": 3}, id="one-head"),
    pytest.param(8, 9, 16, 48, {"kernel_att": 5}, id="more-channels"),
    pytest.param(8, 9, 6, 32, {"heads": 2, "kernel_att": 9}, id="window-9"),
    pytest.param(7, 9, 8, 8, {"kernel_conv": 1}, id="kernel-conv-1"),
    pytest.param(7, 9, 8, 16, {"kernel_conv": 5}, id="kernel-conv-5"),
    pytest.param(12, 10, 8, 16, {"stride": 2}, id="stride-2"),
    pytest.param(11, 9, 8, 16, {"stride": 2}, id="stride-2-odd"),
    pytest.param(11, 9, 8, 8, {"stride": 2, "kernel_conv": 5, "kernel_att": 3}, id="stride-2-kernel-conv-5"),
    pytest.param(12, 13, 8, 8, {"dilation": 2, "kernel_att": 5}, id="dilation-2"),
    pytest.param(12, 13, 8, 8, {"dilation": 3, "kernel_att": 3, "stride": 2}, id="dilation-3-stride-2"),
    pytest.param(1, 1, 8, 8, {}, id="one-pixel"),
    pytest.param(2, 3, 8, 8, {}, id="smaller-than-window"),
    pytest.param(1, 6, 8, 8, {"kernel_conv": 5}, id="one-row"),
    pytest.param(9, 8, 8, 16, {"paths": "attention"}, id="attention-only"),
    pytest.param(9, 8, 8, 16, {"paths": "attention", "position": False}, id="attention-no-position"),
    pytest.param(9, 8, 8, 16, {"paths": "convolution"}, id="convolution-only"),
    pytest.param(9, 8, 8, 16, {"position": False}, id="no-position"),
]


def reference_output(module, x, parameters, options):
    known = {"heads": 4, **options}
    return reference.acmix(x, parameters, **known)


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("implementation", CPU)
@pytest.mark.parametrize(("height", "width", "in_channels", "out_channels", "options"), CASES)
def test_equals_definition(height, width, in_channels, out_channels, options, implementation):
    alone = options.get("paths") == "convolution"
    chosen = {} if alone else {"implementation": implementation}
    module = randomise(ACmix(in_channels, out_channels, **options, **chosen).double())
    parameters = values(module)
    x = feature_map(2, in_channels, height, width)
    y, expected = module(x), reference_output(module, x, parameters, options)
    names = [name for name, _ in module.named_parameters()]
    got = torch.autograd.grad(y, [x, *module.parameters()], upstream(y))
    # conv_p.bias is a gradient of zero here, and rounding errors around it there.
    wanted = torch.autograd.grad(expected, [x, *(parameters[name] for name in names)], upstream(y))
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    for name, a, b in zip(["x", *names], got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize(("height", "width", "in_channels", "out_channels", "options"), CASES)
def test_equals_definition_without_gradients(height, width, in_channels, out_channels, options):
    module = randomise(ACmix(in_channels, out_channels, **options).double()).eval()
    x = feature_map(2, in_channels, height, width).detach()
    with torch.no_grad():
        y = module(x)
    torch.testing.assert_close(y, reference_output(module, x, values(module), options), rtol=0, atol=1e-12)


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize(
    ("combine", "rates"),
    [
        pytest.param({"combine": "learned", "rate1": 0.3, "rate2": 0.9}, (0.3, 0.9), id="learned"),
        pytest.param({"combine": "complement", "rate1": 0.3}, (0.3, 0.7), id="complement"),
        pytest.param({"combine": "sum"}, (1.0, 1.0), id="sum"),
        pytest.param({"combine": "fixed", "rate1": 0.3, "rate2": 0.9}, (0.3, 0.9), id="fixed"),
    ],
)
@pytest.mark.parametrize("grad", [True, False], ids=["training", "inference"])
def test_combine(combine, rates, grad):
    module = ACmix(8, 16, **combine).double()
    x = feature_map(1, 8, 9, 10)
    # A learned rate is stored in float32.
    exact = (
        tuple(float(torch.tensor(rate)) for rate in rates)
        if "rate1" in combine and combine["combine"] != "fixed"
        else rates
    )
    expected = reference.acmix(x, values(module), heads=4, rates=exact)
    with torch.set_grad_enabled(grad):
        y = module(x)
    torch.testing.assert_close(y, expected, rtol=0, atol=2e-7 if combine["combine"] == "complement" else 1e-12)


def test_complement_has_one_rate_and_its_gradient():
    module = ACmix(8, combine="complement").double()
    x = feature_map(1, 8, 9, 10)
    rate = module.rate1.detach().clone().requires_grad_()
    expected = reference.acmix(x, values(module), heads=4, rates=(rate, 1 - rate))
    y = module(x)
    got = torch.autograd.grad(y, module.rate1, upstream(y))
    wanted = torch.autograd.grad(expected, rate, upstream(y))
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)
    assert "rate2" not in module.state_dict()


def relative_error(got, wanted):
    return ((got.double() - wanted).norm() / wanted.norm().clamp(min=1e-30)).item()


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_low_precision(dtype):
    module = randomise(ACmix(16, 32)).to(dtype)
    low, exact = values(module), {name: p.double().requires_grad_() for name, p in values(module).items()}
    x = feature_map(2, 16, 12, 18, dtype=dtype)
    x_exact = x.detach().double().requires_grad_()
    y = module(x)
    eager = reference.acmix(x, low, heads=4)
    truth = reference.acmix(x_exact, exact, heads=4)
    assert y.dtype == dtype
    learned = [name for name in low if name != "conv_p.bias"]  # its gradient is zero
    by_name = dict(module.named_parameters())
    outs = [y, *torch.autograd.grad(y, [x, *(by_name[n] for n in learned)], upstream(y))]
    eagers = [eager, *torch.autograd.grad(eager, [x, *(low[n] for n in learned)], upstream(y))]
    truths = [truth, *torch.autograd.grad(truth, [x_exact, *(exact[n] for n in learned)], upstream(y).double())]
    report = {
        name: (relative_error(a, t), 2 * relative_error(e, t) + max(torch.finfo(dtype).eps, 1e-6))
        for name, a, e, t in zip(["y", "x", *learned], outs, eagers, truths, strict=True)
    }
    assert all(error <= bound for error, bound in report.values()), report


def test_low_precision_without_gradients():
    module = randomise(ACmix(16, 32)).half().eval()
    x = feature_map(2, 16, 12, 18, dtype=torch.float16).detach()
    exact = {name: p.double() for name, p in values(module).items()}
    truth, eager = reference.acmix(x.double(), exact, heads=4), reference.acmix(x, values(module), heads=4)
    with torch.no_grad():
        y = module(x)
    assert y.dtype == torch.float16
    bound = 2 * relative_error(eager.detach(), truth) + torch.finfo(torch.float16).eps
    assert relative_error(y, truth) <= bound


def test_conv_p_bias_gradient_is_exactly_zero():
    module = randomise(ACmix(8))
    module(feature_map(1, 8, 9, 9, dtype=torch.float32)).square().sum().backward()
    assert torch.equal(module.conv_p.bias.grad, torch.zeros_like(module.conv_p.bias))


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("implementation", CPU)
def test_backward_is_repeatable(implementation):
    module = randomise(ACmix(16, implementation=implementation))
    x = feature_map(2, 16, 21, 18, dtype=torch.float32)
    first, second = (torch.autograd.grad(module(x).square().sum(), [x, *module.parameters()]) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_memory_kept_for_backward():
    # x, q, k, v, the key's positions, each path's result: a dozen maps, where one set of windows would be 49.
    module = ACmix(32)
    x = feature_map(2, 32, 24, 24, dtype=torch.float32)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        module(x)
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in saved}
    assert sum(storages.values()) <= 12 * x.numel() * x.element_size()

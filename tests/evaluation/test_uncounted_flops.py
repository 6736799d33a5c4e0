"""What a FLOP counter does not see: named, with its place, or counted after all."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import DeformConv2d, deform_conv2d

from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.evaluation.flops import count_operators, count_without_computing
from yolo26_attention.evaluation.uncounted_flops import KERNEL, PARAMETERS

SIZE = (8, 16, 12)  # channels, height, width
PIXELS = 16 * 12


class Tokens(nn.Module):
    """A layer that takes tokens, as a layer of maps."""

    def __init__(self, layer, attends=False):
        super().__init__()
        self.layer, self.attends = layer, attends

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        found = self.layer(tokens, tokens, tokens) if self.attends else self.layer(tokens)
        found = found[0] if isinstance(found, tuple) else found
        return found.transpose(1, 2).reshape(x.shape)


class Calls(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Kernel(nn.Module):
    """Computes where PyTorch sees nothing of it, as a Triton kernel that is launched by hand does."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8, 1, 1))

    def forward(self, x):
        out = torch.empty_like(x)
        out.numpy()[...] = self.weight.detach().numpy() * x.numpy()
        return out


class Deformable(nn.Module):
    def __init__(self, channels=8):
        super().__init__()
        self.offset = nn.Conv2d(channels, 18, 3, padding=1)
        self.convolution = DeformConv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.convolution(x, self.offset(x))


class Fourier(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return self.mix(torch.fft.irfft2(torch.fft.rfft2(x), s=x.shape[-2:]))


BILINEAR = "aten::upsample_bilinear2d"
ATTENTION = PIXELS * 2 * (4 * 8 * 8 + 2 * PIXELS * 8)


@pytest.mark.parametrize(
    ("module", "flops"),
    [
        pytest.param(Tokens(nn.MultiheadAttention(8, 2, batch_first=True), attends=True), ATTENTION, id="mha"),
        pytest.param(
            Tokens(nn.TransformerEncoderLayer(8, 2, 32, batch_first=True)),
            ATTENTION + PIXELS * 2 * 2 * 8 * 32,
            id="encoder_layer",
        ),
        pytest.param(
            Tokens(nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 32, batch_first=True), 2)),
            2 * (ATTENTION + PIXELS * 2 * 2 * 8 * 32),
            id="encoder",
        ),
        pytest.param(Deformable(), PIXELS * 2 * 8 * 9 * (18 + 8), id="deformable_convolution"),
        pytest.param(Tokens(nn.LSTM(8, 8, batch_first=True)), PIXELS * 2 * 4 * 8 * 16, id="lstm"),
        pytest.param(Tokens(nn.GRU(8, 8, batch_first=True)), PIXELS * 2 * 3 * 8 * 16, id="gru"),
        pytest.param(Calls(lambda x: torch.einsum("bchw,bdhw->bcd", x, x)), 2 * 8 * 8 * PIXELS, id="einsum"),
        pytest.param(Calls(lambda x: x[0, 0] @ x[0, 0, 0]), 2 * PIXELS, id="matrix_vector"),
        pytest.param(Calls(lambda x: (x[:, :, None] * x[:, None]).sum(2)), 2 * 64 * PIXELS, id="multiply_and_sum"),
        pytest.param(Calls(lambda x: F.softmax(F.layer_norm(F.pad(x.abs(), (1, 1)), [14]), 1).max(1)), 0, id="free"),
        pytest.param(nn.Sequential(nn.BatchNorm2d(8), nn.PReLU(8), nn.AvgPool2d(2)).eval(), 0, id="elementwise"),
    ],
)
@pytest.mark.parametrize("count", [count_operators, count_without_computing])
def test_what_has_a_formula_is_counted_in_whole_and_nothing_is_named(module, flops, count):
    found = count(module.eval(), *SIZE)
    assert (found.flops, found.not_counted) == (flops, ())


@pytest.mark.parametrize(
    ("function", "named"),
    [
        pytest.param(lambda x: torch.fft.rfft2(x).abs(), ("aten::_fft_r2c",), id="fourier"),
        pytest.param(lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), (BILINEAR,), id="up"),
        pytest.param(
            lambda x: F.grid_sample(x, torch.zeros(1, 4, 4, 2), align_corners=False),
            ("aten::grid_sampler_2d",),
            id="grid_sample",
        ),
        pytest.param(lambda x: torch.cdist(x.flatten(2), x.flatten(2)), ("aten::_cdist_forward",), id="cdist"),
        pytest.param(lambda x: torch.linalg.svdvals(x), ("aten::_linalg_svd",), id="svd"),
        pytest.param(lambda x: torch.ops.tests_unseen.twice(x), ("tests_unseen::twice",), id="custom_operator"),
    ],
)
def test_operator_without_a_formula_is_named(function, named):
    assert count_operators(Calls(function), *SIZE).not_counted == named


@torch.library.custom_op("tests_unseen::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    """An operator of somebody's own."""
    return x * 2


def test_kernel_that_pytorch_does_not_see_is_named_by_what_it_wrote_and_by_its_parameters():
    for model in (Kernel(), nn.Sequential(Kernel(), nn.Conv2d(8, 8, 1))):
        place = " (0)" if len(list(model.children())) else ""
        assert count_operators(model, *SIZE).not_counted == (KERNEL + place, PARAMETERS + place)


def test_memory_that_an_operator_fills_is_no_unseen_kernel():
    def filled(x):
        out = torch.empty_like(x)
        out[:, :4] = x[:, :4]
        out[:, 4:] = 0
        return out * 2

    assert count_operators(Calls(filled), *SIZE).not_counted == ()


def test_products_that_are_kept_as_well_are_elementwise():
    """A gate whose output is also averaged is no product of matrices."""

    def gated(x):
        y = x * torch.ones_like(x)
        return y * y.mean(1, keepdim=True)

    assert count_operators(Calls(gated), *SIZE).flops == 0


def test_parameters_of_modules_that_do_not_run_are_not_named():
    model = nn.Conv2d(8, 8, 1)
    model.only_in_training = nn.Linear(3, 3)
    assert count_operators(model, *SIZE).not_counted == ()


def test_place_is_the_site_of_a_grafted_network():
    model = build_stock("yolo26n", classes=3, channels=3).eval()
    graft(model, Graft("tests.evaluation.test_uncounted_flops.Fourier", {}, ("p3", "p5")))
    stock = build_stock("yolo26n", classes=3, channels=3).eval()
    assert count_operators(stock, 3, 64, 64).not_counted == ()
    assert count_operators(model.eval(), 3, 64, 64).not_counted == (
        "aten::_fft_r2c (site p3, site p5)",
        "aten::_fft_c2r (site p3, site p5)",
    )


def test_fast_path_is_off_only_while_counting():
    for before in (True, False):
        torch.backends.mha.set_fastpath_enabled(before)
        try:
            with pytest.raises(ZeroDivisionError):
                count_operators(Calls(lambda x: 1 / 0), *SIZE)
            assert torch.backends.mha.get_fastpath_enabled() is before
        finally:
            torch.backends.mha.set_fastpath_enabled(True)


class Stated(nn.Module):
    """Says what it takes."""

    def __init__(self, inner=None):
        super().__init__()
        self.inner = inner or Kernel()

    def forward(self, x):
        return self.inner(x)

    def flops(self, height, width):
        return 7 * height * width


def test_own_statement_replaces_what_is_not_counted_inside():
    found = count_operators(nn.Sequential(nn.Conv2d(8, 8, 1), Stated()), *SIZE)
    assert (found.flops, found.not_counted) == (PIXELS * (2 * 64 + 7), ())


def test_module_that_runs_twice_is_counted_twice():
    stated = Stated()
    assert count_operators(nn.Sequential(stated, nn.Identity(), stated), *SIZE).flops == 2 * 7 * PIXELS


def test_outermost_statement_counts():
    inner = Stated(nn.Conv2d(8, 8, 1))
    assert count_operators(nn.Sequential(Stated(inner)), *SIZE).flops == 7 * PIXELS


def conv_with(**attributes):
    """A convolution of a class with further attributes."""
    return type("Convolution", (nn.Conv2d,), attributes)(8, 8, 1)


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param({"flops": 12}, id="number"),
        pytest.param({"flops": property(lambda self: 12)}, id="property"),
        pytest.param({"flops": lambda self: 12}, id="no_arguments"),
        pytest.param({"flops": lambda self, shape=(3, 224, 224), verbose=True: 12}, id="other_arguments"),
        pytest.param({"flops": None}, id="none"),
    ],
)
def test_attribute_called_flops_that_is_no_such_method_is_left_alone(attributes):
    found = count_operators(nn.Sequential(conv_with(**attributes)), *SIZE)
    assert (found.flops, found.not_counted) == (2 * 64 * PIXELS, ())


def test_statement_that_fails_is_named_and_what_was_seen_stands():
    def flops(self, height, width):
        return None

    found = count_operators(nn.Sequential(conv_with(flops=flops)), *SIZE)
    assert found.flops == 2 * 64 * PIXELS
    assert found.not_counted[0].startswith("its own flops(16, 12), which failed (TypeError: ")


def test_count_without_computing_falls_back_to_computing_and_leaves_no_fake_tensor():
    class Reads(nn.Module):
        def forward(self, x):
            self.kept = x * 2
            return x * float(x.sum()) if x.max() > -1 else x

    model = nn.Sequential(Reads(), nn.Conv2d(8, 8, 1))
    assert count_without_computing(model, *SIZE) == count_operators(copy.deepcopy(model), *SIZE)
    model = nn.Sequential(Tokens(nn.Linear(8, 8)))
    model[0].register_forward_hook(lambda module, inputs, output: setattr(module, "kept", output))
    count_without_computing(model, *SIZE)
    assert not hasattr(model[0], "kept")


def test_deformable_convolution_by_function():
    x = torch.zeros(1, 18, 16, 12)
    module = Calls(lambda map: deform_conv2d(map, x, torch.ones(4, 8, 3, 3), padding=1))
    assert count_operators(module, *SIZE).flops == 2 * 4 * PIXELS * 8 * 9

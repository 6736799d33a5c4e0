"""SimAM against its energy, pixel by pixel in float64."""

import math

import numpy as np
import pytest
import torch

from yolo26_attention.attention.simam import SimAM


def reference(x, e_lambda):
    """Gate every pixel by its minimal energy, one pixel at a time."""
    out = np.empty_like(x)
    for image in range(x.shape[0]):
        for channel in range(x.shape[1]):
            plane = x[image, channel]
            mean = sum(plane.flat) / plane.size
            variance = sum((t - mean) ** 2 for t in plane.flat) / max(plane.size - 1, 1)
            for pixel, t in np.ndenumerate(plane):
                energy = 4 * (variance + e_lambda) / ((t - mean) ** 2 + 2 * variance + 2 * e_lambda)
                out[image, channel][pixel] = t / (1 + math.exp(-1 / energy))
    return out


@pytest.mark.parametrize("e_lambda", [1e-4, 0.5])
@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((2, 3, 6, 5), id="map"),
        pytest.param((1, 2, 1, 7), id="row"),
        pytest.param((2, 2, 1, 1), id="pixel"),
    ],
)
def test_matches_the_energy(shape, e_lambda):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    actual = SimAM(shape[1], e_lambda=e_lambda)(x)
    np.testing.assert_allclose(actual.numpy(), reference(x.numpy(), e_lambda), rtol=1e-12, atol=0)


def test_gradient_is_that_of_the_function():
    x = torch.randn(1, 2, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(SimAM(2), x)


@pytest.mark.parametrize("size", [pytest.param((1, 1), id="pixel"), pytest.param((5, 4), id="constant-map")])
def test_nothing_to_tell_apart_gives_the_gate_of_one_half(size):
    x = torch.full((1, 2, *size), 3.0, requires_grad=True)
    y = SimAM(2)(x)
    y.sum().backward()
    torch.testing.assert_close(y, x / (1 + math.exp(-0.5)))
    assert x.grad.isfinite().all()


def test_has_no_parameters_and_no_buffers():
    assert SimAM(64).state_dict() == {}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_is_only_rounded(dtype):
    x = (30 * torch.randn(2, 4, 9, 8, generator=torch.Generator().manual_seed(0))).to(dtype)
    y = SimAM(4)(x)
    assert y.dtype == dtype
    assert torch.equal(y, SimAM(4)(x.double()).to(dtype))


@pytest.mark.parametrize("e_lambda", [0.0, -1e-4, math.nan])
def test_a_constant_that_divides_by_zero_is_refused(e_lambda):
    with pytest.raises(ValueError, match=r"e_lambda=.* must be above 0.*; try 1e-4"):
        SimAM(4, e_lambda=e_lambda)

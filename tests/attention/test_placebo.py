"""A plain convolution block, counted by hand."""

import pytest
import torch

from yolo26_attention.attention.placebo import Placebo, placebo_flops, placebo_parameters
from yolo26_attention.evaluation.flops import count_operators, count_parameters

SIZES = [
    pytest.param(8, 8, 5, 3, True, id="same-channels"),
    pytest.param(8, 12, 3, 7, False, id="other-channels"),
    pytest.param(4, 4, 1, 1, True, id="smallest"),
]


@pytest.mark.parametrize(("channels", "out_channels", "hidden", "kernel", "bias"), SIZES)
def test_formulas_are_what_the_module_has(channels, out_channels, hidden, kernel, bias):
    module = Placebo(channels, out_channels=out_channels, hidden=hidden, kernel=kernel, bias=bias)
    assert count_parameters(module) == placebo_parameters(channels, out_channels, hidden, kernel, bias)
    assert count_operators(module, channels, 6, 10).flops == placebo_flops(channels, out_channels, hidden, kernel, 60)
    assert module(torch.rand(2, channels, 5, 7)).shape == (2, out_channels, 5, 7)


def test_shortcut_adds_the_input():
    torch.manual_seed(0)
    with_it, without = Placebo(8, hidden=4), Placebo(8, hidden=4, shortcut=False)
    without.load_state_dict(with_it.state_dict())
    x = torch.rand(1, 8, 6, 6)
    torch.testing.assert_close(with_it(x), x + without(x))


def test_no_shortcut_where_channels_differ():
    assert not Placebo(8, hidden=4, out_channels=12).shortcut


def test_a_pixel_sees_its_neighbourhood_alone():
    module = Placebo(4, hidden=4, kernel=3)
    x = torch.rand(1, 4, 9, 9)
    moved = x.clone()
    moved[..., 4, 4] += 1
    changed = (module(moved) != module(x)).any(1)[0]
    assert changed[3:6, 3:6].any()
    changed[3:6, 3:6] = False
    assert not changed.any()

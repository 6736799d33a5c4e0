"""Ultralytics' own attention: its own classes where they run, any map size, and mistakes named before it stumbles."""

import pytest
import torch
from torch import nn
from ultralytics.nn.modules.block import AAttn, PSABlock

from yolo26_attention.detector.from_ultralytics import AreaAttention, psa


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def seeded(function, *arguments, **options):
    torch.manual_seed(0)
    return function(*arguments, **options).eval()


def area_pair(area, heads=2):
    """Ours and theirs with the same weights, in float64 and with the same batch norms."""
    ours = seeded(AreaAttention, 64, heads=heads, area=area).double()
    theirs = AAttn(64, heads, area).eval().double()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-3
    return ours, theirs


@pytest.mark.parametrize(
    ("area", "size"),
    [
        pytest.param(4, (20, 20), id="rows"),
        pytest.param(4, (10, 6), id="pixels-but-not-rows"),
        pytest.param(1, (13, 17), id="whole-map"),
        pytest.param(3, (5, 9), id="three"),
    ],
)
def test_area_is_that_of_ultralytics_where_it_divides(area, size):
    ours, theirs = area_pair(area)
    x = draw(2, 64, *size).double()
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize(
    ("area", "size", "missing"),
    [
        pytest.param(4, (13, 17), 3, id="odd"),
        pytest.param(4, (1, 1), 3, id="pixel"),
        pytest.param(3, (7, 4), 2, id="three"),
    ],
)
def test_area_repeats_the_last_row_where_it_does_not_divide(area, size, missing):
    ours, theirs = area_pair(area)
    x = draw(2, 64, *size).double()
    with pytest.raises(RuntimeError, match="invalid for input of size"):
        theirs(x)
    padded = nn.functional.pad(x, (0, 0, 0, missing), mode="replicate")
    assert torch.equal(ours(x), theirs(padded)[:, :, : size[0]])


def test_areas_do_not_see_each_other_beyond_the_position_convolution():
    module = seeded(AreaAttention, 64, area=2)
    module.pe = nn.Identity()
    x = draw(1, 64, 12, 5)
    changed = x.clone()
    changed[:, :, 6:] += 1
    before, after = module(x), module(changed)
    assert torch.equal(before[:, :, :6], after[:, :, :6])
    assert not torch.equal(before[:, :, 6:], after[:, :, 6:])


@pytest.mark.parametrize(("channels", "heads"), [(16, 1), (64, 2), (128, 4), (256, 8)])
def test_area_has_a_head_for_32_channels(channels, heads):
    assert AreaAttention(channels).num_heads == heads


def test_psa_is_that_of_ultralytics():
    ours = seeded(psa, 64)
    theirs = seeded(PSABlock, 64)
    x = draw(2, 64, 13, 17)
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-3
    assert type(ours) is PSABlock
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize("build", [pytest.param(AreaAttention, id="area"), pytest.param(psa, id="psa")])
def test_batch_norms_are_those_of_a_network_of_ultralytics(build):
    norms = [module for module in build(64).modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.03)}


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        pytest.param(
            AreaAttention, {"heads": 5}, "heads=5 does not divide the 64 channels; try 4 or 8", id="area-heads"
        ),
        pytest.param(AreaAttention, {"heads": 0}, "heads=0 does not divide the 64 channels; try 1", id="no-head"),
        pytest.param(AreaAttention, {"area": 0}, "area=0 must be at least 1; try 4", id="no-area"),
        pytest.param(psa, {"heads": 6}, "heads=6 does not divide the 64 channels; try 4 or 8", id="psa-heads"),
        pytest.param(
            psa, {"heads": 32, "attn_ratio": 0.4}, "attn_ratio=0.4 leaves none of a head's 2 .*; try 0.5", id="ratio"
        ),
        pytest.param(psa, {"heads": 64}, "attn_ratio=0.5 leaves none of a head's 1 .*; try 1.0", id="thin-head"),
        pytest.param(psa, {"attn_ratio": -1.0}, "attn_ratio=-1.0 leaves none", id="negative-ratio"),
    ],
)
def test_mistakes_are_named(build, options, message):
    with pytest.raises(ValueError, match=message):
        build(64, **options)


def test_channels_that_32_does_not_divide_are_named():
    with pytest.raises(ValueError, match="heads=2 does not divide the 75 channels; try 1 or 3"):
        AreaAttention(75)

"""Costs, counted by hand where that is possible."""

import copy

import pytest
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from ultralytics.nn.modules import Conv
from ultralytics.utils.torch_utils import fuse_conv_and_bn

from yolo26_attention.attention.acmix import ACmix
from yolo26_attention.attention.neighbourhood import NeighbourhoodAttention
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.evaluation.flops import count_flops_by_thop, count_operators, count_parameters
from yolo26_attention.latency.trained import fused


def test_parameters_by_hand():
    assert count_parameters(nn.Conv2d(3, 8, 3)) == 3 * 8 * 9 + 8


def test_flops_by_hand():
    assert count_operators(nn.Conv2d(3, 8, 3, padding=1), 3, 32, 16).flops == 2 * 3 * 8 * 9 * 32 * 16


def test_modules_own_statement_takes_the_place_of_what_the_counter_saw():
    attention = ACmix(8, heads=2, kernel_att=3)
    model = nn.Sequential(nn.Conv2d(3, 8, 1), attention)
    assert count_operators(model, 3, 16, 16).flops == 2 * 3 * 8 * 256 + attention.flops(16, 16)


def test_windowed_attention_counts_the_window_alone_however_it_is_computed():
    options = {"heads": 2, "kernel_att": 5}
    counts = {
        implementation: count_operators(
            NeighbourhoodAttention(8, implementation=implementation, **options), 8, 12, 10
        ).flops
        for implementation in ("tiled", "shifted")
    }
    assert set(counts.values()) == {2 * 120 * 8 * (3 * 8 + 8 + 2 * 25)}


def test_thop_counts_layers_and_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), ACmix(8, heads=2, kernel_att=3)).eval()
    convolution = nn.Conv2d(3, 8, 3, padding=1)
    assert count_flops_by_thop(convolution, 3, 32, 16) == 2 * 3 * 8 * 9 * 32 * 16
    names = set(model.state_dict())
    count_flops_by_thop(model, 3, 16, 16)
    assert set(model.state_dict()) == names


def test_thop_depends_on_the_implementation():
    """Which is why it only stands beside the exact figure."""
    counts = {}
    for implementation in ("tiled", "shifted"):
        model = NeighbourhoodAttention(8, heads=2, kernel_att=5, implementation=implementation).eval()
        counts[implementation] = count_flops_by_thop(model, 8, 12, 10)
    assert counts["shifted"] < count_operators(model, 8, 12, 10).flops < counts["tiled"]


def test_fused_block_by_hand():
    """A convolution with its batch norm inside is one convolution."""
    block = Conv(3, 8, 3, 2).eval()
    expected = 2 * 3 * 8 * 9 * 16 * 8
    assert count_operators(block, 3, 32, 16).flops == expected
    assert count_flops_by_thop(fuse_conv_and_bn(block.conv, block.bn), 3, 32, 16) == expected


def test_module_without_parameters():
    assert count_operators(nn.SiLU(), 3, 8, 8).flops == 0


def test_count_without_computing_is_the_same():
    modules = [ACmix(8, heads=2, kernel_att=3), nn.Conv2d(8, 4, 3)]
    computed = [count_operators(module, 8, 16, 12).flops for module in modules]
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert [count_operators(module, 8, 16, 12).flops for module in modules] == computed


def test_published_flops_of_stock_yolo26n():
    """Ultralytics publishes 5.4 GFLOPs for the fused model at 640 px (with 80 classes)."""
    assert count_operators(fused(build_stock("yolo26n", 80, 3).eval()), 3, 640, 640).flops == pytest.approx(
        5.48e9, abs=0.01e9
    )


def test_graft_adds_its_own_flops_and_parameters():
    stock = build_stock("yolo26n", classes=10, channels=3).eval()
    grafted = copy.deepcopy(stock)
    graft(grafted, Graft("yolo26_attention.attention.acmix.ACmix", {}, ("p4",)))
    attention = grafted.model[19].attention
    assert count_parameters(grafted) - count_parameters(stock) == count_parameters(attention)
    assert count_operators(grafted, 3, 64, 64).flops - count_operators(stock, 3, 64, 64).flops == attention.flops(4, 4)

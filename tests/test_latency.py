"""Costs: counted by hand where that is possible."""

import copy

import pytest
import torch
from torch import nn

from src.attention.acmix import ACmix
from src.detector.grafting import Graft, graft
from src.detector.stock import build_stock
from src.latency import compare_latency, count_gflops, count_parameters, fused_stock


class Sleeping(nn.Module):
    """A module whose cost on the clock is known to be so many times another's."""

    def __init__(self, rounds):
        super().__init__()
        self.rounds = rounds
        self.weight = nn.Parameter(torch.rand(256, 256))

    def forward(self, x):
        for _ in range(self.rounds):
            x = x @ self.weight
        return x


def test_parameters_by_hand():
    assert count_parameters(nn.Conv2d(3, 8, 3)) == 3 * 8 * 9 + 8


def test_flops_by_hand():
    assert count_gflops(nn.Conv2d(3, 8, 3, padding=1), 3, 32) == pytest.approx(2 * 3 * 8 * 9 * 32 * 32 / 1e9)


def test_modules_own_statement_takes_the_place_of_what_the_counter_saw():
    attention = ACmix(8, heads=2, kernel_att=3)
    model = nn.Sequential(nn.Conv2d(3, 8, 1), attention)
    assert count_gflops(model, 3, 16) * 1e9 == pytest.approx(2 * 3 * 8 * 256 + attention.flops(16, 16))


def test_published_flops_of_stock_yolo26n():
    """Ultralytics publishes 5.4 GFLOPs for the fused model at 640 px (with 80 classes)."""
    assert count_gflops(fused_stock("yolo26n", 80, 3, torch.device("cpu")), 3, 640) == pytest.approx(5.48, abs=0.01)


def test_graft_adds_its_own_flops_and_parameters():
    stock = build_stock("yolo26n", classes=10, channels=3).eval()
    grafted = copy.deepcopy(stock)
    graft(grafted, Graft("src.attention.acmix.ACmix", {}, ("p4",)))
    attention = grafted.model[19].attention
    assert count_parameters(grafted) - count_parameters(stock) == count_parameters(attention)
    assert (count_gflops(grafted, 3, 64) - count_gflops(stock, 3, 64)) * 1e9 == pytest.approx(attention.flops(4, 4))


def test_ratio_tells_which_is_slower():
    slow, fast = Sleeping(30), Sleeping(3)
    latency = compare_latency(slow, fast, torch.rand(8, 256), seconds=60, max_pairs=20)
    assert latency.pairs == 20
    assert latency.ratio_to_stock > 2
    assert latency.p95_ms >= latency.p50_ms > latency.stock_p50_ms


def test_budget_of_no_time_still_measures_one_pair():
    model = Sleeping(1)
    assert compare_latency(model, model, torch.rand(4, 256), seconds=0, max_pairs=10).pairs == 1

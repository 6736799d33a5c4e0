"""Latency against the stock model."""

import torch
from torch import nn

from src.latency import compare_latency


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


def test_ratio_tells_which_is_slower():
    slow, fast = Sleeping(30), Sleeping(3)
    latency = compare_latency(slow, fast, torch.rand(8, 256), seconds=60, max_pairs=20)
    assert latency.pairs == 20
    assert latency.ratio_to_stock > 2
    assert latency.p95_ms >= latency.p50_ms > latency.stock_p50_ms


def test_budget_of_no_time_still_measures_one_pair():
    model = Sleeping(1)
    assert compare_latency(model, model, torch.rand(4, 256), seconds=0, max_pairs=10).pairs == 1

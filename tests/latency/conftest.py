"""Networks small enough to be timed in a test."""

import copy

import numpy as np
import pytest

from yolo26_attention.config.schema import LatencyConfig
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock


@pytest.fixture(scope="session")
def stock():
    """YOLO26n of three classes."""
    return build_stock("yolo26n", classes=3, channels=3).eval()


@pytest.fixture(scope="session")
def grafted(stock):
    """The same with attention that takes time at p3."""
    model = copy.deepcopy(stock)
    graft(model, Graft("yolo26_attention.attention.acmix.ACmix", {"kernel_att": 3}, ("p3",)))
    return model.eval()


@pytest.fixture(scope="session")
def images():
    """Photographs they are not: three arrays as they come from disk, of unequal shapes."""
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, shape, dtype=np.uint8) for shape in ((64, 64, 3), (48, 80, 3), (100, 60, 3))]


@pytest.fixture
def options():
    """The latency group, for a fraction of a second."""
    return LatencyConfig(threads=1, seconds=0.2, max_pairs=10, width=0.01, throughput_batches=[2])

"""Latency of a model relative to the stock model of the same size."""

import statistics
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from ultralytics.nn.tasks import load_checkpoint

from src.detector.stock import build_stock

WARMUP_PAIRS = 5


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one forward pass, and the median over pairs of its ratio to the stock model's."""

    p50_ms: float
    p95_ms: float
    stock_p50_ms: float
    ratio_to_stock: float
    pairs: int


def fused_checkpoint(checkpoint: str, device: torch.device) -> nn.Module:
    """The network of a checkpoint as it is deployed: fused, evaluation mode, float32."""
    model, _ = load_checkpoint(checkpoint, device=device)
    fused: nn.Module = model.fuse(verbose=False)
    return fused


def fused_stock(name: str, classes: int, channels: int, device: torch.device) -> nn.Module:
    """The stock model of the same size, fused; its values do not matter for its cost."""
    fused: nn.Module = build_stock(name, classes, channels).eval().to(device).fuse(verbose=False)
    return fused


def compare_latency(model: nn.Module, stock: nn.Module, image: Tensor, *, seconds: float, max_pairs: int) -> Latency:
    """Time both models in turn on the same input until the time or the number of pairs is used up.

    Args:
        model: the model under test, in evaluation mode.
        stock: the model it is compared with, on the same device.
        image: (B, C, H, W) on that device.
        seconds: time budget; at least one pair is measured whatever it is.
        max_pairs: at most so many pairs.
    """
    with torch.inference_mode():
        for _ in range(WARMUP_PAIRS):
            model(image)
            stock(image)
        times: list[float] = []
        stock_times: list[float] = []
        end = time.perf_counter() + seconds
        while not times or (len(times) < max_pairs and time.perf_counter() < end):
            times.append(_milliseconds(model, image))
            stock_times.append(_milliseconds(stock, image))
    ratios = [a / b for a, b in zip(times, stock_times, strict=True)]
    return Latency(
        p50_ms=statistics.median(times),
        p95_ms=torch.tensor(times).quantile(0.95).item(),
        stock_p50_ms=statistics.median(stock_times),
        ratio_to_stock=statistics.median(ratios),
        pairs=len(times),
    )


def _milliseconds(model: nn.Module, image: Tensor) -> float:
    """One forward pass; a GPU is waited for before and after."""
    cuda = image.device.type == "cuda"
    if cuda:
        torch.cuda.synchronize(image.device)
    start = time.perf_counter()
    model(image)
    if cuda:
        torch.cuda.synchronize(image.device)
    return (time.perf_counter() - start) * 1e3

"""What a model costs: parameters, FLOPs, and latency relative to the stock model of the same size."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
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


def count_parameters(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_gflops(model: nn.Module, channels: int, imgsz: int) -> float:
    """FLOPs (two per multiply-add, in units of 1e9) of one image of imgsz x imgsz pixels, counted on the operators run.

    An attention module that does its sums where the counter cannot see them, or that computes masked products, states
    its exact count in a method `flops(height, width)`; that number takes the place of what the counter saw of it.
    """
    weight = next(model.parameters())
    image = torch.zeros(1, channels, imgsz, imgsz, device=weight.device, dtype=weight.dtype)
    exact: dict[str, int] = {}
    counter = FlopCounterMode(display=False)
    with _exact_counts(model, exact), torch.no_grad(), counter:
        model(image)
    total = counter.get_total_flops()
    seen = counter.get_flop_counts()
    root = type(model).__name__
    for name, flops in exact.items():
        total += flops - sum(seen.get(f"{root}.{name}", {}).values())
    return total / 1e9


@contextmanager
def _exact_counts(model: nn.Module, counts: dict[str, int]) -> Iterator[None]:
    """While open, a forward pass fills `counts` with the modules' own statements of their FLOPs."""

    def note(name: str):
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            batch, _, height, width = inputs[0].shape
            counts[name] = batch * module.flops(height, width)

        return hook

    handles = [
        module.register_forward_pre_hook(note(name))
        for name, module in model.named_modules()
        if hasattr(module, "flops")
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


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

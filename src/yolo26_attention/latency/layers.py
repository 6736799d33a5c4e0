"""What each layer of a deployed network costs, and the graft's share of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.schema import LatencyConfig
from yolo26_attention.counts import number_of
from yolo26_attention.detector.sites import layers_of
from yolo26_attention.evaluation.flops import count_operators_on, count_parameters
from yolo26_attention.latency.backends import cpu_threads
from yolo26_attention.latency.machine import Machine, Watched
from yolo26_attention.latency.memory import peak_allocations
from yolo26_attention.latency.precision import DTYPES, measured_precision, without_tf32
from yolo26_attention.latency.text import machine_warning

WARMUP_PASSES = 5
HEADER = ("layer", "module", "map", "parameters", "GFLOPs", "MB", "ms", "share")
NUMBERS = {0, 3, 4, 5, 6, 7}  # columns of the table


@dataclass(frozen=True)
class Cost:
    """Parameters, FLOPs of one image, bytes at the peak without weights and inputs, milliseconds (median)."""

    parameters: int
    flops: int
    memory: int
    ms: float

    def __sub__(self, other: Cost) -> Cost:
        return Cost(
            self.parameters - other.parameters,
            self.flops - other.flops,
            self.memory - other.memory,
            self.ms - other.ms,
        )


@dataclass(frozen=True)
class Layer:
    """A layer of the grafted network beside the same layer of the stock network.

    `shape` is (channels, height, width) of its output, None if the output is not one map; `graft` says what joins it.
    """

    index: int
    module: str
    shape: tuple[int, int, int] | None
    graft: str
    cost: Cost
    stock: Cost


@dataclass(frozen=True)
class LayerCosts:
    """All layers, and how they were measured."""

    layers: list[Layer]
    passes: int
    imgsz: int
    batch: int
    precision: str
    device: torch.device
    threads: int | None
    watched: Watched


def check_layer_options(options: LatencyConfig) -> None:
    """Refuse options of the `latency` group with which layers cannot be timed one by one.

    Raises:
        ConfigError: naming the key, the value and a way out.
    """
    if not options.enabled:
        raise ConfigError("latency.enabled=false with layers=true: layers are timed; leave out latency or layers")
    if options.backend.value != "eager":
        raise ConfigError(
            f"latency.backend={options.backend.value} with layers=true: only PyTorch runs one layer after the other; "
            "use latency.backend=eager"
        )


def layer_costs(
    stock: nn.Module,
    grafted: nn.Module,
    grafts: Mapping[int, str],
    options: LatencyConfig,
    *,
    channels: int,
    imgsz: int,
    device: torch.device,
) -> LayerCosts:
    """Measure every layer of two deployed networks, which are moved to the device and converted.

    Both networks run in turn, whole, so that a layer finds the caches as it does in use. The time of a layer is its
    median over all passes. The cost of the graft at a layer is the difference to the same layer of the stock network.

    Args:
        stock: the stock network, fused, in evaluation mode.
        grafted: likewise, with as many layers.
        grafts: what joins which layer, by index.
        options: the `latency` group: seconds, max_pairs, batch, precision, threads.
        channels: channels of an image.
        imgsz: side of the square image, in pixels.
        device: device to run on.

    Raises:
        ConfigError: as `check_layer_options`.
    """
    check_layer_options(options)
    precision = measured_precision(options.precision, device.type == "cuda").value
    both = [network.to(device, DTYPES[precision]).eval() for network in (stock, grafted)]
    x = torch.rand(options.batch, channels, imgsz, imgsz, generator=torch.Generator().manual_seed(0))
    x = x.to(device, DTYPES[precision])
    with cpu_threads(options.threads), without_tf32(), torch.no_grad():
        inputs, shapes = zip(*(_inputs(network, x) for network in both), strict=True)
        machine = Machine(device).start()
        times, passes = _times(both, x, device, options.seconds, options.max_pairs)
        watched = machine.stop()
        costs = [
            [
                Cost(count_parameters(layer), count_operators_on(layer, given).flops // options.batch, memory, ms)
                for layer, given, memory, ms in zip(
                    layers_of(network),
                    arguments,
                    peak_allocations(list(zip(layers_of(network), arguments, strict=True)), device),
                    measured,
                    strict=True,
                )
            ]
            for network, arguments, measured in zip(both, inputs, times, strict=True)
        ]
        threads = torch.get_num_threads() if device.type == "cpu" else None
    layers = [
        Layer(index, type(layer).__name__, shape, grafts.get(index, ""), own, before)
        for index, (layer, shape, own, before) in enumerate(
            zip(layers_of(stock), shapes[1], costs[1], costs[0], strict=True)
        )
    ]
    return LayerCosts(layers, passes, imgsz, options.batch, precision, device, threads, watched)


@contextmanager
def _hooked(network: nn.Module, before: Callable[..., Any], after: Callable[..., Any]) -> Iterator[None]:
    """Call functions before and after each layer of a network."""
    handles = []
    for layer in layers_of(network):
        handles += [layer.register_forward_pre_hook(before), layer.register_forward_hook(after)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _inputs(network: nn.Module, x: Tensor) -> tuple[list[Any], list[tuple[int, int, int] | None]]:
    """The input of every layer, and the shape of its output."""
    inputs: list[Any] = []
    shapes: list[tuple[int, int, int] | None] = []

    def after(_: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        inputs.append(given[0])
        is_map = isinstance(output, Tensor) and output.dim() == 4
        shapes.append((output.shape[1], output.shape[2], output.shape[3]) if is_map else None)

    with _hooked(network, lambda *_: None, after):
        network(x)
    return inputs, shapes


def _times(
    both: Sequence[nn.Module], x: Tensor, device: torch.device, seconds: float, max_pairs: int
) -> tuple[list[list[float]], int]:
    """Medians of the milliseconds of every layer of each network, and the number of passes of each."""
    starts: list[int] = []
    ends: list[int] = []

    def stamp(stamps: list[int]) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            stamps.append(time.perf_counter_ns())

        return hook

    passes: list[list[np.ndarray]] = [[] for _ in both]
    with _hooked(both[0], stamp(starts), stamp(ends)), _hooked(both[1], stamp(starts), stamp(ends)):
        for _ in range(WARMUP_PASSES):
            for network in both:
                network(x)
        begin = time.perf_counter()
        while not passes[0] or (len(passes[0]) < max_pairs and time.perf_counter() - begin < seconds):
            turn = len(passes[0]) % 2  # which network begins alternates
            for which in (turn, 1 - turn):
                starts.clear()
                ends.clear()
                both[which](x)
                passes[which].append((np.array(ends) - np.array(starts)) / 1e6)
    return [np.median(np.stack(series), axis=0).tolist() for series in passes], len(passes[0])


def layer_rows(costs: LayerCosts) -> list[tuple[str, ...]]:
    """A header, a row for each layer, one below it for its graft, the totals of both; `share` is that of the time."""
    layers = costs.layers
    whole = _total([layer.cost for layer in layers])
    grafts = _total([layer.cost - layer.stock for layer in layers if layer.graft])
    rows: list[tuple[str, ...]] = [HEADER]
    for layer in layers:
        shape = "x".join(map(str, layer.shape)) if layer.shape else ""
        rows.append((str(layer.index), layer.module, shape, *_cells(layer.cost, whole)))
        if layer.graft:
            rows.append(("", layer.graft, "", *_cells(layer.cost - layer.stock, whole, "+")))
    rows.append(("", "all layers", "", *_cells(whole, whole)))
    rows.append(("", "of which graft", "", *_cells(grafts, whole, "+")))
    return rows


def _total(costs: Sequence[Cost]) -> Cost:
    """Sum of costs; the memory is the largest one, because a layer frees its own before the next begins."""
    return Cost(
        sum(cost.parameters for cost in costs),
        sum(cost.flops for cost in costs),
        max((cost.memory for cost in costs), default=0),
        sum(cost.ms for cost in costs),
    )


def _cells(cost: Cost, whole: Cost, sign: str = "") -> tuple[str, ...]:
    return (
        f"{cost.parameters:{sign},}",
        f"{cost.flops / 1e9:{sign}.3f}",
        f"{cost.memory / 1e6:{sign}.2f}",
        f"{cost.ms:{sign}.2f}",
        f"{cost.ms / whole.ms:{sign}.1%}",
    )


def layer_note(costs: LayerCosts) -> str:
    """How the layers were measured, in one paragraph."""
    where = number_of(costs.threads, "CPU thread") if costs.threads else str(costs.device)
    warned = machine_warning(costs.watched.busy, costs.watched.throttled, costs.watched.use.others_cores)
    return (
        f"Deployed network at {costs.imgsz} px, batch {costs.batch}, {costs.precision}, {where}. MB: peak of PyTorch's "
        "allocator within the layer, without weights and inputs; the last two rows have the largest one. ms: median "
        f"of {costs.passes} passes, in turn with the stock network; share: of the sum of ms. A row with signs is the "
        "difference to the same layer of the stock network. GFLOPs are those of one image."
        + (f" {warned}." if warned else "")
    )

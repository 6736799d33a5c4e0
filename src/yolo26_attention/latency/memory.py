"""Peak memory of a forward pass, and relocation of networks in memory."""

import copy
import os
import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function
from ultralytics.nn.autobackend import AutoBackend

from yolo26_attention.latency.networks import CapturedGraphs

# Rounds between two moves: four moves per section of the shortest series that may stop, 600 rounds in 20 sections.
RELOCATE_ROUNDS = 7
CALL = "measured call"  # a range in the profile


def peak_memory(network: AutoBackend, x: Tensor, device: torch.device) -> int:
    """Measure the peak allocation of PyTorch's allocator during a forward pass, in bytes, including the weights.

    Memory that libraries such as oneDNN and cuDNN allocate themselves is not included.

    Args:
        network: a network that computes with PyTorch.
        x: (B, C, H, W).
        device: device of the network.
    """
    model = network.backend.model
    weights: int = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
    if isinstance(model, CapturedGraphs):
        model.graphs.clear()  # recording allocates memory
    else:
        network(x)
    return weights + peak_allocations([(network, x)], device)[0]


def peak_allocations(calls: Sequence[tuple[Callable[[Any], Any], Any]], device: torch.device) -> list[int]:
    """Measure how many bytes PyTorch's allocator holds at the peak of each call beyond those held before it.

    Args:
        calls: functions, each with its argument, run one after the other.
        device: device on which they allocate.
    """
    if device.type == "cuda":
        return [_peak_cuda(call, x, device) for call, x in calls]
    return _peaks_cpu(calls)


def _peak_cuda(call: Callable[[Any], Any], x: Any, device: torch.device) -> int:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call(x)
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _peaks_cpu(calls: Sequence[tuple[Callable[[Any], Any], Any]]) -> list[int]:
    os.environ["KINETO_LOG_LEVEL"] = "99"  # at Ultralytics' 5 the profiler's library still logs every start and stop
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        for call, x in calls:
            with record_function(CALL):
                call(x)
    events = sorted(seen.profiler.kineto_results.events(), key=lambda event: event.start_ns())
    starts = [event.start_ns() for event in events if event.name() == CALL]
    held, highest = [0] * len(calls), [0] * len(calls)
    for change in (event for event in events if event.name() == "[memory]"):
        index = bisect_right(starts, change.start_ns()) - 1
        held[index] += change.nbytes()
        highest[index] = max(highest[index], held[index])
    return highest


class Relocation:
    """Replaces all networks by copies at other addresses after every few rounds; call it after each round.

    Within one process, two equal networks differ by half a percent, only because of their memory layout and the order
    in which they were built. Relocation turns this bias into noise, which the interval covers: Curtsinger and Berger,
    Stabilizer, ASPLOS 2013. The network that is copied first, and runs first afterwards, is drawn for one move and
    swapped for the next, so that the order is balanced within every section of the interval.

    Args:
        networks: networks that compute with PyTorch, eagerly.
        calls: for each network, a function that runs it once, because a new copy is slow at first.
        seed: seed of the order.
    """

    def __init__(self, networks: Sequence[AutoBackend], calls: Sequence[Callable[[], Any]], seed: int = 0):
        self._all = list(zip(networks, calls, strict=True))
        self._draw = random.Random(seed)
        self._rounds = 0

    def __call__(self) -> None:
        self._rounds += 1
        if self._rounds % RELOCATE_ROUNDS:
            return
        if self._rounds // RELOCATE_ROUNDS % 2:
            self._draw.shuffle(self._all)
        else:
            self._all.reverse()
        with torch.inference_mode(False):
            for network, _ in self._all:
                network.backend.model = copy.deepcopy(network.backend.model)
        for _, call in self._all:
            call()

"""What one forward pass has in memory, and where it lies there."""

import copy
import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from ultralytics.nn.autobackend import AutoBackend

from yolo26_attention.latency.networks import CapturedGraphs

# Pairs between two moves: four in a section of the shortest series that may stop, 600 pairs in 20 sections.
RELOCATE_PAIRS = 7


def peak_memory(network: AutoBackend, x: Tensor, device: torch.device) -> int:
    """Bytes that PyTorch's allocator has handed out at most during a forward pass, the weights included.

    What a library allocates by itself, such as workspaces of oneDNN and cuDNN's own, is not seen.

    Args:
        network: one that computes with PyTorch.
        x: (B, C, H, W).
        device: it is on.
    """
    model = network.backend.model
    weights: int = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
    if isinstance(model, CapturedGraphs):
        model.graphs.clear()  # it allocates when it records
    else:
        network(x)
    return weights + (_peak_cuda(network, x, device) if device.type == "cuda" else _peak_cpu(network, x))


def _peak_cuda(network: AutoBackend, x: Tensor, device: torch.device) -> int:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    network(x)
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _peak_cpu(network: AutoBackend, x: Tensor) -> int:
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or the profiler's library prints lines of its own
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        network(x)
    changes = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = highest = 0
    for change in sorted(changes, key=lambda event: event.start_ns()):
        held += change.nbytes()
        highest = max(highest, held)
    return highest


class Relocation:
    """Puts copies of two networks, at other addresses, in their place after every few pairs; called after each pair.

    Two equal networks differ by half a percent for as long as a process lives, only because of what was built first and
    where it lies. Moved now and then, that becomes noise, which the interval knows of: Curtsinger and Berger,
    Stabilizer, ASPLOS 2013. Which is copied first, and runs first afterwards, is drawn for one move and turned round
    for the next, so that it evens out within every section of the interval.

    Args:
        networks: that compute with PyTorch, eagerly.
        calls: one for each, which runs it once; a fresh copy is slow at first.
        seed: of the order.
    """

    def __init__(self, networks: Sequence[AutoBackend], calls: Sequence[Callable[[], Any]], seed: int = 0):
        self._both = list(zip(networks, calls, strict=True))
        self._draw = random.Random(seed)
        self._pairs = 0

    def __call__(self) -> None:
        self._pairs += 1
        if self._pairs % RELOCATE_PAIRS:
            return
        if self._pairs // RELOCATE_PAIRS % 2:
            self._draw.shuffle(self._both)
        else:
            self._both.reverse()
        with torch.inference_mode(False):
            for network, _ in self._both:
                network.backend.model = copy.deepcopy(network.backend.model)
        for _, call in self._both:
            call()

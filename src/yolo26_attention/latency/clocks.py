"""Time one call, by CUDA events on the stream or by a monotonic clock."""

import time
from collections.abc import Callable
from typing import Any

import torch

Call = Callable[[Any], Any]
Clock = Callable[[Call, Any], float]


def wall_clock(device: torch.device) -> Clock:
    """A clock of milliseconds from the call to its result; it synchronizes a GPU before and after."""

    def measure(call: Call, argument: Any) -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter_ns()
        call(argument)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return (time.perf_counter_ns() - start) / 1e6

    return measure


def event_clock(device: torch.device) -> Clock:
    """A clock of milliseconds between two events on the current stream, which times only work on that stream."""

    def measure(call: Call, argument: Any) -> float:
        with torch.cuda.device(device):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            start.record()
            call(argument)
            end.record()
            end.synchronize()
        milliseconds: float = start.elapsed_time(end)
        return milliseconds

    return measure

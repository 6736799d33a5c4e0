"""Time work on a GPU without the host: many calls, captured once in a CUDA graph, over inputs larger than the cache."""

import statistics
import time
from collections.abc import Callable, Sequence

import torch

Call = Callable[[], object]
# Bytes that a rotation of inputs should have: several times the L2 cache of today's cards.
ROTATED = 256 * 2**20
REPLAYS = 5


def copies_for(bytes_of_a_call: int, cuda: bool) -> int:
    """How many sets of inputs a rotation needs so that none stays in the cache."""
    return max(2, min(-(-ROTATED // bytes_of_a_call), 16)) if cuda else 1


def seconds_of(calls: Sequence[Call], rounds: int = 20) -> float:
    """Median seconds of one call.

    Args:
        calls: the same work on different inputs, each warmed up here before it is captured.
        rounds: calls in the graph, at least; without a GPU, each call is timed once by the clock.
    """
    if not torch.cuda.is_available():
        begun = time.perf_counter()
        for call in calls:
            call()
        return (time.perf_counter() - begun) / len(calls)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for call in calls:
            call()
    torch.cuda.current_stream().wait_stream(stream)
    turns = -(-rounds // len(calls))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(turns):
            for call in calls:
                call()
    times = []
    for number in range(REPLAYS + 1):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        if number:
            times.append(start.elapsed_time(end) / 1000 / turns / len(calls))
    return statistics.median(times)


def bandwidth() -> float:
    """Bytes per second that a copy reads and writes."""
    size = 2**28 if torch.cuda.is_available() else 2**22
    device = "cuda" if torch.cuda.is_available() else "cpu"
    source = torch.empty(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / seconds_of([lambda: target.copy_(source)])

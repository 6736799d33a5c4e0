"""Images per second and energy per image, at one batch size."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from yolo26_attention.files.latency import NoThroughput, Throughput
from yolo26_attention.latency.backends import Deployed
from yolo26_attention.latency.clocks import Clock, wall_clock
from yolo26_attention.latency.end_to_end import EndToEnd, batches
from yolo26_attention.latency.machine import Machine
from yolo26_attention.latency.protocol import compare

THROUGHPUT_SHARE = 0.1  # of the time budget, for each batch size
ENERGY_SECONDS = 2.0


def measure_throughput(
    both: Sequence[Deployed],
    ends: Sequence[EndToEnd],
    images: Sequence[np.ndarray],
    size: int,
    seconds: float,
    device: torch.device,
    machine: Machine,
) -> Throughput | NoThroughput:
    """Images per second of both networks at a batch size, timed in turn; joules per image if the GPU provides it."""
    clock = wall_clock(device)
    try:
        (batch,) = [ends[0].prepare(images) for images in batches(images, size)[:1]]
        for deployed in both:
            deployed.network(batch)
        rounds = compare(
            both[0].network,
            both[1].network,
            [batch],
            clock,
            seconds=seconds * THROUGHPUT_SHARE,
            max_pairs=10_000,
            width=0.0,
        )
        result = Throughput(
            images_per_second=size * 1000 / float(np.median(rounds.times)),
            stock_images_per_second=size * 1000 / float(np.median(rounds.stock_times)),
            ratio_to_stock=1 / rounds.ratio,
            pairs=len(rounds.times),
        )
        own, stock = (_joules(deployed, batch, clock, machine) for deployed in both)
    except torch.OutOfMemoryError:
        return NoThroughput(f"out of memory at batch {size}")
    if own is None or stock is None:
        return result
    return replace(result, joules_per_image=own, stock_joules_per_image=stock)


def _joules(deployed: Deployed, batch: Tensor, clock: Clock, machine: Machine) -> float | None:
    """Energy of the whole GPU for one image, including idle power, in joules; None if unavailable."""
    gpu = machine.gpu
    if gpu is None or (before := gpu.joules()) is None:
        return None
    milliseconds, calls = 0.0, 0
    while milliseconds < ENERGY_SECONDS * 1000:
        milliseconds += clock(deployed.network, batch)
        calls += 1
    after = gpu.joules()
    return None if after is None else (after - before) / calls / len(batch)

"""Images per second and energy per image, at one batch size."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from yolo26_attention.files.latency import NoThroughput, Throughput
from yolo26_attention.latency.backends import Deployed
from yolo26_attention.latency.clocks import Clock, wall_clock
from yolo26_attention.latency.end_to_end import batches
from yolo26_attention.latency.machine import Machine
from yolo26_attention.latency.protocol import time_in_turn
from yolo26_attention.latency.ready import Ready

THROUGHPUT_SHARE = 0.1  # of the time budget, for each batch size
ENERGY_SECONDS = 2.0


def measure_throughput(
    networks: Sequence[Ready],
    pairs: Sequence[tuple[int, int]],
    size: int,
    seconds: float,
    device: torch.device,
    machine: Machine,
) -> list[Throughput | NoThroughput]:
    """Images per second at a batch size, timed in turn; joules per image if the GPU provides it.

    Args:
        networks: deployed.
        pairs: positions of a network and its stock network, for each of the results.
        size: of the batch.
        seconds: time budget.
        device: device of the networks.
        machine: started.
    """
    clock = wall_clock(device)
    try:
        prepared = [ready.end.prepare(batches(ready.images, size)[0]) for ready in networks]
        for ready, batch in zip(networks, prepared, strict=True):
            ready.deployed.network(batch)
        calls = [
            lambda _, network=ready.deployed.network, batch=batch: network(batch)
            for ready, batch in zip(networks, prepared, strict=True)
        ]
        rounds = time_in_turn(
            calls,
            [0],
            clock,
            seconds=seconds * THROUGHPUT_SHARE,
            max_pairs=10_000,
            width=0.0,
            pairs=pairs,
            between=machine.sample,
        )
        used = [_joules(ready.deployed, batch, clock, machine) for ready, batch in zip(networks, prepared, strict=True)]
    except torch.OutOfMemoryError:
        return [NoThroughput(f"out of memory at batch {size}") for _ in pairs]
    found: list[Throughput | NoThroughput] = []
    for network, stock in pairs:
        compared, own, others = rounds.compare(network, stock), used[network], used[stock]
        known = own is not None and others is not None
        found.append(
            Throughput(
                images_per_second=size * 1000 / float(np.median(compared.times)),
                stock_images_per_second=size * 1000 / float(np.median(compared.stock_times)),
                ratio_to_stock=1 / compared.ratio,
                pairs=len(compared.times),
                joules_per_image=own if known else None,
                stock_joules_per_image=others if known else None,
            )
        )
    return found


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

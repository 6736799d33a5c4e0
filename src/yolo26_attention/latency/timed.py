"""Deployed networks timed in turn, while the machine is watched."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from yolo26_attention.config.schema import LatencyConfig
from yolo26_attention.latency.backends import EXPORTED
from yolo26_attention.latency.calm import Calm
from yolo26_attention.latency.clocks import Call, Clock, event_clock, wall_clock
from yolo26_attention.latency.machine import Machine, Watched
from yolo26_attention.latency.memory import Relocation
from yolo26_attention.latency.progress import counted_rounds
from yolo26_attention.latency.protocol import Rounds, time_in_turn
from yolo26_attention.latency.ready import Ready


@dataclass(frozen=True)
class Timed:
    """The networks alone and from image to boxes, and what was seen of the machine."""

    alone: Rounds
    whole: Rounds
    seen: Watched


def budget(options: LatencyConfig, networks: Sequence[Ready]) -> float:
    """Seconds for this number of networks."""
    return options.seconds * len(networks) / 2


def on_stream(backend: str, device: torch.device) -> bool:
    """Whether a backend queues its work on PyTorch's stream, so that CUDA events can time it."""
    return device.type == "cuda" and backend not in EXPORTED


def time_networks(
    networks: Sequence[Ready],
    pairs: Sequence[tuple[int, int]],
    options: LatencyConfig,
    device: torch.device,
    machine: Machine,
) -> Timed:
    """Time the networks alone on prepared images, then from images to boxes.

    Args:
        networks: deployed.
        pairs: positions of a network and its reference, for each ratio whose interval must be narrow.
        options: the `latency` group.
        device: device of the networks.
        machine: started; it is stopped.
    """
    first = [partial(ready.whole, 0) for ready in networks]
    relocation = Relocation([ready.deployed.network for ready in networks], first)
    moves = options.backend == "eager" and device.type == "cpu"
    calm = Calm(machine, options.patience or 0.0, first)

    def timed(what: str, calls: Sequence[Call], clock: Clock) -> Rounds:
        with counted_rounds(what, options.max_pairs, budget(options, networks)) as step:

            def between() -> None:
                calm()
                if moves:
                    relocation()
                step()

            return time_in_turn(
                calls,
                range(max(len(ready.groups) for ready in networks)),
                clock,
                seconds=budget(options, networks),
                max_pairs=options.max_pairs,
                width=options.width,
                pairs=pairs,
                between=between,
                now=calm.now,
            )

    backend = options.backend.value
    clock = event_clock(device) if on_stream(options.backend, device) else wall_clock(device)
    alone = timed(backend, [ready.alone for ready in networks], clock)
    whole = timed(f"{backend}, end to end", [ready.whole for ready in networks], wall_clock(device))
    seen = machine.stop()
    return Timed(alone, whole, replace(seen, use=replace(seen.use, waited_seconds=round(calm.waited, 1))))

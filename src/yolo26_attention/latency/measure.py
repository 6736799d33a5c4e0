"""The complete measurement of one network against the stock network of its size."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from ultralytics.nn.autobackend import AutoBackend
from ultralytics.nn.tasks import BaseModel

from yolo26_attention.config.schema import LatencyConfig
from yolo26_attention.files.latency import Latency, PeakMemory
from yolo26_attention.latency.backends import EXPORTED, Deployed, cpu_threads, deploy
from yolo26_attention.latency.clocks import Call, Clock, event_clock, wall_clock
from yolo26_attention.latency.end_to_end import EndToEnd, batches
from yolo26_attention.latency.implementations import implementations
from yolo26_attention.latency.machine import Machine
from yolo26_attention.latency.memory import Relocation, peak_memory
from yolo26_attention.latency.parity import check_parity
from yolo26_attention.latency.precision import DTYPES, measured_precision, without_tf32
from yolo26_attention.latency.progress import counted_pairs
from yolo26_attention.latency.protocol import Comparison, compare
from yolo26_attention.latency.throughput import measure_throughput


@dataclass(frozen=True)
class Measurement:
    """What the record keeps, and all measured times in milliseconds."""

    latency: Latency
    samples: dict[str, np.ndarray]


def measure(
    model: BaseModel,
    stock: BaseModel,
    options: LatencyConfig,
    *,
    images: Sequence[np.ndarray],
    imgsz: int,
    device: torch.device,
    validate: Callable[[AutoBackend], float] | None = None,
) -> Measurement:
    """Deploy both networks alike and time them in turn: the networks alone, and from image to boxes.

    Args:
        model: unfused, in evaluation mode; it is not changed.
        stock: likewise.
        options: the `latency` group, already checked.
        images: real images as read from disk, (H, W, C) in BGR, 8 bits.
        imgsz: side of the square into which images are fitted, in pixels.
        device: device to run on.
        validate: returns mAP50-95 of a deployed network; None if the model is not trained.

    Raises:
        ParityError: if an exported network does not match PyTorch; nothing is timed then.
    """
    precision = measured_precision(options.precision, device.type == "cuda").value
    backend, batch = options.backend.value, options.batch
    largest = max([batch, *options.throughput_batches])
    with (
        tempfile.TemporaryDirectory() as folder,
        cpu_threads(options.threads),
        without_tf32(),
        torch.inference_mode(),
    ):
        with torch.inference_mode(False):
            both = [
                deploy(
                    copy.deepcopy(network).to(device),
                    backend,
                    precision,
                    device,
                    imgsz=imgsz,
                    batch=largest,
                    folder=Path(folder) / name,
                )
                for name, network in (("model", model), ("stock", stock))
            ]
        ends = [EndToEnd(deployed.network, imgsz, device) for deployed in both]
        parity = check_parity(
            both[0], model, backend, precision, [ends[0].prepare([image]) for image in images], validate
        )
        check_parity(both[1], stock, backend, precision, [ends[1].prepare([image]) for image in images], None)
        machine = Machine(device).start()
        alone, whole = _compare(both, ends, batches(images, batch), options, device, machine)
        seen = machine.stop()
        latency = Latency(
            **vars(alone.summary()),
            backend=backend,
            precision=precision,
            tf32=False if device.type == "cuda" else None,
            implementations=_implementations(model, backend, precision, ends[0].prepare(images[:1])),
            batch=batch,
            imgsz=imgsz,
            threads=torch.get_num_threads() if device.type == "cpu" else None,
            clock="CUDA events" if _on_stream(backend, device) else "monotonic",
            images=len(images),
            end_to_end=whole.summary(),
            throughput={
                str(size): measure_throughput(both, ends, images, size, options.seconds, device, machine)
                for size in options.throughput_batches
            },
            memory=_memory(both, ends, images, batch, backend, device),
            parity=parity,
            busy=seen.busy,
            throttled=seen.throttled,
            machine=seen.use,
        )
    samples = {
        "model_ms": alone.times,
        "stock_ms": alone.stock_times,
        "end_to_end_model_ms": whole.times,
        "end_to_end_stock_ms": whole.stock_times,
    }
    return Measurement(latency, samples)


def _on_stream(backend: str, device: torch.device) -> bool:
    """Whether a backend queues its work on PyTorch's stream, so that CUDA events can time it."""
    return device.type == "cuda" and backend not in EXPORTED


def _compare(
    both: Sequence[Deployed],
    ends: Sequence[EndToEnd],
    groups: Sequence[list[np.ndarray]],
    options: LatencyConfig,
    device: torch.device,
    machine: Machine,
) -> tuple[Comparison, Comparison]:
    """Compare the networks alone on prepared images, then from images to boxes."""
    alone = [deployed.network for deployed in both]
    relocation = Relocation(alone, [partial(end, groups[0]) for end in ends])
    moves = options.backend == "eager" and device.type == "cpu"

    def timed(what: str, model: Call, stock: Call, inputs: Sequence[Any], clock: Clock) -> Comparison:
        with counted_pairs(what, options.max_pairs, options.seconds) as step:

            def between() -> None:
                machine.sample()
                if moves:
                    relocation()
                step()

            return compare(
                model,
                stock,
                inputs,
                clock,
                seconds=options.seconds,
                max_pairs=options.max_pairs,
                width=options.width,
                between=between,
            )

    backend = options.backend.value
    clock = event_clock(device) if _on_stream(backend, device) else wall_clock(device)
    prepared = [ends[0].prepare(group) for group in groups]
    return (
        timed(backend, alone[0], alone[1], prepared, clock),
        timed(f"{backend}, end to end", ends[0], ends[1], groups, wall_clock(device)),
    )


def _implementations(model: BaseModel, backend: str, precision: str, images: Tensor) -> dict[str, list[str]] | None:
    """Implementations of windowed attention by site; None for an exported graph, which has one of its own."""
    if backend in EXPORTED:
        return None
    dtype = DTYPES[precision]
    with torch.inference_mode(False):
        network = copy.deepcopy(model).to(images.device, dtype)
    return implementations(network, images.to(dtype))


def _memory(
    both: Sequence[Deployed],
    ends: Sequence[EndToEnd],
    images: Sequence[np.ndarray],
    batch: int,
    backend: str,
    device: torch.device,
) -> PeakMemory | None:
    """Peak memory of one forward pass in MB, including weights; None if the runtime does not provide it."""
    if backend in EXPORTED:
        return None
    prepared = ends[0].prepare(batches(images, batch)[0])
    used, stock_used = (peak_memory(deployed.network, prepared, device) / 1e6 for deployed in both)
    return PeakMemory(
        peak_mb=used,
        stock_peak_mb=stock_used,
        ratio_to_stock=used / stock_used,
        counted="PyTorch's allocator on the GPU" if device.type == "cuda" else "PyTorch's allocator on the CPU",
    )

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
from ultralytics.models.yolo.detect import DetectionPredictor
from ultralytics.nn.autobackend import AutoBackend
from ultralytics.nn.tasks import BaseModel

from yolo26_attention.config.schema import LatencyConfig
from yolo26_attention.data.splits import read_image, split_images
from yolo26_attention.latency.backends import EXPORTED, Deployed, cpu_threads, deploy
from yolo26_attention.latency.clocks import Clock, event_clock, wall_clock
from yolo26_attention.latency.machine import Machine
from yolo26_attention.latency.memory import Relocation, peak_memory
from yolo26_attention.latency.parity import check_parity
from yolo26_attention.latency.protocol import Comparison, compare

IMAGES = 32
THROUGHPUT_SHARE = 0.1  # of the time budget, for each batch size
ENERGY_SECONDS = 2.0


@dataclass(frozen=True)
class Measurement:
    """Plain values for the record, and all measured times in milliseconds."""

    record: dict[str, Any]
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
    backend, precision, batch = options.backend.value, options.precision.value, options.batch
    largest = max([batch, *options.throughput_batches])
    with tempfile.TemporaryDirectory() as folder, cpu_threads(options.threads), torch.inference_mode():
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
        alone, whole = _compare(both, ends, _batches(images, batch), options, device, machine)
        seen = machine.stop()
        record = {
            "backend": backend,
            "precision": precision,
            "batch": batch,
            "imgsz": imgsz,
            "threads": torch.get_num_threads() if device.type == "cpu" else None,
            "clock": "CUDA events" if _on_stream(backend, device) else "monotonic",
            "images": len(images),
            **alone.summary(),
            "end_to_end": whole.summary(),
            "throughput": {
                str(size): _throughput(both, ends, images, size, options.seconds, device, machine)
                for size in options.throughput_batches
            },
            "memory": _memory(both, ends, images, batch, backend, device),
            "parity": parity,
            "busy": seen.pop("busy"),
            "throttled": seen.pop("throttled"),
            "machine": seen,
        }
    samples = {
        "model_ms": alone.times,
        "stock_ms": alone.stock_times,
        "end_to_end_model_ms": whole.times,
        "end_to_end_stock_ms": whole.stock_times,
    }
    return Measurement(record, samples)


def validation_images(yaml: Path, channels: int, count: int = IMAGES) -> list[np.ndarray]:
    """The first images of a data set's validation split, (H, W, C) in BGR, found and read as the training does.

    Raises:
        FileNotFoundError: if they do not exist.
    """
    return [read_image(path, channels) for path in split_images(yaml, "val")[:count]]


class EndToEnd:
    """Processes a list of images to boxes with the functions of Ultralytics' predictor.

    Images are fitted into the full square, so that each costs the network the same.

    Args:
        network: deployed network.
        imgsz: side of the square, in pixels.
        device: device of the network.
    """

    def __init__(self, network: AutoBackend, imgsz: int, device: torch.device):
        predictor: Any = DetectionPredictor(overrides={"imgsz": imgsz, "rect": False, "verbose": False})
        predictor.model, predictor.device = network, device
        predictor.imgsz = [imgsz, imgsz]
        self.predictor = predictor

    def prepare(self, images: Sequence[np.ndarray]) -> Tensor:
        """Letterbox, move to the device and scale to [0, 1]: (B, C, H, W)."""
        prepared: Tensor = self.predictor.preprocess(list(images))
        return prepared

    def __call__(self, images: Sequence[np.ndarray]) -> Any:
        prepared = self.prepare(images)
        self.predictor.batch = [""] * len(images), images, [""] * len(images)
        return self.predictor.postprocess(self.predictor.model(prepared), prepared, list(images))


def _batches(images: Sequence[np.ndarray], size: int) -> list[list[np.ndarray]]:
    """Batches that cycle through the images: as many as there are full ones, and at least one."""
    count = max(len(images) // size, 1)
    return [[images[(start * size + i) % len(images)] for i in range(size)] for start in range(count)]


def _on_stream(backend: str, device: torch.device) -> bool:
    """Whether a backend queues its work on PyTorch's stream, so that CUDA events can time it."""
    return device.type == "cuda" and backend not in EXPORTED


def _compare(
    both: Sequence[Deployed],
    ends: Sequence[EndToEnd],
    batches: Sequence[list[np.ndarray]],
    options: LatencyConfig,
    device: torch.device,
    machine: Machine,
) -> tuple[Comparison, Comparison]:
    """Compare the networks alone on prepared images, then from images to boxes."""
    alone = [deployed.network for deployed in both]
    relocation = Relocation(alone, [partial(end, batches[0]) for end in ends])
    moves = options.backend == "eager" and device.type == "cpu"

    def between() -> None:
        machine.sample()
        if moves:
            relocation()

    timed = partial(
        compare,
        seconds=options.seconds,
        max_pairs=options.max_pairs,
        width=options.width,
        between=between,
    )
    clock = event_clock(device) if _on_stream(options.backend, device) else wall_clock(device)
    prepared = [ends[0].prepare(batch) for batch in batches]
    return (
        timed(alone[0], alone[1], prepared, clock),
        timed(ends[0], ends[1], batches, wall_clock(device)),
    )


def _throughput(
    both: Sequence[Deployed],
    ends: Sequence[EndToEnd],
    images: Sequence[np.ndarray],
    size: int,
    seconds: float,
    device: torch.device,
    machine: Machine,
) -> dict[str, Any]:
    """Images per second of both networks at a batch size, timed in turn; joules per image if the GPU provides it."""
    clock = wall_clock(device)
    try:
        (batch,) = [ends[0].prepare(images) for images in _batches(images, size)[:1]]
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
        result = {
            "images_per_second": size * 1000 / float(np.median(rounds.times)),
            "stock_images_per_second": size * 1000 / float(np.median(rounds.stock_times)),
            "ratio_to_stock": 1 / rounds.ratio,
            "pairs": len(rounds.times),
        }
        joules = [_joules(deployed, batch, clock, machine) for deployed in both]
    except torch.OutOfMemoryError:
        return {"error": f"out of memory at batch {size}"}
    if joules[0] is not None and joules[1] is not None:
        result |= {"joules_per_image": joules[0], "stock_joules_per_image": joules[1]}
    return result


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


def _memory(
    both: Sequence[Deployed],
    ends: Sequence[EndToEnd],
    images: Sequence[np.ndarray],
    batch: int,
    backend: str,
    device: torch.device,
) -> dict[str, Any] | None:
    """Peak memory of one forward pass in MB, including weights; None if the runtime does not provide it."""
    if backend in EXPORTED:
        return None
    prepared = ends[0].prepare(_batches(images, batch)[0])
    used, stock_used = (peak_memory(deployed.network, prepared, device) / 1e6 for deployed in both)
    return {
        "peak_mb": used,
        "stock_peak_mb": stock_used,
        "ratio_to_stock": used / stock_used,
        "counted": "PyTorch's allocator on the GPU" if device.type == "cuda" else "PyTorch's allocator on the CPU",
    }

"""The complete measurement of networks against the stock networks of their sizes."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from ultralytics.nn.autobackend import AutoBackend
from ultralytics.nn.tasks import BaseModel

from yolo26_attention.config.schema import LatencyConfig
from yolo26_attention.files.latency import Latency, NoThroughput, PeakMemory, Ratio, Throughput
from yolo26_attention.latency.backends import EXPORTED, cpu_threads, deploy
from yolo26_attention.latency.end_to_end import EndToEnd
from yolo26_attention.latency.implementations import implementations
from yolo26_attention.latency.machine import Machine, worse
from yolo26_attention.latency.memory import peak_memory
from yolo26_attention.latency.parity import check_parity
from yolo26_attention.latency.precision import DTYPES, measured_precision, without_tf32
from yolo26_attention.latency.ready import Ready
from yolo26_attention.latency.throughput import measure_throughput
from yolo26_attention.latency.timed import Timed, budget, on_stream, time_networks


@dataclass(frozen=True, eq=False)
class Subject:
    """A network to be measured, and with what.

    Attributes:
        model: unfused, in evaluation mode; it is not changed.
        stock: likewise; subjects that share it, the images and the size are timed with one of it.
        images: real images as read from disk, (H, W, C) in BGR, 8 bits.
        imgsz: side of the square into which images are fitted, in pixels.
        validate: returns mAP50-95 of a deployed network; None if the model is not trained.
        baseline: position of the subject that is its baseline; None if it has none.
    """

    model: BaseModel
    stock: BaseModel
    images: Sequence[np.ndarray]
    imgsz: int
    validate: Callable[[AutoBackend], float] | None = None
    baseline: int | None = None

    @property
    def key(self) -> tuple[int, int, int]:
        """What subjects with the same stock network have in common."""
        return id(self.stock), id(self.images), self.imgsz


@dataclass(frozen=True)
class Measurement:
    """What the record keeps, the ratio to the baseline, and all measured times in milliseconds.

    `to_baseline` is None without a baseline, or if that could not be measured.
    """

    latency: Latency
    samples: dict[str, np.ndarray]
    to_baseline: Ratio | None = None


Failed = Exception | SystemExit


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
    """Deploy a network and its stock network alike and time them in turn; arguments as for `Subject`.

    Raises:
        ParityError: if an exported network does not match PyTorch; nothing is timed then.
    """
    (found,) = measure_together([Subject(model, stock, images, imgsz, validate)], options, device=device)
    if not isinstance(found, Measurement):
        raise found
    return found


def measure_together(
    subjects: Sequence[Subject], options: LatencyConfig, *, device: torch.device
) -> list[Measurement | Failed]:
    """Deploy networks and their stock networks alike and time all in turn: alone, and from image to boxes.

    The time budget of `options` is that of two networks; more take proportionally longer. It is not used up if all
    ratios, to the stock network and to the baseline, are narrow before.

    Args:
        subjects: at least one.
        options: the `latency` group, already checked.
        device: device to run on.

    Returns:
        For each subject its measurement, or why it or its stock network could not be deployed or is not timed: a
        `ParityError` if an exported network does not match PyTorch.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        cpu_threads(options.threads),
        without_tf32(),
        torch.inference_mode(),
    ):
        stage = _Stage(options, device, Path(folder))
        placed = [stage.add(subject) for subject in subjects]
        able = [
            (subject, place) for subject, place in zip(subjects, placed, strict=True) if not isinstance(place, Failed)
        ]
        others = [None if subject.baseline is None else placed[subject.baseline] for subject, _ in able]
        baselines = [place[0] if isinstance(place, tuple) else None for place in others]
        measured = iter(stage.measure([s for s, _ in able], [p for _, p in able], baselines) if able else [])
        return [place if isinstance(place, Failed) else next(measured) for place in placed]


class _Stage:
    """Deployed networks that are measured in turn."""

    def __init__(self, options: LatencyConfig, device: torch.device, folder: Path):
        self.options, self.device, self.folder = options, device, folder
        self.backend = options.backend.value
        self.precision = measured_precision(options.precision, device.type == "cuda").value
        self.networks: list[Ready] = []
        self._stocks: dict[tuple[int, int, int], int] = {}

    def add(self, subject: Subject) -> tuple[int, int] | Failed:
        """Deploy a subject and its stock network and check them.

        Returns:
            Their positions among the networks, or why one of them cannot be measured.
        """
        try:
            own = self._ready(subject)
            if subject.key not in self._stocks:
                reference = Subject(subject.stock, subject.stock, subject.images, subject.imgsz)
                self._stocks[subject.key] = self._append(self._ready(reference))
        except (Exception, SystemExit) as error:  # noqa: BLE001  an exporter may raise anything; the others are measured
            return error
        return self._append(own), self._stocks[subject.key]

    def _append(self, ready: Ready) -> int:
        self.networks.append(ready)
        return len(self.networks) - 1

    def _ready(self, subject: Subject) -> Ready:
        with torch.inference_mode(False):
            deployed = deploy(
                copy.deepcopy(subject.model).to(self.device),
                self.backend,
                self.precision,
                self.device,
                imgsz=subject.imgsz,
                batch=max([self.options.batch, *self.options.throughput_batches]),
                folder=Path(tempfile.mkdtemp(dir=self.folder)),
            )
        end = EndToEnd(deployed.network, subject.imgsz, self.device)
        images = [end.prepare([image]) for image in subject.images]
        parity = check_parity(deployed, subject.model, self.backend, self.precision, images, subject.validate)
        return Ready(deployed, end, subject.images, self.options.batch, parity)

    def measure(
        self, subjects: Sequence[Subject], pairs: Sequence[tuple[int, int]], baselines: Sequence[int | None]
    ) -> list[Measurement]:
        """Measure subjects.

        Args:
            subjects: those that could be deployed.
            pairs: positions of each and of its stock network.
            baselines: positions of their baselines; None without one.
        """
        compared = [(own, other) for (own, _), other in zip(pairs, baselines, strict=True) if other is not None]
        ratios = [*pairs, *(pair for pair in compared if pair[0] != pair[1])]
        machine = Machine(self.device).start()
        timed = time_networks(self.networks, ratios, self.options, self.device, machine)
        machine.start()
        throughput = {
            str(size): measure_throughput(
                self.networks, pairs, size, budget(self.options, self.networks), self.device, machine
            )
            for size in self.options.throughput_batches
        }
        if throughput:
            timed = replace(timed, seen=worse(timed.seen, machine.stop()))
        peaks = None if self.backend in EXPORTED else [self._peak(ready) for ready in self.networks]
        return [
            Measurement(
                self._latency(
                    subject,
                    own,
                    stock,
                    timed,
                    throughput={size: found[index] for size, found in throughput.items()},
                    memory=None if peaks is None else _memory(peaks[own], peaks[stock], self.device),
                ),
                {
                    f"{name}{whose}_ms": rounds.times[position]
                    for name, rounds in (("", timed.alone), ("end_to_end_", timed.whole))
                    for whose, position in (("model", own), ("stock", stock))
                },
                None if baseline is None else timed.alone.compare(own, baseline).summary_ratio(),
            )
            for index, (subject, (own, stock), baseline) in enumerate(zip(subjects, pairs, baselines, strict=True))
        ]

    def _latency(
        self,
        subject: Subject,
        own: int,
        stock: int,
        timed: Timed,
        throughput: dict[str, Throughput | NoThroughput],
        memory: PeakMemory | None,
    ) -> Latency:
        return Latency(
            **vars(timed.alone.compare(own, stock).summary()),
            backend=self.backend,
            precision=self.precision,
            tf32=False if self.device.type == "cuda" else None,
            implementations=self._implementations(subject, self.networks[own]),
            batch=self.options.batch,
            imgsz=subject.imgsz,
            threads=torch.get_num_threads() if self.device.type == "cpu" else None,
            clock="CUDA events" if on_stream(self.backend, self.device) else "monotonic",
            images=len(subject.images),
            end_to_end=timed.whole.compare(own, stock).summary(),
            throughput=throughput,
            memory=memory,
            parity=self.networks[own].parity,
            busy=timed.seen.busy,
            throttled=timed.seen.throttled,
            machine=timed.seen.use,
        )

    def _implementations(self, subject: Subject, ready: Ready) -> dict[str, list[str]] | None:
        """Implementations of windowed attention by site; None for an exported graph, which has one of its own."""
        if self.backend in EXPORTED:
            return None
        dtype = DTYPES[self.precision]
        with torch.inference_mode(False):
            network = copy.deepcopy(subject.model).to(self.device, dtype)
        return implementations(network, ready.end.prepare(subject.images[:1]).to(dtype))

    def _peak(self, ready: Ready) -> float:
        """Peak memory of one forward pass in MB, including weights."""
        return peak_memory(ready.deployed.network, ready.prepared[0], self.device) / 1e6


def _memory(used: float, stock_used: float, device: torch.device) -> PeakMemory:
    return PeakMemory(
        peak_mb=used,
        stock_peak_mb=stock_used,
        ratio_to_stock=used / stock_used,
        counted="PyTorch's allocator on the GPU" if device.type == "cuda" else "PyTorch's allocator on the CPU",
    )

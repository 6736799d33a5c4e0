"""What a measurement of latency found, as `Record.latency` and `Record.measurements` have it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Timing:
    """Two networks timed in turn: quantiles in milliseconds, and the ratio of the first to the stock network.

    Attributes:
        ratio_low: lower end of the 95 % interval of the ratio; None if there are too few pairs for one.
        ratio_high: upper end.
        narrow: whether the interval reached the requested width; otherwise the time or the pairs ran out.
        pairs: number of pairs timed.
        seconds: duration, without the warm-up.
    """

    p50_ms: float
    p95_ms: float
    p99_ms: float
    stock_p50_ms: float
    stock_p95_ms: float
    stock_p99_ms: float
    ratio_to_stock: float
    ratio_low: float | None
    ratio_high: float | None
    narrow: bool
    pairs: int
    seconds: float


@dataclass(frozen=True)
class Ratio:
    """A ratio of two latencies with its 95 % interval, whose ends are None if there are too few rounds for one."""

    ratio: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Throughput:
    """Images per second at one batch size. Joules per image are of the whole GPU; None if it does not provide them."""

    images_per_second: float
    stock_images_per_second: float
    ratio_to_stock: float
    pairs: int
    joules_per_image: float | None = None
    stock_joules_per_image: float | None = None


@dataclass(frozen=True)
class NoThroughput:
    """Why the throughput at a batch size was not measured."""

    error: str


@dataclass(frozen=True)
class PeakMemory:
    """Peak memory of one forward pass in MB, including weights, and what counted it."""

    peak_mb: float
    stock_peak_mb: float
    ratio_to_stock: float
    counted: str


@dataclass(frozen=True)
class Parity:
    """How a deployed network differs from PyTorch.

    Attributes:
        largest_difference: over scores and boxes (as a fraction of the image's side).
        map50_95: of the deployed network; None if the networks were not validated.
        pytorch_map50_95: of the same head in PyTorch.
    """

    largest_difference: float
    map50_95: float | None = None
    pytorch_map50_95: float | None = None


@dataclass(frozen=True)
class GpuUse:
    """Extremes and means of what NVML said during a measurement; None for what it did not say, `error` for why.

    Units: MHz, watts and degrees Celsius. `sm_clock_mhz` has the lowest and the highest clock. `mig` is whether the GPU
    is divided among tenants (MIG), so that what NVML says of the whole of it is left out.
    """

    sm_clock_mhz: list[int] | None
    memory_clock_mhz: int | None
    watts: float | None
    celsius: float | None
    throttle_reasons: list[str] | None
    processes: int | None
    error: str | None
    mig: bool = False


@dataclass(frozen=True)
class MachineUse:
    """Cores that other processes used on average, and the number of CPUs available to this process.

    `waited_seconds` is how long the measurement paused because the machine was busy or throttled.
    """

    others_cores: float
    cpus: int
    gpu: GpuUse | None = None
    waited_seconds: float = 0.0


@dataclass(frozen=True)
class Latency(Timing):
    """A measurement: the networks alone, and what else was measured.

    Attributes:
        imgsz: side of the square image, in pixels.
        threads: CPU threads; None on a GPU.
        clock: what took the times of the networks alone.
        images: number of different images.
        end_to_end: from image to boxes.
        throughput: by batch size.
        memory: None if the runtime does not provide it.
        parity: None if a network would be compared with itself.
        busy: whether other processes used the CPUs or the GPU.
        throttled: whether the machine throttled; None if unknown.
        tf32: whether float32 products used TF32; None on a CPU, and in records of earlier versions.
        implementations: of windowed attention, by site; None for an exported graph, which has one of its own, and in
            records of earlier versions.
        options: what was asked for, with the device; None in records of earlier versions.
        environment: of a measurement made after the run had finished.
    """

    backend: str
    precision: str
    batch: int
    imgsz: int
    threads: int | None
    clock: str
    images: int
    end_to_end: Timing
    throughput: dict[str, Throughput | NoThroughput]
    memory: PeakMemory | None
    parity: Parity | None
    busy: bool
    throttled: bool | None
    machine: MachineUse
    tf32: bool | None = None
    implementations: dict[str, list[str]] | None = None
    options: dict[str, Any] | None = None
    environment: dict[str, Any] | None = None


@dataclass(frozen=True)
class NoLatency:
    """Why a measurement failed, and what was asked for."""

    error: str
    options: dict[str, Any] | None = None
    environment: dict[str, Any] | None = None

"""Monitor the machine during a measurement: other processes, throttling, clocks, power."""

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pynvml
import torch

from yolo26_attention.files.latency import GpuUse, MachineUse

# The machine is busy if other processes use on average more than a twentieth of the CPUs available to this process,
# and at least a tenth of a core. Idle services stay well below that; a process that computes takes a whole core.
BUSY_SHARE = 0.05
BUSY_CORES = 0.1
SAMPLE_SECONDS = 0.2
THERMAL = "/sys/devices/system/cpu/cpu{}/thermal_throttle/core_throttle_count"
CGROUP = Path("/sys/fs/cgroup/cpu.stat")
# NVML's reasons for lower clocks, except an idle GPU and clocks set by a user.
THROTTLING = {
    "power cap": 0x4,
    "hardware slowdown": 0x8,
    "thermal, by software": 0x20,
    "thermal, by hardware": 0x40,
    "power brake": 0x80,
}


@dataclass(frozen=True)
class Watched:
    """What was seen of a machine.

    Attributes:
        busy: whether other processes used more than a twentieth of the CPUs (at least a tenth of a core), or another
            process used the GPU.
        throttled: whether the machine throttled; None if unknown.
        use: the figures.
    """

    busy: bool
    throttled: bool | None
    use: MachineUse


def worse(first: Watched, second: Watched) -> Watched:
    """What was seen over two times: disturbed if either was, with the figures of the first and the busier load."""
    busier = second.use.others_cores > first.use.others_cores
    use = replace(first.use, others_cores=second.use.others_cores) if busier else first.use
    return Watched(first.busy or second.busy, second.throttled or first.throttled, use)


class Machine:
    """Watches the machine from `start` to `stop`; call `sample` in between to read the GPU, `lap` to leave out a pause.

    Args:
        device: device of the networks.
    """

    def __init__(self, device: torch.device):
        asked = hasattr(os, "sched_getaffinity")
        self.cpus = sorted(os.sched_getaffinity(0)) if asked else list(range(os.cpu_count() or 1))
        self.gpu = Gpu(device) if device.type == "cuda" else None

    def start(self) -> "Machine":
        """Start watching."""
        self._seconds = self._others = 0.0
        self._throttled: bool | None = None
        if self.gpu is not None:
            self.gpu.samples = []
        self._sampled = -SAMPLE_SECONDS
        self._seen = 0  # samples of the GPU in former laps
        self._mark = self._reading()
        return self

    def sample(self) -> None:
        """Read the GPU, unless it was read very recently."""
        if self.gpu is not None and time.perf_counter() - self._sampled >= SAMPLE_SECONDS:
            self._sampled = time.perf_counter()
            self.gpu.sample()

    def lap(self, *, counted: bool = True) -> Watched:
        """Summarize what was seen since the last lap, and begin the next one.

        Args:
            counted: whether this lap is part of what `stop` returns; a pause is not.
        """
        (begun, used, own, slowed), self._mark = self._mark, self._reading()
        seconds = max(self._mark[0] - begun, 1e-9)
        others = (self._mark[1] - used) - (self._mark[2] - own)
        throttled = None if slowed is None else self._mark[3] != slowed
        gpu = None if self.gpu is None else self.gpu.summary(self._seen)
        if counted:
            self._seconds, self._others = self._seconds + seconds, self._others + others
            self._throttled = throttled if self._throttled is None else bool(throttled or self._throttled)
        elif self.gpu is not None:
            del self.gpu.samples[self._seen :]
        self._seen = 0 if self.gpu is None else len(self.gpu.samples)
        return self._judged(others, seconds, throttled, gpu)

    def stop(self) -> Watched:
        """Stop watching and summarize all laps that count."""
        self.lap()
        gpu = None if self.gpu is None else self.gpu.summary()
        return self._judged(self._others, self._seconds, self._throttled, gpu)

    def _judged(self, others: float, seconds: float, throttled: bool | None, gpu: GpuUse | None) -> Watched:
        cores = max(0.0, others) / seconds
        busy = cores > max(BUSY_CORES, BUSY_SHARE * len(self.cpus))
        if gpu is not None:
            busy = busy or (gpu.processes or 0) > 1
            known = gpu.throttle_reasons is not None
            throttled = bool(gpu.throttle_reasons or throttled) if known else throttled or None
        return Watched(busy, throttled, MachineUse(round(cores, 3), len(self.cpus), gpu))

    def _reading(self) -> tuple[float, float, float, tuple[int, ...] | None]:
        """Time, CPU seconds of all processes and of this one, and the counters of throttling."""
        return time.perf_counter(), self._used(), _own_cpu_seconds(), self._slowed()

    def _used(self) -> float:
        """Busy seconds of the CPUs available to this process, by all processes, including time stolen by a host."""
        total = 0.0
        for number, cpu in enumerate(psutil.cpu_times(percpu=True)):
            if number in self.cpus:
                total += sum(cpu) - cpu.idle - getattr(cpu, "iowait", 0.0)
                total -= getattr(cpu, "guest", 0.0) + getattr(cpu, "guest_nice", 0.0)  # also counted in user and nice
        return total

    def _slowed(self) -> tuple[int, ...] | None:
        """Counters that grow when the CPU overheats or a container's quota is used up; None without any."""
        counters = [int(path.read_text()) for cpu in self.cpus if (path := Path(THERMAL.format(cpu))).is_file()]
        if CGROUP.is_file():
            fields = dict(line.split() for line in CGROUP.read_text().splitlines())
            counters += [int(fields["nr_throttled"])] if "nr_throttled" in fields else []
        return tuple(counters) or None


class Gpu:
    """One GPU through NVML; values that it does not provide are None, and `error` gives the reason.

    If the device is one instance of a GPU that MIG divides, power, energy and processes are None: NVML has them for the
    whole GPU only, with those of other tenants. Clocks, temperature and throttling are the whole GPU's and kept.

    Args:
        device: a CUDA device.
    """

    def __init__(self, device: torch.device):
        self.samples: list[dict[str, Any]] = []
        self.error: str | None = None
        self.handle: Any = None
        self.shared = False  # one instance of several
        try:
            pynvml.nvmlInit()
            self.handle, self.shared = _find(str(torch.cuda.get_device_properties(device).uuid))
        except pynvml.NVMLError as error:
            self.error = str(error)

    def sample(self) -> None:
        """Note clocks (MHz), power (W), temperature (degrees Celsius), throttling, and how many processes compute."""
        nvml, handle = pynvml, self.handle
        self.samples.append(
            {
                "sm_clock": self._read(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
                "memory_clock": self._read(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)),
                "watts": self._read_own(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000),
                "celsius": self._read(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
                "reasons": self._read(lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)),
                "processes": self._read_own(lambda: len(nvml.nvmlDeviceGetComputeRunningProcesses(handle))),
            }
        )

    def joules(self) -> float | None:
        """Energy of the GPU since the driver was loaded, in joules; None if it does not provide it."""
        used = self._read_own(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(self.handle))
        return None if used is None else used / 1000

    def summary(self, since: int = 0) -> GpuUse:
        """Extremes and means of the samples, without the first `since`."""
        known = {
            key: [sample[key] for sample in self.samples[since:] if sample[key] is not None]
            for key in ("sm_clock", "memory_clock", "watts", "celsius", "reasons", "processes")
        }
        seen = 0
        for bits in known["reasons"]:
            seen |= bits
        return GpuUse(
            sm_clock_mhz=[min(known["sm_clock"]), max(known["sm_clock"])] if known["sm_clock"] else None,
            memory_clock_mhz=max(known["memory_clock"], default=None),
            watts=sum(known["watts"]) / len(known["watts"]) if known["watts"] else None,
            celsius=max(known["celsius"], default=None),
            throttle_reasons=[name for name, bit in THROTTLING.items() if seen & bit] if known["reasons"] else None,
            processes=max(known["processes"], default=None),
            mig=self.shared,
            error=self.error,
        )

    def _read_own(self, call: Any) -> Any:
        """Read what includes other tenants of a divided GPU, unless it is divided."""
        return None if self.shared else self._read(call)

    def _read(self, call: Any) -> Any:
        if self.handle is None:
            return None
        try:
            return call()
        except pynvml.NVMLError as error:
            self.error = str(error)
            return None


def _find(uuid: str) -> tuple[Any, bool]:
    """NVML's handle of a physical GPU, and whether MIG divides it.

    Args:
        uuid: torch's, of the GPU or of one of its instances, with or without its prefix.

    Raises:
        pynvml.NVMLError: if there is no such GPU.
    """
    bare = uuid.removeprefix("GPU-").removeprefix("MIG-")
    try:
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{bare}")
    except pynvml.NVMLError:
        instance = pynvml.nvmlDeviceGetHandleByUUID(f"MIG-{bare}")
        return pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(instance), True
    try:
        return handle, pynvml.nvmlDeviceGetMigMode(handle)[0] == pynvml.NVML_DEVICE_MIG_ENABLE
    except pynvml.NVMLError:  # a GPU that cannot be divided
        return handle, False


def driver_version() -> str | None:
    """Version of the GPU's driver; None if unknown."""
    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return None


def _own_cpu_seconds() -> float:
    """CPU time of this process and of its child processes that have ended, in seconds."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system

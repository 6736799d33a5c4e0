"""A GPU that NVML would describe, for benchmarks.gpu_day with dry=true."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from unittest import mock

import pynvml
import torch


@contextmanager
def pretended_nvml() -> Iterator[None]:
    """Make `latency.machine.Gpu` find a card with constant readings."""
    readings = {
        "nvmlInit": None,
        "nvmlDeviceGetHandleByUUID": "card",
        "nvmlDeviceGetMigMode": [0, 0],
        "nvmlDeviceGetClockInfo": 1980,
        "nvmlDeviceGetPowerUsage": 350_000,
        "nvmlDeviceGetTemperature": 50,
        "nvmlDeviceGetCurrentClocksThrottleReasons": 0x1,
        "nvmlDeviceGetComputeRunningProcesses": [1],
        "nvmlDeviceGetTotalEnergyConsumption": 1_000,
        "nvmlSystemGetDriverVersion": "pretended",
    }
    properties = SimpleNamespace(uuid="pretended")
    patches = [mock.patch.object(pynvml, name, return_value=value) for name, value in readings.items()]
    patches.append(mock.patch.object(torch.cuda, "get_device_properties", return_value=properties))
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()

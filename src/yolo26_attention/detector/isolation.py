"""Isolate the import, construction and trial of a module from the rest of the process."""

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

# Process settings that affect numerical results: how to read and how to set each.
SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "torch.set_default_dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch.set_grad_enabled": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch.set_num_threads": (torch.get_num_threads, torch.set_num_threads),
    "torch.set_float32_matmul_precision": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "torch.use_deterministic_algorithms": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "torch.autograd.set_detect_anomaly": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
}


@contextmanager
def own_generator(key: str) -> Iterator[None]:
    """Seed the generators of Python, NumPy and torch from the key alone, and restore them afterwards.

    `torch.manual_seed` would also reseed every GPU; initialisation uses only the CPU generator. GPU generators are
    also restored, in case a module seeds them.
    """
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if gpus:
            torch.cuda.set_rng_state_all(gpus)


@contextmanager
def kept_settings() -> Iterator[None]:
    """Restore the process settings, which importing a user's file may change."""
    before = surroundings().settings
    try:
        yield
    finally:
        for name, value in before.items():
            read, write = SETTINGS[name]
            if read() != value:
                write(value)


@dataclass(frozen=True)
class Surroundings:
    """The state outside of a module: random generators of the augmentation, and process settings.

    Keys are the library's name, and the name of the function that sets the setting.
    """

    streams: dict[str, Any]
    settings: dict[str, Any]


def surroundings() -> Surroundings:
    """The current surroundings, for a comparison."""
    numpy = np.random.get_state(legacy=False)["state"]
    streams = {"random": random.getstate(), "numpy.random": (numpy["key"].tobytes(), numpy["pos"])}
    return Surroundings(streams, {name: read() for name, (read, _) in SETTINGS.items()})

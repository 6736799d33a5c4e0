"""Keeps what a module does while it is imported, built or tried from changing anything outside of it."""

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

# Settings of the process that decide on numbers: how each is read, and how it is set.
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
    """Draw from streams that depend on the key alone, and put those of Python, NumPy and torch back as they were.

    `torch.manual_seed` would also reseed every GPU; only the CPU generator is used to initialise. The streams of GPUs
    are put back too, for a module that seeds them.
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
    """Put the process's settings back as they were, whatever a user's file sets when it is imported."""
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
    """What lies outside of a module: the streams that the augmentation draws from, and settings of the process.

    By the name of the library, and of the function that sets it.
    """

    streams: dict[str, Any]
    settings: dict[str, Any]


def surroundings() -> Surroundings:
    """Those of now, to be compared."""
    numpy = np.random.get_state(legacy=False)["state"]
    streams = {"random": random.getstate(), "numpy.random": (numpy["key"].tobytes(), numpy["pos"])}
    return Surroundings(streams, {name: read() for name, (read, _) in SETTINGS.items()})

"""Isolate the import, construction and trial of a module from the rest of the process."""

import hashlib
import operator
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

Setting = tuple[Callable[[], Any], Callable[[Any], Any]]  # how to read and how to set it
BACKENDS = (
    # The order counts: a general precision sets those of its operations, and so do torch's former settings.
    *("fp32_precision", "cudnn.fp32_precision", "mkldnn.fp32_precision"),
    *("cuda.matmul.allow_tf32", "cudnn.allow_tf32"),
    *("cuda.matmul.fp32_precision", "cudnn.conv.fp32_precision", "cudnn.rnn.fp32_precision"),
    *("mkldnn.matmul.fp32_precision", "mkldnn.conv.fp32_precision", "mkldnn.rnn.fp32_precision"),
    *("cuda.matmul.allow_fp16_reduced_precision_reduction", "cuda.matmul.allow_bf16_reduced_precision_reduction"),
    "cuda.matmul.allow_fp16_accumulation",
    *("cudnn.enabled", "cudnn.benchmark", "cudnn.benchmark_limit", "cudnn.deterministic", "cudnn.depthwise_kernel"),
    *("mkldnn.enabled", "mkldnn.deterministic", "miopen.immediate", "quantized.engine"),
    *("opt_einsum.enabled", "opt_einsum.strategy"),
)


def _nnpack() -> Any:
    """Whether NNPACK is used; its setter returns what it was, and there is no other way to read it."""
    before = torch.backends.nnpack.set_flags(True)
    torch.backends.nnpack.set_flags(*before)
    return before[0]


def _set_device(device: torch.device) -> None:
    torch.set_default_device(None if device.type == "cpu" else device)


def _backend(path: str) -> Setting:
    """An attribute below torch.backends, which is a module or stands for one."""
    owner, _, name = path.rpartition(".")
    try:
        holder = operator.attrgetter(owner)(torch.backends) if owner else torch.backends
    except AttributeError:  # in another version of torch
        holder = None
    return (lambda: getattr(holder, name)), (lambda value: setattr(holder, name, value))


def _autocast(device: str) -> Setting:
    return (lambda: torch.is_autocast_enabled(device)), (lambda value: torch.set_autocast_enabled(device, value))


def _autocast_dtype(device: str) -> Setting:
    return (lambda: torch.get_autocast_dtype(device)), (lambda value: torch.set_autocast_dtype(device, value))


def _there(setting: Setting) -> bool:
    """Whether this version of torch has it, with a value to set."""
    try:
        return setting[0]() is not None
    except AttributeError:
        return False
    except RuntimeError:  # a mixture of torch's former and current settings
        return True


# Process settings that affect numerical results: how to read and how to set each, in the order of setting.
SETTINGS: dict[str, Setting] = {
    "torch.set_default_dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch.set_default_device": (torch.get_default_device, _set_device),
    "torch.set_grad_enabled": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch.set_num_threads": (torch.get_num_threads, torch.set_num_threads),
    "torch.set_flush_denormal": (lambda: sys.float_info.min / 2 == 0, torch.set_flush_denormal),
    "torch.set_float32_matmul_precision": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "torch.use_deterministic_algorithms": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "torch.set_deterministic_debug_mode": (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    "torch.autograd.set_detect_anomaly": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "torch.set_autocast_enabled (cpu)": _autocast("cpu"),
    "torch.set_autocast_enabled (cuda)": _autocast("cuda"),
    "torch.set_autocast_dtype (cpu)": _autocast_dtype("cpu"),
    "torch.set_autocast_dtype (cuda)": _autocast_dtype("cuda"),
    "torch.backends.mha.set_fastpath_enabled": (
        torch.backends.mha.get_fastpath_enabled,
        torch.backends.mha.set_fastpath_enabled,
    ),
    "torch.backends.nnpack.set_flags": (_nnpack, torch.backends.nnpack.set_flags),
    "torch.backends.cuda.enable_flash_sdp": (
        torch.backends.cuda.flash_sdp_enabled,
        torch.backends.cuda.enable_flash_sdp,
    ),
    "torch.backends.cuda.enable_mem_efficient_sdp": (
        torch.backends.cuda.mem_efficient_sdp_enabled,
        torch.backends.cuda.enable_mem_efficient_sdp,
    ),
    "torch.backends.cuda.enable_math_sdp": (torch.backends.cuda.math_sdp_enabled, torch.backends.cuda.enable_math_sdp),
    "torch.backends.cuda.enable_cudnn_sdp": (
        torch.backends.cuda.cudnn_sdp_enabled,
        torch.backends.cuda.enable_cudnn_sdp,
    ),
    "torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp": (
        torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed,
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp,
    ),
    "numpy.seterr": (np.geterr, lambda value: np.seterr(**value)),
    **{f"torch.backends.{path}": _backend(path) for path in BACKENDS if _there(_backend(path))},
}


def _read(name: str) -> Any:
    """The value of a setting; torch refuses to read its former settings once its current ones contradict them."""
    try:
        return SETTINGS[name][0]()
    except RuntimeError:
        return "contradictory"


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
            if _read(name) != value:
                SETTINGS[name][1](value)


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
    return Surroundings(streams, {name: _read(name) for name in SETTINGS})

"""Hardware and software of a result, as far as accuracy and latency depend on them."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from yolo26_attention.latency.machine import driver_version

PACKAGES = (
    "torch",
    "torchvision",
    "ultralytics",
    "hydra-core",
    "omegaconf",
    "wandb",
    "timm",
    "numpy",
    "triton",
    "onnx",
    "onnxslim",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
)
CPUINFO = Path("/proc/cpuinfo")


def environment(device: torch.device) -> dict[str, Any]:
    """Collect versions, git commit and hardware as plain values; None for what is missing or unknown."""
    cuda = torch.cuda.is_available()
    return {
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        "git": git_commit(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cpu_count": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "device": device_name(device),
        "compute_capability": compute_capability(device),
        "cuda": torch.version.cuda if cuda else None,
        "cudnn": torch.backends.cudnn.version() if cuda else None,
        "driver": driver_version() if cuda else None,
    }


def git_commit() -> str | None:
    """Commit of this program, with -dirty for changes; None outside a repository, and without git."""
    command = ["git", "-C", str(Path(__file__).parents[3]), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return found.stdout.strip() or None


def device_name(device: torch.device) -> str:
    """Product name of a GPU; the type of any other device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def compute_capability(device: torch.device) -> str | None:
    """Compute capability of a GPU, such as "9.0"; None for any other device."""
    return "{}.{}".format(*torch.cuda.get_device_capability(device)) if device.type == "cuda" else None


def cpu_model() -> str | None:
    """The vendor's name of the CPU."""
    if CPUINFO.is_file():
        for line in CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

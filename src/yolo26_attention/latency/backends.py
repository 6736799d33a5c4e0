"""The runtimes for deployed networks, all behind Ultralytics' AutoBackend."""

import copy
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from ultralytics.engine.exporter import Exporter, export_formats
from ultralytics.nn.autobackend import AutoBackend
from ultralytics.nn.tasks import BaseModel
from ultralytics.utils import SETTINGS

from yolo26_attention.compat.ultralytics import without_flops_line
from yolo26_attention.latency.networks import CapturedGraphs, Compiled, InPrecision

# Backends that run an exported file, with Ultralytics' name of its format.
EXPORTED = {"onnxruntime": "onnx", "openvino": "openvino", "tensorrt": "engine"}
# Required packages, by the extra of pyproject.toml that installs them.
NEEDS = {
    "onnxruntime": ("onnx", "onnxslim", "onnxruntime"),
    "openvino": ("openvino",),
    "tensorrt": ("onnx", "onnxslim", "tensorrt"),
}
EXTRAS = {"onnxruntime": "export", "openvino": "openvino", "tensorrt": "tensorrt"}
# Precisions of each backend on a CPU and on a GPU.
PRECISIONS = {
    "cpu": {
        "eager": ("fp32", "bf16"),
        "compiled": ("fp32", "bf16"),
        "onnxruntime": ("fp32",),
        "openvino": ("fp32", "bf16"),
    },
    "cuda": {
        "eager": ("fp32", "fp16", "bf16"),
        "compiled": ("fp32", "fp16", "bf16"),
        "cuda_graph": ("fp32", "fp16", "bf16"),
        "onnxruntime": ("fp32", "fp16"),
        "tensorrt": ("fp32", "fp16"),
    },
}
DYNAMIC = {"onnx", "openvino", "engine", "torchscript"}


@dataclass(frozen=True)
class Deployed:
    """A network on a backend, and its exported file, if any."""

    network: AutoBackend
    file: Path | None = None


def check_backend(backend: str, precision: str, device: torch.device) -> None:
    """Check that a backend is installed and supports this precision on this device.

    Raises:
        ValueError: with the command that installs it, or with the options that work here.
    """
    possible = PRECISIONS[device.type]
    if backend not in possible:
        where = ", ".join(kind for kind, backends in PRECISIONS.items() if backend in backends)
        raise ValueError(
            f"latency.backend={backend} runs on {where}, but this run is on {device.type}; use {', '.join(possible)}"
        )
    if precision not in possible[backend]:
        raise ValueError(
            f"latency.precision={precision} is not possible with latency.backend={backend} on {device.type}; "
            f"use {' or '.join(possible[backend])}"
        )
    missing = [package for package in NEEDS.get(backend, ()) if find_spec(package) is None]
    if missing:
        raise ValueError(
            f"latency.backend={backend} needs {', '.join(missing)}; install with: pip install -e '.[{EXTRAS[backend]}]'"
        )
    if backend == "onnxruntime" and device.type == "cuda":
        import onnxruntime

        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise ValueError(
                "latency.backend=onnxruntime: the installed onnxruntime has no CUDA; install with: "
                "pip uninstall -y onnxruntime && pip install onnxruntime-gpu"
            )
    if (
        backend == "compiled"
        and device.type == "cpu"
        and shutil.which("g++") is None
        and shutil.which("clang++") is None
    ):
        raise ValueError("latency.backend=compiled needs a C++ compiler on a CPU; install with: apt-get install g++")


def check_format(fmt: str) -> torch.device:
    """Check that Ultralytics can export to a format on this machine.

    Returns:
        The device to export on.

    Raises:
        ValueError: with the known formats, or the command that installs the missing packages.
    """
    formats = export_formats()["Argument"][1:]
    if fmt not in formats:
        raise ValueError(f"format={fmt} is unknown; Ultralytics exports to {', '.join(formats)}")
    if fmt == "engine" and not torch.cuda.is_available():
        raise ValueError("format=engine needs a CUDA device, which this machine does not have; use onnx or openvino")
    for backend in (backend for backend, of in EXPORTED.items() if of == fmt):
        if missing := [package for package in NEEDS[backend] if find_spec(package) is None]:
            raise ValueError(
                f"format={fmt} needs {', '.join(missing)}; install with: pip install -e '.[{EXTRAS[backend]}]'"
            )
    return torch.device("cuda:0" if fmt == "engine" else "cpu")


def deploy(
    model: BaseModel, backend: str, precision: str, device: torch.device, *, imgsz: int, batch: int, folder: Path
) -> Deployed:
    """Deploy a network on a backend; the given network is not changed unless the backend is eager.

    Args:
        model: unfused, in evaluation mode.
        backend: a key of PRECISIONS, already checked.
        precision: fp32, fp16 or bf16, already checked.
        device: device to run on.
        imgsz: side of the image that an export is traced with, in pixels; exports for CPUs take any size.
        batch: largest batch of a TensorRT engine.
        folder: for exported files.

    Returns:
        The network in Ultralytics' wrapper for its predictor and validator: (B, C, H, W) in [0, 1] to predictions.
    """
    if backend in EXPORTED:
        file = export(model, EXPORTED[backend], imgsz=imgsz, folder=folder, batch=batch, half=precision == "fp16")
        exported = load_export(file, device, half=precision == "fp16")
        _configure(exported.network, backend, precision, file)
        return exported
    # As in Ultralytics' predictor and validator: the head whose boxes need non-maximum suppression.
    deployed = AutoBackend(model, device=device, fp16=precision == "fp16", verbose=False, end2end=False)
    network = deployed.backend.model
    if precision == "bf16":
        network = InPrecision(network, torch.bfloat16)
    if backend == "compiled":
        network = Compiled(network)
    if backend == "cuda_graph":
        network = CapturedGraphs(network)
    if network is not deployed.backend.model:
        deployed.backend.model = network
        deployed.backend.base_model = False  # otherwise Ultralytics passes it arguments of its own networks
    return Deployed(deployed)


def export(
    model: BaseModel, fmt: str, *, imgsz: int, folder: Path, batch: int = 1, half: bool = False, name: str = "model"
) -> Path:
    """Export a network by Ultralytics' exporter, with dynamic sizes if the format supports them.

    Args:
        model: unfused; it is not changed.
        fmt: Ultralytics' name of the format.
        imgsz: side of the traced image, in pixels.
        folder: output folder.
        batch: largest batch of a TensorRT engine.
        half: whether to use 16-bit weights.
        name: file name without its extension.
    """
    # Ultralytics advertises OpenVINO once and stores that in the user's settings file, which must not change.
    dict.__setitem__(SETTINGS, "openvino_msg", False)
    folder.mkdir(parents=True, exist_ok=True)
    network: Any = copy.deepcopy(model)
    network.task, network.pt_path = "detect", str(folder / f"{name}.pt")
    arguments: dict[str, Any] = {"format": fmt, "imgsz": imgsz, "verbose": False}
    arguments["device"] = str(next(network.parameters()).device)
    arguments |= {"dynamic": True} if fmt in DYNAMIC else {}
    arguments |= {"batch": batch} if fmt == "engine" else {}
    arguments |= {"quantize": 16} if half else {}
    with cpu_threads(None), without_flops_line():
        return Path(Exporter(overrides=arguments)(model=network))


def load_export(file: Path, device: torch.device, *, half: bool = False) -> Deployed:
    """Load an exported file in the runtime of its format, as Ultralytics does."""
    return Deployed(AutoBackend(str(file), device=device, fp16=half, verbose=False), file)


def _configure(deployed: AutoBackend, backend: str, precision: str, file: Path) -> None:
    """Set torch's number of threads and the requested precision on a CPU runtime.

    By default, ONNX Runtime uses every core, and OpenVINO computes in bfloat16 if the CPU supports it.
    """
    if deployed.device.type != "cpu":
        return
    threads = torch.get_num_threads()
    if backend == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        deployed.backend.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    if backend == "openvino":
        import openvino

        core = openvino.Core()
        config = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
        }
        deployed.backend.ov_compiled_model = core.compile_model(
            core.read_model(next(file.glob("*.xml"))), "CPU", config
        )


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Set the number of CPU threads in the block and restore it after; None keeps the current number."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

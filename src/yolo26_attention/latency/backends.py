"""The runtimes for deployed networks, all behind Ultralytics' AutoBackend."""

import copy
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from ultralytics.engine.exporter import FP16_FORMATS, INT8_FORMATS, Exporter, export_formats
from ultralytics.nn.autobackend import AutoBackend
from ultralytics.nn.tasks import BaseModel
from ultralytics.utils import SETTINGS

from yolo26_attention.compat.ultralytics import fuse_grafts, without_flops_line
from yolo26_attention.detector.grafted import prepare_export
from yolo26_attention.latency.networks import CapturedGraphs, Compiled, InPrecision, hold_size

# Backends that run an exported file, with Ultralytics' name of its format.
EXPORTED = {"onnxruntime": "onnx", "openvino": "openvino", "tensorrt": "engine"}
# Required packages, by the extra of pyproject.toml that installs them.
NEEDS = {
    "onnxruntime": ("onnx", "onnxslim", "onnxruntime"),
    "openvino": ("openvino",),
    "tensorrt": ("onnx", "onnxslim", "tensorrt"),
}
# What calibrates 8-bit weights by format: the module, and its requirement in Ultralytics' exporter (8.4.190).
NEEDED_BY_INT8 = {
    "openvino": ("nncf", "'nncf>=2.14.0'"),
    "engine": ("modelopt", "'nvidia-modelopt[onnx]>=0.44'"),
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


# Options of an export that ask for nothing. In contrast, simplify=false and nms=false change Ultralytics' export.
UNASKED = {("dynamic", False), ("half", False), ("int8", False), ("batch", 1)}


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


def check_format(fmt: str, int8: bool = False) -> torch.device:
    """Check that Ultralytics can export to a format on this machine.

    Args:
        fmt: Ultralytics' name of the format.
        int8: whether the weights get 8 bits, for which some formats need a further package.

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
    package, requirement = NEEDED_BY_INT8.get(fmt, ("", "")) if int8 else ("", "")
    if package and find_spec(package) is None:
        raise ValueError(f"int8=true with format={fmt} needs {package}; install with: pip install {requirement}")
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
        imgsz: side of the image in pixels, the only one that an exported network takes.
        batch: largest batch of a TensorRT engine; other exported networks take any.
        folder: for exported files.

    Returns:
        The network in Ultralytics' wrapper for its predictor and validator: (B, C, H, W) in [0, 1] to predictions.
    """
    if backend in EXPORTED:
        how: dict[str, Any] = {"dynamic": True, "half": precision == "fp16"}
        how |= {"batch": batch} if backend == "tensorrt" else {}
        file = export(model, EXPORTED[backend], imgsz=imgsz, folder=folder, fixed_maps=True, **how)
        exported = load_export(file, device, half=precision == "fp16")
        _configure(exported.network, backend, precision, file)
        return exported
    fuse_grafts()
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
    model: BaseModel,
    fmt: str,
    *,
    imgsz: int | Sequence[int],
    folder: Path,
    name: str = "model",
    fixed_maps: bool | None = None,
    **options: Any,
) -> Path:
    """Export a network by Ultralytics' exporter.

    Args:
        model: unfused; it is not changed.
        fmt: Ultralytics' name of the format.
        imgsz: side of the image, or its height and width, in pixels.
        folder: output folder.
        name: file name without its extension.
        fixed_maps: whether the graft takes only maps of this image size, which is faster; None: unless `dynamic`.
        options: as for `export_arguments`.

    Raises:
        ValueError: if the format does not take an option.
    """
    arguments = export_arguments(fmt, options)
    # Ultralytics advertises OpenVINO once and stores that in the user's settings file, which must not change.
    dict.__setitem__(SETTINGS, "openvino_msg", False)
    folder.mkdir(parents=True, exist_ok=True)
    network: Any = copy.deepcopy(model)
    network.task, network.pt_path = "detect", str(folder / f"{name}.pt")
    fuse_grafts()
    fixed = not arguments.get("dynamic", False) if fixed_maps is None else fixed_maps
    prepare_export(network, dynamic=not fixed)
    if fmt == "torchscript" and fixed:
        network.register_forward_pre_hook(hold_size)
    arguments |= {"format": fmt, "imgsz": imgsz if isinstance(imgsz, int) else list(imgsz), "verbose": False}
    arguments["device"] = str(next(network.parameters()).device)
    with cpu_threads(None), without_flops_line():
        return Path(Exporter(overrides=arguments)(model=network))


def export_arguments(fmt: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Translate options to arguments of Ultralytics' exporter.

    Args:
        fmt: Ultralytics' name of the format.
        options: `dynamic`, `batch`, `simplify`, `nms`, `opset`, `data`, by Ultralytics' names, and `half` and `int8`.

    Raises:
        ValueError: naming an option that the format does not take, or that excludes another one.
    """
    if options.get("half") and options.get("int8"):
        raise ValueError("half=true and int8=true exclude each other; choose one")
    given = {key: value for key, value in options.items() if value is not None}
    given = {key: value for key, value in given.items() if (key, value) not in UNASKED}
    table = export_formats()
    known = set(table["Arguments"][table["Argument"].index(fmt)]) if fmt in table["Argument"] else set()
    # Ultralytics leaves out what a format does not take with a warning, or not even that.
    for key in given.keys() - {"half", "int8", "data"}:
        if key not in known:
            takers = [of for of, takes in zip(table["Argument"], table["Arguments"], strict=True) if key in takes]
            raise ValueError(
                f"{key}={given[key]} is not an option of format={fmt}; leave it out, or use {', '.join(takers)}"
            )
    for key, bits, formats in (("half", 16, FP16_FORMATS), ("int8", 8, INT8_FORMATS)):
        if given.pop(key, False):
            if fmt not in formats:
                raise ValueError(f"{key}=true is not possible with format={fmt}; use {', '.join(sorted(formats))}")
            given["quantize"] = bits
    if given.get("quantize") != 8:
        given.pop("data", None)  # the images that calibrate 8-bit weights
    return {"batch": 1, **given}  # the exporter's own default is 16, to which it would fill up every batch


def load_export(file: Path, device: torch.device, *, half: bool = False) -> Deployed:
    """Load an exported file in the runtime of its format, as Ultralytics does, but compute float32 as float32."""
    with _in_float32(file):
        return Deployed(AutoBackend(str(file), device=device, fp16=half, verbose=False), file)


def _in_float32(file: Path) -> AbstractContextManager[None]:
    """Keep a runtime from rounding inside the block: ONNX Runtime to TF32, OpenVINO to bfloat16."""
    if file.suffix == ".onnx":
        from yolo26_attention.compat.onnxruntime import sessions_without_tf32

        return sessions_without_tf32()
    if file.name.endswith("_openvino_model"):
        from yolo26_attention.compat.openvino import networks_in_float32

        return networks_in_float32()
    return nullcontext()


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

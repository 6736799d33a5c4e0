"""The sections of benchmarks.gpu_day, one a process: python -m benchmarks.gpu_day_sections NAME FILE."""

import importlib
import importlib.util
import os
import platform
import re
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from benchmarks.gpu_day_notes import DRY, Notes

# What is imported somewhere, and what is done without it.
NEEDED = {
    "ultralytics": "nothing runs", "hydra": "nothing runs", "omegaconf": "nothing runs", "timm": "nothing runs",
    "faster_coco_eval": "no training is recorded", "thop": "no FLOPs as published", "sklearn": "no digits to train on",
    "scipy": "no intervals", "pynvml": "no clocks, power or joules", "psutil": "no other processes",
    "beartype": "no tests", "pytest": "no tests", "matplotlib": "no plots", "wandb": "tracking=disabled only",
    "onnxruntime": "no exports", "triton": "no kernels",
}  # fmt: skip
# Sections that live in other files.
ELSEWHERE = {
    "trainings": "gpu_day_trainings", "run": "gpu_day_trainings", "kernels": "gpu_day_kernels",
    "convolutions": "gpu_day_kernels", "steps": "gpu_day_networks", "deployed": "gpu_day_networks",
    "rest": "gpu_day_networks",
}  # fmt: skip


def machine(notes: Notes) -> None:
    """Card, driver, versions, what is missing, and what NVML tells."""
    missing = {name: cost for name, cost in NEEDED.items() if importlib.util.find_spec(name) is None}
    for name, cost in missing.items():
        notes.row("missing packages", package=name, then=cost)
    import torch
    import triton

    cuda = torch.cuda.is_available()
    facts = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "triton": triton.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if cuda else None,
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "compute capability": torch.cuda.get_device_capability() if cuda else None,
        "memory, GiB": round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1) if cuda else None,
        "cores": len(os.sched_getaffinity(0)),
    }
    for what, value in facts.items():
        notes.row("machine", what=what, value=value)
    with notes.kept("nvidia-smi"):
        told = subprocess.run(["nvidia-smi", "-q"], capture_output=True, text=True, check=True).stdout
        print(told)
        for line in told.splitlines():
            if re.search(r"Driver Version|Product Name|MIG Mode|Current +:|Power Limit|Graphics +:|SM +:", line):
                notes.row("nvidia-smi", line=" ".join(line.split()))
    with notes.kept("NVML"):
        from benchmarks.gpu_day_pretended import pretended_nvml
        from yolo26_attention.latency.machine import Gpu, driver_version

        with pretended_nvml() if DRY else nullcontext():
            gpu = Gpu(torch.device("cuda", 0))
            gpu.sample()
            summary = {
                **asdict(gpu.summary()),
                "joules since the driver was loaded": gpu.joules(),
                "driver": driver_version(),
            }
        for what, value in summary.items():
            notes.row("NVML", what=what, value=value)
        unknown = [what for what, value in summary.items() if value is None and what != "error"]
        notes.verdict("NVML tells clocks, power, joules, throttling", unknown or "all", "all", not unknown)
    notes.verdict("packages that are missing", ", ".join(missing) or "none", "only wandb", set(missing) <= {"wandb"})


def tests(notes: Notes) -> None:
    """The GPU-marked tests of kernels and contract; in a dry run two interpreted cases."""
    files = ["tests/attention/test_window_triton.py", "tests/attention/test_contract.py"]
    run_tests(notes, [files[0], "-k", "float32_matches and (one-row or window-1)"] if DRY else [*files, "-m", "gpu"])
    if not DRY:  # on a GPU these run compiled, and not interpreted
        run_tests(notes, [files[0], "-m", "not gpu and not slow"])


def run_tests(notes: Notes, arguments: list[str]) -> None:
    """Run pytest and note each result as it comes, so that a cut-off run keeps what it has found."""
    command = [sys.executable, "-m", "pytest", "-vv", "-p", "no:cacheprovider", "--no-header", *arguments]
    counts = {"PASSED": 0, "FAILED": 0, "ERROR": 0, "SKIPPED": 0}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout:
        print(line, end="", flush=True)
        if found := re.match(r"(\S+::.+?) (PASSED|FAILED|ERROR|SKIPPED)", line):
            counts[found[2]] += 1
            if found[2] in ("FAILED", "ERROR"):
                notes.row("failed tests", test=found[1])
    process.wait()
    counted = ", ".join(f"{count} {name.lower()}" for name, count in counts.items() if count)
    well = process.returncode == 0 and counts["PASSED"] > 0
    notes.verdict(f"pytest {' '.join(arguments)}", counted or "nothing ran", "no failure", well)


def main() -> None:
    name, file = sys.argv[1:]
    if DRY:
        import torch

        torch.set_num_threads(1)
    module = importlib.import_module(f"benchmarks.{ELSEWHERE[name]}") if name in ELSEWHERE else sys.modules[__name__]
    getattr(module, name)(Notes(Path(file)))


if __name__ == "__main__":
    main()

"""Peak memory of one forward and backward in a process of its own: python -m benchmarks.memory NAME B C H K."""

import json
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.original import UnfoldACmix
from yolo26_attention.attention.acmix import ACmix


def build(name: str, channels: int, kernel_att: int) -> torch.nn.Module:
    """The original formulation, or ACmix with the implementation of that name."""
    if name == "original":
        return UnfoldACmix(channels, kernel_att=kernel_att)
    return ACmix(channels, kernel_att=kernel_att, implementation=name)


def peak(name: str, batch: int, channels: int, side: int, kernel_att: int) -> int:
    """Bytes above what the process held before, measured in a process of its own."""
    arguments = map(str, (name, batch, channels, side, kernel_att))
    command = [sys.executable, "-m", "benchmarks.memory", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])["bytes"]


def _measure(name: str, batch: int, channels: int, side: int, kernel_att: int) -> int:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    # What a first call of the libraries allocates once is not the module's: a tiny one goes first.
    _step(build(name, 16, kernel_att).to(device, dtype), torch.randn(1, 16, 16, 16).to(device, dtype))
    before = _highest(device)
    shape = (batch, channels, side, side)
    _step(build(name, channels, kernel_att).to(device, dtype), torch.randn(shape).to(device, dtype))
    return _highest(device) - before


def _step(module: torch.nn.Module, x: torch.Tensor) -> None:
    module(x.requires_grad_()).square().mean().backward()


def _highest(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    # Not getrusage: its maximum starts at that of the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    torch.set_num_threads(2)
    print(json.dumps({"bytes": _measure(sys.argv[1], *map(int, sys.argv[2:]))}))

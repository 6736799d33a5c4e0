"""ACmix against its original formulation, in one run, in turns: python -m benchmarks.acmix [--write]."""

import argparse
import datetime
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import ultralytics
from torch import nn

from benchmarks import memory, models
from benchmarks.measure import in_turns, milliseconds, ratios, spread
from yolo26_attention.attention.acmix import ACmix
from yolo26_attention.attention.window import IMPLEMENTATIONS

RESULTS = Path(__file__).with_name("RESULTS.md")
# batch, channels, side, kernel_att
CPU_CASES = [
    (1, 64, 80, 7),
    (4, 64, 40, 7),
    (1, 128, 80, 7),
    (1, 128, 40, 7),
    (1, 256, 20, 7),
    (1, 128, 40, 9),
    (1, 64, 80, 3),
    (4, 64, 40, 3),
    (1, 256, 20, 3),
]
CUDA_CASES = [(16, 64, 80, 7), (16, 128, 40, 7), (16, 256, 20, 7), (16, 64, 80, 3)]
MEMORY_CASES = [(4, 64, 80, 7), (1, 128, 80, 7)]


def forward(module: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    def run() -> None:
        with torch.no_grad():
            module(x)

    return run


def forward_backward(module: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    grad = torch.randn_like(x)

    def run() -> None:
        module.zero_grad(set_to_none=True)
        module(x.requires_grad_()).backward(grad)

    return run


def contenders(channels: int, kernel_att: int, x: torch.Tensor) -> dict[str, nn.Module]:
    """The original formulation and every implementation that can run, all with the same values."""
    built = {"original": memory.build("original", channels, kernel_att).to(x.device, x.dtype)}
    for name in IMPLEMENTATIONS:
        module = ACmix(channels, kernel_att=kernel_att, implementation=name)
        module.load_state_dict(built["original"].state_dict())
        module.to(x.device, x.dtype)
        try:
            with torch.no_grad():
                module(x[:1])
        except ValueError:
            continue
        built[name] = module
    return built


def module_table(cases: list[tuple[int, ...]], rounds: int, device: str) -> Iterator[str]:
    yield "| B, C, H = W, kernel_att | pass | implementation | ms | original, ms | ratio |"
    yield "| --- | --- | --- | --- | --- | --- |"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    for batch, channels, side, kernel_att in cases:
        x = torch.randn(batch, channels, side, side, device=device, dtype=dtype)
        built = contenders(channels, kernel_att, x)
        passes = (("forward", forward), ("forward + backward", forward_backward))
        for label, make in passes:
            functions = {name: make(module, x.clone()) for name, module in built.items()}
            times = in_turns(functions, rounds)
            original = times.pop("original")
            for name, own in times.items():
                case = f"{batch}, {channels}, {side}, {kernel_att}"
                row = case, label, name, milliseconds(own), milliseconds(original)
                yield f"| {' | '.join(row)} | {spread(ratios(original, own))} |"


def memory_table(device: str) -> Iterator[str]:
    yield "| B, C, H = W, kernel_att | implementation | MB, forward + backward | of the original |"
    yield "| --- | --- | --- | --- |"
    names = [name for name in IMPLEMENTATIONS if name != "triton" or device == "cuda"]
    for case in MEMORY_CASES:
        original = memory.peak("original", *case)
        for name in ("original", *names):
            used = memory.peak(name, *case)
            label = ", ".join(map(str, case))
            yield f"| {label} | {name} | {used / 1e6:.0f} | 1 / {original / used:.1f} |"


def model_table(rounds: int, device: str) -> Iterator[str]:
    yield "| YOLO26n, 640 px | pass | ms | relative to stock |"
    yield "| --- | --- | --- | --- |"
    built = models.models(device)
    batch = 16 if device == "cuda" else 1
    for label, make, size in (
        ("inference, batch 1", models.inference, 1),
        (f"forward + backward, batch {batch}", models.training, batch),
    ):
        images = torch.randn(size, 3, 640, 640, device=device)
        times = in_turns({name: make(model, images) for name, model in built.items()}, rounds)
        for name, own in times.items():
            relative = spread(ratios(own, times["stock"]), 2)
            yield f"| {name} | {label} | {milliseconds(own)} | {relative} |"


def report(rounds: int, device: str) -> Iterator[str]:
    name = torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()} CPU"
    precision = "bfloat16" if device == "cuda" else "float32"
    yield f"## {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, {name}"
    yield ""
    yield (
        f"{processor()}, {torch.get_num_threads()} threads, {precision}, heads 4; torch "
        f"{torch.__version__}, ultralytics {ultralytics.__version__}, Python "
        f"{platform.python_version()}. Median (quartiles) of {rounds} rounds; in a round each "
        "contender has one turn of 0.1 s or one call, and a ratio is taken within its round."
    )
    yield ""
    yield from module_table(CUDA_CASES if device == "cuda" else CPU_CASES, rounds, device)
    yield ""
    yield from memory_table(device)
    yield ""
    yield from model_table(rounds, device)
    yield ""
    yield "Kernels beside flex_attention and a copy, and networks deployed on a GPU: python -m benchmarks.gpu_day."


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), "CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"append to {RESULTS.name}")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=2, help="of a CPU")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    lines = []
    for line in report(arguments.rounds, device):
        print(line, flush=True)
        lines.append(line)
    if arguments.write:
        with RESULTS.open("a") as file:
            file.write("\n".join(lines) + "\n\n")


if __name__ == "__main__":
    main()

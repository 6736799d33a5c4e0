"""Deployed networks with ACmix against stock, in one process, in turns: python -m benchmarks.deployed [--write].

Ratios only: what else runs on the machine slows both networks of a round.
"""

import argparse
import copy
import datetime
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import ultralytics
from torch import nn

from benchmarks import memory
from benchmarks.acmix import CPU_CASES, RESULTS, forward, forward_backward, processor
from benchmarks.measure import in_turns, ratios, spread
from yolo26_attention.attention.acmix import ACmix
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.latency.backends import deploy

TARGET = "yolo26_attention.attention.acmix.ACmix"
CPU = torch.device("cpu")
# backend, sides of the image: the ratio to reach at the neck, and at p3
TARGETS = {
    ("eager", 640): (1.28, 1.14),
    ("eager", 320): (1.25, 1.12),
    ("eager", 128): (1.25, 1.10),
    ("onnxruntime", 640): (1.30, None),
    ("onnxruntime", 320): (1.30, None),
}
SMALL = [(128, 8), (256, 4), (64, 16)]
MOST_OPERATORS = 60
FORWARD, BOTH = 25, 14


def networks() -> dict[str, nn.Module]:
    """Stock YOLO26n, and with ACmix at the neck and at p3."""
    stock = build_stock("yolo26n", classes=80, channels=3).eval()
    built = {"stock": stock}
    for site in ("neck", "p3"):
        built[site] = copy.deepcopy(stock)
        graft(built[site], Graft(TARGET, {}, (site,)))
        built[site].eval()
    return built


def caller(network: nn.Module, image: torch.Tensor) -> Callable[[], None]:
    def run() -> None:
        with torch.inference_mode():
            network(image)

    return run


def in_training_form(model: nn.Module, side: int) -> nn.Module:
    """The deployed network, without the folded constants of its graft."""
    own = deploy(copy.deepcopy(model), "eager", "fp32", CPU, imgsz=side, batch=1, folder=Path()).network
    for module in own.backend.model.modules():
        if isinstance(module, ACmix):
            del module.deployed
    return own


def network_table(rounds: int) -> Iterator[str]:
    yield "| YOLO26n with ACmix / stock | neck | to reach | neck, training form | p3 | to reach |"
    yield "| --- | --- | --- | --- | --- | --- |"
    built = networks()
    for (backend, side), (neck, p3) in TARGETS.items():
        with tempfile.TemporaryDirectory() as folder:
            functions = {}
            for name, model in built.items():
                where = Path(folder) / name
                own = deploy(copy.deepcopy(model), backend, "fp32", CPU, imgsz=side, batch=1, folder=where)
                functions[name] = caller(own.network, torch.rand(1, 3, side, side))
            if backend == "eager":
                functions["trained"] = caller(in_training_form(built["neck"], side), torch.rand(1, 3, side, side))
            times = in_turns(functions, rounds)
        found = {name: spread(ratios(own, times["stock"]), 2) for name, own in times.items()}
        trained = found.get("trained", "")
        yield f"| {backend}, {side} px | {found['neck']} | {neck} | {trained} | {found['p3']} | {p3 or ''} |"


def deployed_table(rounds: int) -> Iterator[str]:
    yield "| B, C, H = W | deployed / training form | operators of the deployed form | to reach |"
    yield "| --- | --- | --- | --- |"
    for channels, side in SMALL:
        trained = ACmix(channels).eval()
        own = copy.deepcopy(trained)
        own.fold_constants()
        x = torch.randn(1, channels, side, side).contiguous(memory_format=torch.channels_last)
        times = in_turns({"trained": caller(trained, x), "deployed": caller(own, x)}, rounds)
        with torch.inference_mode(), torch.profiler.profile() as profiled:
            own(x)
        ratio = spread(ratios(times["deployed"], times["trained"]), 2)
        yield f"| 1, {channels}, {side} | {ratio} | {len(profiled.events())} | {MOST_OPERATORS} |"


def kernel_table(rounds: int) -> Iterator[str]:
    yield "| B, C, H = W | forward, times faster than the original | to reach | forward + backward | to reach |"
    yield "| --- | --- | --- | --- | --- |"
    for batch, channels, side, window in CPU_CASES[:3]:
        x = torch.randn(batch, channels, side, side)
        original = memory.build("original", channels, window)
        own = ACmix(channels, kernel_att=window)
        own.load_state_dict(original.state_dict())
        row = []
        for make in (forward, forward_backward):
            times = in_turns({"own": make(own, x.clone()), "original": make(original, x.clone())}, rounds)
            row.append(spread(ratios(times["original"], times["own"])))
        yield f"| {batch}, {channels}, {side} | {row[0]} | {FORWARD} | {row[1]} | {BOTH} |"


def report(rounds: int) -> Iterator[str]:
    yield f"## Deployed networks, {datetime.datetime.now(datetime.UTC):%Y-%m-%d} UTC"
    yield ""
    yield (
        f"{processor()}, {torch.get_num_threads()} thread, float32, batch 1; torch {torch.__version__}, ultralytics "
        f"{ultralytics.__version__}. Median (quartiles) of the ratios of {rounds} rounds, in which each has one turn. "
        "Other work ran on the machine, so only ratios are given."
    )
    for table in (network_table, deployed_table, kernel_table):
        yield ""
        yield from table(rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"append to {RESULTS.name}")
    parser.add_argument("--rounds", type=int, default=11)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lines = []
    for line in report(arguments.rounds):
        print(line, flush=True)
        lines.append(line)
    if arguments.write:
        with RESULTS.open("a") as file:
            file.write("\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

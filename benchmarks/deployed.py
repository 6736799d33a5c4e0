"""Deployed networks with ACmix against stock, in one process, in turns: python -m benchmarks.deployed [--write].

Ratios only: what else runs on the machine slows both networks of a round. The last table has every target beside what
was measured.
"""

import argparse
import copy
import datetime
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
import ultralytics
from torch import nn

from benchmarks import memory
from benchmarks.acmix import CPU_CASES, RESULTS, forward, forward_backward, processor
from benchmarks.launches import launches
from benchmarks.measure import in_turns, ratios, spread
from yolo26_attention.attention.acmix import ACmix
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.latency.backends import NEEDS, deploy

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
STOCK_LAUNCHES, MOST_LAUNCHES = 254, 290  # at the neck; stock as counted when the target was set


@dataclass(frozen=True)
class Verdict:
    """A target beside what was measured; None where it cannot be measured here."""

    measure: str
    target: float
    found: float | None
    least: bool = False
    note: str = ""

    def row(self) -> str:
        if self.found is None:
            return f"| {self.measure} | {self.target} |  | not measurable here: {self.note} |"
        met = self.found >= self.target if self.least else self.found <= self.target
        bound = "or more" if self.least else "or less"
        found = f"{self.found:.2f}".rstrip("0").rstrip(".")
        return f"| {self.measure} | {self.target} {bound} | {found} | {'met' if met else '**missed**'}{self.note} |"


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


def missing(backend: str) -> list[str]:
    return [package for package in NEEDS.get(backend, ()) if find_spec(package) is None]


def network_table(rounds: int, verdicts: list[Verdict]) -> Iterator[str]:
    yield "| YOLO26n with ACmix / stock | neck | neck, training form | p3 |"
    yield "| --- | --- | --- | --- |"
    built = networks()
    for (backend, side), targets in TARGETS.items():
        absent = missing(backend)
        found = {} if absent else network_ratios(built, backend, side, rounds)
        for site, target in zip(("neck", "p3"), targets, strict=True):
            if target is not None:
                middle = statistics.median(found[site]) if found else None
                note = f"{', '.join(absent)} is not installed" if absent else ""
                verdicts.append(Verdict(f"{backend}, {side} px, {site} / stock", target, middle, note=note))
        if found:
            cells = [spread(found[name], 2) if name in found else "" for name in ("neck", "trained", "p3")]
            yield f"| {backend}, {side} px | {' | '.join(cells)} |"


def network_ratios(built: dict[str, nn.Module], backend: str, side: int, rounds: int) -> dict[str, list[float]]:
    """Times of the networks of a backend, as ratios to stock."""
    with tempfile.TemporaryDirectory() as folder:
        functions = {}
        for name, model in built.items():
            where = Path(folder) / name
            own = deploy(copy.deepcopy(model), backend, "fp32", CPU, imgsz=side, batch=1, folder=where)
            functions[name] = caller(own.network, torch.rand(1, 3, side, side))
        if backend == "eager":
            functions["trained"] = caller(in_training_form(built["neck"], side), torch.rand(1, 3, side, side))
        times = in_turns(functions, rounds)
    return {name: ratios(own, times["stock"]) for name, own in times.items()}


def deployed_table(rounds: int, verdicts: list[Verdict]) -> Iterator[str]:
    yield "| B, C, H = W | deployed / training form | operators of the deployed form |"
    yield "| --- | --- | --- |"
    for channels, side in SMALL:
        trained = ACmix(channels).eval()
        own = copy.deepcopy(trained)
        own.fold_constants()
        x = torch.randn(1, channels, side, side).contiguous(memory_format=torch.channels_last)
        times = in_turns({"trained": caller(trained, x), "deployed": caller(own, x)}, rounds)
        with torch.inference_mode(), torch.profiler.profile() as profiled:
            own(x)
        operators = len(profiled.events())
        verdicts.append(Verdict(f"operators of a forward, (1, {channels}, {side}, {side})", MOST_OPERATORS, operators))
        yield f"| 1, {channels}, {side} | {spread(ratios(times['deployed'], times['trained']), 2)} | {operators} |"


def launch_table(_: int, verdicts: list[Verdict]) -> Iterator[str]:
    yield "| launches on a CUDA device, counted on tensors without values, 640 px | number |"
    yield "| --- | --- |"
    for name, model in networks().items():
        own = deploy(model, "eager", "fp32", CPU, imgsz=640, batch=1, folder=Path()).network
        count = launches(own.backend.model, 640)
        if name == "neck":
            note = f" (stock was {STOCK_LAUNCHES} when the target was set; windowed attention counts as one)"
            verdicts.append(Verdict("launches on a CUDA device, neck", MOST_LAUNCHES, count, note=note))
        yield f"| {name} | {count} |"


def kernel_table(rounds: int, verdicts: list[Verdict]) -> Iterator[str]:
    yield "| B, C, H = W | forward, times faster than the original | forward + backward |"
    yield "| --- | --- | --- |"
    for batch, channels, side, window in CPU_CASES[:3]:
        x = torch.randn(batch, channels, side, side)
        original = memory.build("original", channels, window)
        own = ACmix(channels, kernel_att=window)
        own.load_state_dict(original.state_dict())
        row = []
        for name, make, target in (("forward", forward, FORWARD), ("forward + backward", forward_backward, BOTH)):
            times = in_turns({"own": make(own, x.clone()), "original": make(original, x.clone())}, rounds)
            found = ratios(times["original"], times["own"])
            measure = f"{name}, times faster than the original, ({batch}, {channels}, {side}, {side})"
            verdicts.append(Verdict(measure, target, statistics.median(found), least=True))
            row.append(spread(found))
        yield f"| {batch}, {channels}, {side} | {row[0]} | {row[1]} |"


def report(rounds: int) -> Iterator[str]:
    yield f"## Deployed networks, {datetime.datetime.now(datetime.UTC):%Y-%m-%d} UTC"
    yield ""
    yield (
        f"{processor()}, {torch.get_num_threads()} thread, float32, batch 1; torch {torch.__version__}, ultralytics "
        f"{ultralytics.__version__}. Median (quartiles) of the ratios of {rounds} rounds, in which each has one turn. "
        "Other work ran on the machine, so only ratios are given."
    )
    verdicts: list[Verdict] = []
    for table in (network_table, deployed_table, launch_table, kernel_table):
        yield ""
        yield from table(rounds, verdicts)
    yield from ("", "| measure | target | median | verdict |", "| --- | --- | --- | --- |")
    yield from (verdict.row() for verdict in verdicts)


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

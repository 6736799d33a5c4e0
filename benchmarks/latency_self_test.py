"""The instrument measures itself, stock against stock, quiet and disturbed: python -m benchmarks.latency_self_test.

Either way at least 19 of 20 intervals have to contain 1.0 and be no wider than 2 %, each within a minute; with another
process burning one core, every one has to be flagged as busy.
"""

import argparse
import datetime
import platform
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
import ultralytics
from ultralytics.nn.autobackend import AutoBackend

from benchmarks.acmix import RESULTS, processor
from yolo26_attention.data.digits import build_digits
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.latency.backends import cpu_threads
from yolo26_attention.latency.clocks import wall_clock
from yolo26_attention.latency.end_to_end import EndToEnd, validation_images
from yolo26_attention.latency.machine import Machine, Watched
from yolo26_attention.latency.memory import Relocation
from yolo26_attention.latency.protocol import Comparison, time_in_turn

BURN = "while True: pass"


def once(images: list[np.ndarray], arguments: argparse.Namespace, seed: int) -> tuple[Comparison, Watched]:
    """Two stock networks built anew, timed in turn."""
    device = torch.device("cpu")
    networks = [
        AutoBackend(build_stock("yolo26n", 10, 3).eval(), device=device, verbose=False, end2end=False) for _ in range(2)
    ]
    inputs = [EndToEnd(networks[0], arguments.imgsz, device).prepare([image]) for image in images]
    relocation = Relocation(networks, [partial(network, inputs[0]) for network in networks], seed)
    machine = Machine(device).start()
    with torch.inference_mode(), cpu_threads(arguments.threads):
        rounds = time_in_turn(
            networks,
            inputs,
            wall_clock(device),
            seconds=arguments.seconds,
            max_pairs=100_000,
            width=arguments.width,
            seed=seed,
            between=relocation,
        )
    return rounds.compare(0, 1), machine.stop()


def series(name: str, images: list[np.ndarray], arguments: argparse.Namespace) -> list[str]:
    """Repetitions of one condition as lines of text, with what they add up to."""
    lines = [f"{name}:"]
    holds = narrow = busy = 0
    for number in range(arguments.repetitions):
        measured, seen = once(images, arguments, number)
        hold = measured.low <= 1 <= measured.high
        width = (measured.high - measured.low) / measured.ratio
        holds, narrow, busy = holds + hold, narrow + (width <= 0.02), busy + seen.busy
        lines.append(
            f"  {number:2d}  ratio {measured.ratio:.4f}  95 % {measured.low:.4f} to {measured.high:.4f}  "
            f"width {width:.2%}  {'holds 1' if hold else 'MISSES 1'}  {len(measured.times)} pairs in "
            f"{measured.seconds:.1f} s  p50 {np.median(measured.stock_times):.2f} ms  others "
            f"{seen.use.others_cores:.2f} cores{'  BUSY' if seen.busy else ''}"
        )
        print(lines[-1], flush=True)
    total = arguments.repetitions
    lines.append(
        f"  {holds} of {total} hold 1.0; {narrow} of {total} no wider than 2 %; {busy} of {total} flagged as busy"
    )
    print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0, help="budget of one repetition")
    parser.add_argument("--width", type=float, default=0.01, help="of the interval at which a repetition stops")
    parser.add_argument("--imgsz", type=int, default=160)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help=f"append to {RESULTS.name}")
    arguments = parser.parse_args()
    yaml = build_digits(Path("outputs/data"), train_images=16, val_images=8, imgsz=160, seed=0)
    images = validation_images(yaml, channels=3)
    lines = [
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, {processor()}, {arguments.threads} threads, "
        f"YOLO26n at {arguments.imgsz} px, at most {arguments.seconds:g} s and until {arguments.width:.0%} wide; torch "
        f"{torch.__version__}, ultralytics {ultralytics.__version__}, Python {platform.python_version()}"
    ]
    print(lines[0], flush=True)
    lines += series("no process of ours beside it", images, arguments)
    burner = subprocess.Popen([sys.executable, "-c", BURN])
    try:
        lines += series("one core burned by another process", images, arguments)
    finally:
        burner.kill()
        burner.wait()
    if arguments.write:
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write("\n```\n" + "\n".join(lines) + "\n```\n")


if __name__ == "__main__":
    main()

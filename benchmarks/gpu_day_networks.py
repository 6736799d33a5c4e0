"""Whole networks on a GPU: training steps, deployed latency, compiled."""

import copy
import sys

import numpy as np
import torch
from torch import nn

from benchmarks.gpu_day_notes import DRY, Notes
from benchmarks.gpu_day_sections import run_tests
from benchmarks.measure import in_turns, ratios
from yolo26_attention.attention.options import resolve_options
from yolo26_attention.config.schema import Backend, LatencyConfig
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.files.latency import Throughput
from yolo26_attention.latency.measure import measure

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
IMGSZ, BATCH = (64, 2) if DRY else (640, 16)
ROUNDS = 2 if DRY else 7


def network(name: str) -> nn.Module:
    """YOLO26n with an attention at p3, p4 and p5, or stock."""
    model = build_stock("yolo26n", 80, 3)
    if name != "stock":
        target, options = resolve_options(name, {})
        graft(model, Graft(target, options, ("p3",) if DRY else ("neck",)))
    return model


class Step:
    """One optimizer step as Ultralytics makes it: AMP with a gradient scaler, channels_last, the detection loss."""

    def __init__(self, name: str):
        self.model = network(name).to(DEVICE).train()
        if CUDA:
            self.model = self.model.to(memory_format=torch.channels_last)
        from ultralytics.cfg import get_cfg

        self.model.args = get_cfg()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-4, momentum=0.9)
        self.scaler = torch.amp.GradScaler(DEVICE.type, enabled=CUDA)
        draw = torch.Generator().manual_seed(0)
        boxes = torch.rand(BATCH * 5, 4, generator=draw) * 0.3 + 0.2
        images = torch.rand(BATCH, 3, IMGSZ, IMGSZ, generator=draw).to(DEVICE)
        self.batch = {
            "img": images.contiguous(memory_format=torch.channels_last) if CUDA else images,
            "cls": torch.randint(0, 80, (BATCH * 5, 1), generator=draw).float().to(DEVICE),
            "bboxes": boxes.to(DEVICE),
            "batch_idx": torch.arange(BATCH).repeat_interleave(5).float().to(DEVICE),
        }

    def __call__(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE.type, torch.float16 if CUDA else torch.bfloat16, enabled=CUDA):
            loss, _ = self.model(self.batch)
        self.scaler.scale(loss.sum()).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()


def steps(notes: Notes) -> None:
    """Training step and peak memory of four networks, in turns."""
    built, memory = {}, {}
    for name in ("stock", "acmix") if DRY else ("stock", "acmix", "sasa", "cbam"):
        with notes.kept(f"step of {name}"):
            step = Step(name)
            step()  # compiles kernels, chooses convolutions, allocates gradients
            if CUDA:
                torch.cuda.synchronize()
                torch.cuda.reset_peak_memory_stats()
                before = torch.cuda.memory_allocated()
                step()
                torch.cuda.synchronize()
                memory[name] = (torch.cuda.max_memory_allocated() - before) / 1e6
            built[name] = step
    times = in_turns(built, ROUNDS)
    for name, own in times.items():
        ratio = float(np.median(ratios(own, times["stock"])))
        cells = {"milliseconds": float(np.median(own)) * 1e3, "/ stock": ratio, "peak MB of a step": memory.get(name)}
        notes.row("training step", network=name, **cells)
        if name == "acmix":
            notes.verdict("training step, ACmix / stock", f"{ratio:.3f}", "at most 1.15", ratio <= 1.15)
    for name, step in built.items():
        with notes.kept(f"profile of {name}"):
            _profile(notes, name, step)


def _profile(notes: Notes, name: str, step: Step) -> None:
    """The ten longest kernels of a step; all of them in the log."""
    activities = [torch.profiler.ProfilerActivity.CPU] + [torch.profiler.ProfilerActivity.CUDA] * CUDA
    with torch.profiler.profile(activities=activities) as profiled:
        step()
    key = "self_device_time_total" if CUDA else "self_cpu_time_total"
    events = sorted(profiled.key_averages(), key=lambda event: getattr(event, key), reverse=True)
    print(profiled.key_averages().table(sort_by=key, row_limit=25))
    for event in events[: 2 if DRY else 10]:
        cells = {"calls": event.count, "microseconds": getattr(event, key)}
        notes.row("longest kernels of a step", network=name, kernel=event.key[:70], **cells)


def deployed(notes: Notes) -> None:
    """Deployed latency: eager and as a CUDA graph, batch 1 and 32, five networks in turn with stock."""
    names = ("acmix",) if DRY else ("stock", "acmix", "cbam", "se", "nl")
    for backend in ("eager",) if DRY else ("cuda_graph", "eager"):
        for name in names:
            with notes.kept(f"{name} {backend}"):
                _measure(notes, name, backend, 4.0)


def _measure(notes: Notes, name: str, backend: str, seconds: float) -> None:
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, (480, 640, 3), dtype=np.uint8) for _ in range(8)]
    options = LatencyConfig(
        backend=Backend(backend),
        seconds=0.2 if DRY else seconds,
        width=0.02,
        throughput_batches=[2 if DRY else 32],
    )
    stock, model = network("stock").eval(), network(name).eval()
    found = measure(model, copy.deepcopy(stock), options, images=images, imgsz=IMGSZ, device=DEVICE).latency
    (throughput,) = found.throughput.values()
    known = isinstance(throughput, Throughput)
    notes.row(
        "deployed",
        network=name,
        backend=backend,
        precision=found.precision,
        **{"p50 ms": found.p50_ms, "/ stock": found.ratio_to_stock, "low": found.ratio_low, "high": found.ratio_high},
        **{"end to end / stock": found.end_to_end.ratio_to_stock},
        **{"images/s at 32": throughput.images_per_second if known else throughput.error},
        **{"stock images/s": throughput.stock_images_per_second if known else None},
        **{"J an image": throughput.joules_per_image if known else None},
        MB=found.memory.peak_mb,
        throttled=found.throttled,
        busy=found.busy,
        implementations=found.implementations,
    )
    if name == "acmix" and backend == ("eager" if DRY else "cuda_graph"):
        ratio = found.ratio_to_stock
        notes.verdict("deployed ACmix / stock, batch 1, CUDA graph", f"{ratio:.3f}", "at most 1.2", ratio <= 1.2)


def rest(notes: Notes) -> None:
    """The GPU-marked tests of backends and clocks without compilation, then ACmix compiled."""
    if DRY:
        print("nothing more in a dry run", file=sys.stderr)
        return
    run_tests(
        notes, ["tests/latency/test_backends.py", "tests/latency/test_measure.py", "-m", "gpu", "-k", "not compiled"]
    )
    with notes.kept("acmix compiled"):
        _measure(notes, "acmix", "compiled", 4.0)

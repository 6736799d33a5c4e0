"""On a CUDA device: the attention kernel beside flex_attention and the memory roofline, and whole networks deployed.

Not yet run: no machine with a GPU was at hand when it was written.
"""

import copy
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import in_turns, milliseconds, ratios, spread
from yolo26_attention.attention.options import resolve_options
from yolo26_attention.attention.window import reflect_pad, window_attention
from yolo26_attention.config.schema import Backend, LatencyConfig, Precision
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.latency.measure import measure
from yolo26_attention.latency.text import machine_text, ratio_text

DEPLOYED = ("acmix", "cbam", "se", "nl")
BATCH, CHANNELS, SIDE, HEADS, WINDOW = 16, 64, 80, 4, 7


def flex(q: Tensor, k: Tensor, v: Tensor) -> Callable[[], Tensor]:
    """The same window by flex_attention, on keys whose border is reflected first."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    padded = SIDE + WINDOW - 1

    def in_window(batch, head, query, key):
        row, column = key // padded - query // SIDE, key % padded - query % SIDE
        return (row >= 0) & (row < WINDOW) & (column >= 0) & (column < WINDOW)

    mask = create_block_mask(in_window, None, None, SIDE**2, padded**2, device="cuda")
    compiled = torch.compile(flex_attention)

    def run() -> Tensor:
        keys, values = (reflect_pad(x, WINDOW // 2) for x in (k, v))
        q_, k_, v_ = (x.unflatten(1, (HEADS, -1)).flatten(3).transpose(2, 3).contiguous() for x in (q, keys, values))
        return compiled(q_, k_, v_, block_mask=mask)

    return run


def tables(rounds: int) -> Iterator[str]:
    """Markdown: the kernel against flex_attention and against copying the bytes it must move."""
    shape = (BATCH, CHANNELS, SIDE, SIDE)
    q, k, v = (
        torch.randn(shape, device="cuda", dtype=torch.bfloat16)
        .contiguous(memory_format=torch.channels_last)
        .requires_grad_()
        for _ in range(3)
    )
    kernel = lambda: window_attention(q, k, v, heads=HEADS, window=WINDOW)  # noqa: E731
    runs = {"window_attention": kernel, "flex_attention": flex(q, k, v)}
    map_bytes = q.numel() * q.element_size()
    # Forward reads q, k, v and writes the result; backward reads these four and the gradient of the
    # result, and writes three gradients. A copy reads and writes once.
    source = torch.empty(64 * 2**20, device="cuda", dtype=torch.float32)
    target = torch.empty_like(source)
    copy = in_turns({"copy": lambda: target.copy_(source)}, rounds)["copy"]
    bandwidth = 2 * source.numel() * source.element_size() / min(copy)
    yield f"Copy bandwidth {bandwidth / 1e9:.0f} GB/s; shape {shape}, bfloat16, window {WINDOW}."
    yield ""
    yield "| pass | implementation | ms | roofline, ms | times the roofline | flex_attention / it |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for label, maps, backward in (("forward", 4, False), ("forward + backward", 12, True)):
        times = in_turns({name: _step(run, backward) for name, run in runs.items()}, rounds)
        floor = maps * map_bytes / bandwidth
        for name, own in times.items():
            row = label, name, milliseconds(own), f"{floor * 1000:.3f}"
            above = spread([seconds / floor for seconds in own])
            against = spread(ratios(times["flex_attention"], own))
            yield f"| {' | '.join(row)} | {above} | {against} |"


def deployed_tables(seconds: float) -> Iterator[str]:
    """Markdown: YOLO26n at 640 px with attention at p3, p4 and p5 on each of PyTorch's backends, beside stock."""
    device = torch.device("cuda")
    stock = build_stock("yolo26n", 80, 3).eval()
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, (480, 640, 3), dtype=np.uint8) for _ in range(8)]
    columns = ["attention", "backend", "p50, p95, p99 ms", "/ stock", "end to end / stock"]
    columns += ["images/s at 32", "J each", "MB"]
    yield f"| {' | '.join(columns)} | machine |"
    yield f"|{' --- |' * (len(columns) + 1)}"
    for name in ("baseline", *DEPLOYED):
        model = copy.deepcopy(stock)
        if name != "baseline":
            target, options = resolve_options(name, {})
            graft(model, Graft(target, options, ("neck",)))
        for backend in (Backend.eager, Backend.compiled, Backend.cuda_graph):
            found = measure(
                model,
                stock,
                LatencyConfig(
                    backend=backend,
                    precision=Precision.fp16,
                    seconds=seconds,
                    max_pairs=100_000,
                    throughput_batches=[32],
                ),
                images=images,
                imgsz=640,
                device=device,
            ).record
            throughput = found["throughput"]["32"]
            cells = [
                name,
                backend,
                ", ".join(f"{found[key]:.2f}" for key in ("p50_ms", "p95_ms", "p99_ms")),
                ratio_text(found),
                ratio_text(found["end_to_end"]),
                f"{throughput.get('images_per_second', float('nan')):.0f}",
                f"{throughput.get('joules_per_image', float('nan')):.3f}",
                f"{found['memory']['peak_mb']:.0f}",
            ]
            yield f"| {' | '.join(cells)} | {machine_text(found) or 'quiet'} |"


def _step(run: Callable[[], Tensor], backward: bool) -> Callable[[], None]:
    def step() -> None:
        with torch.set_grad_enabled(backward):
            out = run()
        if backward:
            out.backward(torch.ones_like(out))

    return step

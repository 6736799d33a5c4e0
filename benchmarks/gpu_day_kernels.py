"""Kernels on a GPU: against a copy, flex_attention, the tiled form and the original; grouped against dense."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from unittest import mock

import torch
from torch import Tensor

from benchmarks.gpu_day_notes import DRY, Notes
from benchmarks.graph_timing import bandwidth, copies_for, seconds_of
from benchmarks.original import UnfoldACmix
from yolo26_attention.attention import acmix_convolution, window_triton_launch
from yolo26_attention.attention.acmix import ACmix
from yolo26_attention.attention.window import reflect_pad, window_attention
from yolo26_attention.attention.window_triton_launch import Tiling

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
HEADS = 4
# Channels and side at each site of yolo26n at 640 px.
SITES = {"p3": (64, 8), "p5": (64, 5)} if DRY else {"p3": (64, 80), "p4": (128, 40), "p5": (256, 20)}
BATCH = 1 if DRY else 16
# Reads and writes of whole maps: q, k, v and the result; backward reads these four and a gradient, and writes three.
MAPS = {"forward": 4, "forward + backward": 12}


def inputs(channels: int, side: int, dtype: torch.dtype, sets: int) -> list[tuple[Tensor, ...]]:
    """Sets of q, k, v and the gradient of the result, channels_last."""
    draw = torch.Generator().manual_seed(0)
    shape = (BATCH, channels, side, side)
    return [
        tuple(
            torch.randn(shape, generator=draw).to(DEVICE, dtype).contiguous(memory_format=torch.channels_last)
            for _ in range(4)
        )
        for _ in range(sets)
    ]


def passes(function: Callable[..., Tensor], given: list[tuple[Tensor, ...]], label: str) -> list[Callable[[], object]]:
    """Calls of a function of q, k and v on each set of inputs: forward alone, or with its backward."""

    def forward(q: Tensor, k: Tensor, v: Tensor, _: Tensor) -> None:
        with torch.no_grad():
            function(q, k, v)

    def both(q: Tensor, k: Tensor, v: Tensor, grad: Tensor) -> None:
        leaves = [x.detach().requires_grad_() for x in (q, k, v)]
        torch.autograd.grad(function(*leaves), leaves, grad)

    call = forward if label == "forward" else both
    return [lambda tensors=tensors: call(*tensors) for tensors in given]


def kernels(notes: Notes) -> None:
    """The kernel at three sites, 16 and 32 bit, windows 3, 7 and 15, beside everything that computes the same."""
    rate = bandwidth()
    notes.row("copy", **{"GB/s": rate / 1e9})
    # The main case first: what is cut off then is the least important.
    cases = [
        (site, dtype, window) for window in (7, 3, 15) for dtype in (torch.float16, torch.float32) for site in SITES
    ]
    for site, dtype, window in cases[:2] if DRY else cases:
        with notes.kept(f"kernels {site} {dtype} window {window}"):
            _case(notes, rate, site, dtype, 3 if DRY else window)
        if window == 7 and dtype == torch.float16 and site == "p3":
            with notes.kept("flex_attention"):
                _flex(notes, site, dtype, window)
            with notes.kept("original"):
                _original(notes, site)
    for site in SITES:
        with notes.kept(f"tilings {site}"):
            _tilings(notes, site, torch.float16, 3 if DRY else 7)


def _case(notes: Notes, rate: float, site: str, dtype: torch.dtype, window: int) -> None:
    channels, side = SITES[site]
    size = BATCH * channels * side**2 * dtype.itemsize
    given = inputs(channels, side, dtype, copies_for(MAPS["forward"] * size, CUDA))
    runs = {name: _window(name, window) for name in ("triton", "tiled")}
    first = [x[:1] for x in given[0][:3]]  # the definition takes long on a CPU
    truth = _window("shifted", window)(*(x.double().cpu() for x in first)) if window <= 7 else None
    for name, run in runs.items():
        if truth is not None:
            error = float((run(*first).double().cpu() - truth).abs().max() / truth.abs().max())
            if error > (1e-5 if dtype == torch.float32 else 5e-3):
                notes.verdict(
                    f"{name} equals the definition at {site}, {dtype}, window {window}", error, "rounding", False
                )
        for label, maps in MAPS.items():
            if name == "tiled" and (window == 15 or (CUDA and label != "forward")):
                continue  # it need not be timed everywhere
            seconds = seconds_of(passes(run, given, label))
            floor = maps * size / rate
            cells = {"site": site, "dtype": str(dtype).removeprefix("torch."), "window": window, "pass": label}
            cells |= {"implementation": name, "microseconds": seconds * 1e6, "of a copy": seconds / floor}
            notes.row("attention kernels", **cells)
            if (name, dtype, window) == ("triton", torch.float16, 3 if DRY else 7):
                met = seconds <= 2 * floor
                notes.verdict(f"kernel / copy, {site}, {label}", f"{seconds / floor:.2f}", "at most 2", met)


def _window(name: str, window: int) -> Callable[..., Tensor]:
    return lambda q, k, v: window_attention(q, k, v, heads=HEADS, window=window, implementation=name)


def _flex(notes: Notes, site: str, dtype: torch.dtype, window: int) -> None:
    """flex_attention in its best form: inputs laid out and padded beforehand; and with what a network must do first."""
    if not CUDA:
        return
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    channels, side = SITES[site]
    padded = side + window - 1

    def in_window(batch, head, query, key):
        row, column = key // padded - query // side, key % padded - query % side
        return (row >= 0) & (row < window) & (column >= 0) & (column < window)

    mask = create_block_mask(in_window, None, None, side**2, padded**2, device=DEVICE)
    compiled = torch.compile(flex_attention)
    tensors = inputs(channels, side, dtype, 1)[0][:3]

    def laid_out(q: Tensor, k: Tensor, v: Tensor) -> list[Tensor]:
        maps = (q, *(reflect_pad(x, window // 2) for x in (k, v)))
        return [x.unflatten(1, (HEADS, -1)).flatten(3).transpose(2, 3).contiguous() for x in maps]

    ready = laid_out(*tensors)
    found = compiled(*ready, block_mask=mask).transpose(2, 3).reshape(BATCH, channels, side, side)
    truth = _window("triton", window)(*tensors)
    error = float((found - truth).abs().max() / truth.abs().max())
    with torch.no_grad():
        alone = seconds_of([lambda: compiled(*ready, block_mask=mask)])
        whole = seconds_of([lambda: compiled(*laid_out(*tensors), block_mask=mask)])
    for form, seconds in (("inputs laid out before", alone), ("with layout and border", whole)):
        notes.row("flex_attention, forward", site=site, form=form, microseconds=seconds * 1e6, difference=error)


def _original(notes: Notes, site: str) -> None:
    """Forward and backward of the original formulation of ACmix beside ours, with their memory."""
    channels, side = SITES[site]
    x = inputs(channels, side, torch.float16, 1)[0][0] if CUDA else inputs(channels, side, torch.float32, 1)[0][0]
    measured = {}
    for name, module in (("ours", ACmix(channels)), ("original", UnfoldACmix(channels))):
        module = module.to(DEVICE, x.dtype).to(memory_format=torch.channels_last)

        def step(module: torch.nn.Module = module) -> None:
            module.zero_grad(set_to_none=True)
            module(x.detach().requires_grad_()).sum().backward()

        step()
        memory = math.nan
        if CUDA:
            torch.cuda.synchronize()
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            step()
            torch.cuda.synchronize()
            memory = (torch.cuda.max_memory_allocated() - before) / 1e6
        measured[name] = seconds_of([step], rounds=3), memory
        notes.row("ACmix", site=site, form=name, milliseconds=measured[name][0] * 1e3, MB=memory)
    faster = measured["original"][0] / measured["ours"][0]
    smaller = measured["original"][1] / measured["ours"][1]
    notes.verdict("ACmix forward + backward, original / ours", f"{faster:.1f}", "at least 30", faster >= 30)
    notes.verdict("ACmix memory, original / ours", f"{smaller:.1f}", "at least 40", smaller >= 40)


@contextmanager
def _tiling(choice: tuple[tuple[int, int], int, int, int]) -> Iterator[None]:
    """Launch every kernel with one tile, elements of a block, warps and stages."""
    tile, block, warps, stages = choice

    def chosen(kernel: str, sizes: window_triton_launch.Sizes) -> Tiling:
        return Tiling(tile, window_triton_launch.block_of(kernel, sizes, tile, block), warps, stages)

    window_triton_launch.plan.cache_clear()
    try:
        with mock.patch.object(window_triton_launch, "tiling_of", chosen):
            yield
    finally:
        window_triton_launch.plan.cache_clear()


def _tilings(notes: Notes, site: str, dtype: torch.dtype, window: int) -> None:
    """Candidates for `window_tiles.json`: the whole forward and the whole forward and backward with each."""
    channels, side = SITES[site]
    given = inputs(channels, side, dtype, 2 if CUDA else 1)
    run = _window("triton", window)
    tiles = [(4, 8), (8, 8)] if DRY else [(4, 4), (2, 8), (4, 8), (8, 8)]
    choices = [(tile, block, warps, 2) for tile in tiles for block, warps in ((32, 2), (32, 4), (64, 4))]
    for choice in [None, *(choices[:2] if DRY else choices)]:
        with notes.kept(f"tiling {choice}"), nullcontext() if choice is None else _tiling(choice):
            times = {label: seconds_of(passes(run, given, label), rounds=10) * 1e6 for label in MAPS}
            cells = {
                "site": site,
                "bits": 8 * dtype.itemsize,
                "channels of a head": channels // HEADS,
                "window": window,
            }
            tile, block, warps, stages = choice or ("by rule", "", "", "")
            cells |= {"rule": choice is None, "tile": tile, "block": block, "warps": warps, "stages": stages}
            notes.row("tilings, microseconds", **cells, **times)


def convolutions(notes: Notes) -> None:
    """ACmix's convolution path as a grouped and as a dense convolution, half precision, channels_last."""
    for site, (channels, _) in SITES.items():
        times = {}
        for form in ("grouped", "dense"):
            for deterministic in (True, False):
                with notes.kept(f"{form} {site}"), torch.backends.cudnn.flags(deterministic=deterministic):
                    forward, both = _convolution(site, form)
                    cells = {"site": site, "form": form, "deterministic": deterministic}
                    cells |= {"forward, us": seconds_of([forward]) * 1e6, "both, us": seconds_of([both]) * 1e6}
                    times[form, deterministic] = cells["both, us"]
                    notes.row("convolution path", **cells)
        if len(times) == 4:
            ratio = times["grouped", True] / times["dense", True]
            notes.row("threshold", site=site, channels=channels, **{"grouped / dense": ratio})


def _convolution(site: str, form: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """The path at a site: its forward, and its forward and backward."""
    channels, side = SITES[site]
    dtype = torch.float16 if CUDA else torch.float32
    path = getattr(acmix_convolution, form)
    x = inputs(channels, side, dtype, 1)[0][0]
    draw = torch.Generator().manual_seed(0)
    weights = [
        (torch.randn(shape, generator=draw) * 0.05).to(DEVICE, dtype).requires_grad_()
        for shape in ((3 * channels, channels), (3 * channels,), (channels // HEADS, HEADS * 9, 3 * HEADS))
    ]

    def forward() -> None:
        with torch.no_grad():
            path(x, *weights, side=3, stride=1, bias=None)

    def both() -> None:
        leaf = x.detach().requires_grad_()
        out = path(leaf, *weights, side=3, stride=1, bias=None)
        torch.autograd.grad(out, [leaf, *weights], torch.ones_like(out))

    return forward, both

"""What the attention kernels need on each card, compiled here without one: python -m benchmarks.compile_table.

Options: cards=[75,80,86,89,90,120] dtypes=[float16,float32] channels=[16,32,64,128] windows=[7]. With the defaults it
takes minutes on one core; Triton keeps what it compiled.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
import triton
from omegaconf import OmegaConf

from benchmarks.compiled_kernels import SHARED, launches, resources
from yolo26_attention.attention.window_triton import MOST_CHANNELS_PER_HEAD


@dataclass
class Options:
    """What to compile."""

    cards: list[int] = field(default_factory=lambda: [75, 80, 86, 89, 90, 120])
    dtypes: list[str] = field(default_factory=lambda: ["float16", "float32"])
    channels: list[int] = field(default_factory=lambda: [16, 32, 64, 128])
    windows: list[int] = field(default_factory=lambda: [7])


def rows(options: Options) -> Iterator[str]:
    """Markdown: registers, spilled bytes, shared memory and warps of every kernel."""
    yield f"Triton {triton.__version__}, torch {torch.__version__}; nothing was run."
    yield ""
    columns = (
        "card",
        "dtype",
        "channels of a head",
        "window",
        "kernel",
        "registers",
        "spilled, B",
        "shared, KiB",
        "warps",
    )
    yield f"| {' | '.join(columns)} | fits |"
    yield f"|{' --- |' * (len(columns) + 1)}"
    for card in options.cards:
        for name in options.dtypes:
            dtype = getattr(torch, name)
            for channels in options.channels:
                if channels > MOST_CHANNELS_PER_HEAD[dtype]:
                    continue
                for window in options.windows:
                    for kernel, launched in launches(card, dtype, channels, window).items():
                        need = resources(card, launched)
                        fits = "yes" if need.shared <= SHARED[card] else "NO"
                        yield (
                            f"| sm_{card} | {name} | {channels} | {window} | {kernel.removesuffix('_kernel')} | "
                            f"{need.registers} | {need.spilled} | {need.shared / 1024:.1f} | {need.warps} | {fits} |"
                        )


def main() -> None:
    options = OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_cli(sys.argv[1:]))
    for row in rows(OmegaConf.to_object(options)):
        print(row, flush=True)


if __name__ == "__main__":
    main()

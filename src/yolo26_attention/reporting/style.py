"""How every picture looks: one size, one set of colours, and SVG with the colours of a light or a dark page."""

import io
import logging
import re
import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito 2008: told apart with any colour vision. Yellow is left out, it vanishes on white.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
INK, MUTED, GRID, PAPER = "#1f2328", "#59636e", "#d8dee4", "#fefefe"
# Their values on a dark page.
DARK = {INK: "#e6e9ec", MUTED: "#a3adb8", GRID: "#39414a", PAPER: "#171b20"}
WIDTH = 5.0  # inches: two abreast on a screen, and still legible at the width of a phone

RC: dict[Any, object] = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.5,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.titlecolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "svg.fonttype": "path",
    "pdf.fonttype": 42,  # TrueType: publishers refuse matplotlib's default, Type 3
    "svg.hashsalt": "attention",  # the same numbers make the same file
}


@dataclass(frozen=True)
class Picture:
    """A picture and what is said about it.

    Attributes:
        key: names its file.
        alt: what one sees, for who does not see it.
    """

    key: str
    title: str
    caption: str
    alt: str
    figure: Figure = field(repr=False, compare=False)

    @property
    def svg(self) -> bytes:
        """The file for a page."""
        return self._files[0]

    @property
    def pdf(self) -> bytes:
        """The file for a paper."""
        return self._files[1]

    @cached_property
    def _files(self) -> tuple[bytes, bytes]:
        """SVG and PDF without a date, so that they change only with the numbers.

        Always in this order: every drawing moves the layout of the next one a little.
        """
        logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells how it makes each font of a PDF smaller
        svg, pdf = io.BytesIO(), io.BytesIO()
        with styled():
            # The first drawing of images with a colour bar lays them out before it knows their size, and clips titles.
            self.figure.draw_without_rendering()
            self.figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
            self.figure.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
        return svg.getvalue(), pdf.getvalue()


def new_figure(height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """An empty figure, so many inches high, and its axes row by row; call it and draw inside `styled`."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False, sharey=rows == 1 and columns > 1).flat)


def folded(label: str, panels: int) -> str:
    """A label in as many lines as it needs above one of several panels abreast."""
    return textwrap.fill(label, max(10, 50 // panels))


def styled() -> AbstractContextManager[None]:
    """The context to draw in."""
    return rc_context(RC)


def legend_above(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """A legend above everything, in as many columns as its longest label leaves room for."""
    columns = max(1, min(3, int(figure.get_figwidth() * 13.5 / (max(map(len, labels)) + 5))))
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, columnspacing=1.2, handletextpad=0.5)


def follow_page(content: bytes) -> bytes:
    """SVG whose ink and grid change with the reader's colour scheme."""
    text = content.decode()
    names = {colour: f"--c{index}" for index, colour in enumerate(DARK)}
    light = "".join(f"{name}:{colour};" for colour, name in names.items())
    dark = "".join(f"{name}:{DARK[colour]};" for colour, name in names.items())
    for colour, name in names.items():
        text = text.replace(colour, f"var({name})")
    style = f"<style>:root{{{light}}}@media (prefers-color-scheme: dark){{:root{{{dark}}}}}</style>"
    return re.sub(r"(<svg [^>]*>)", lambda match: match[1] + style, text, count=1).encode()


def colour_of(index: int) -> str:
    """Colour of the variant at this place of the order; they come round after six, markers and dashes do not."""
    return COLOURS[index % len(COLOURS)]


def marker_of(index: int) -> str:
    """Marker of the variant at this place of the order."""
    return MARKERS[index % len(MARKERS)]


def dashes_of(index: int) -> str:
    """Line style of the variant at this place of the order."""
    return ("-", "--", ":", "-.")[index // len(COLOURS) % 4]

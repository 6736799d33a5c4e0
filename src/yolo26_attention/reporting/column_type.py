"""One column of the comparison."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from yolo26_attention.reporting.cells import Cell
from yolo26_attention.reporting.variant import Variant


@dataclass(frozen=True)
class Column:
    """A column of the comparison.

    Attributes:
        name: under which `columns=` finds it, and its name in CSV.
        header: its title.
        meaning: what the title means, as part of a sentence.
        fill: the cell of a variant.
        latex: the title in LaTeX, where the header is not good enough.
        words: whether it holds text, which is left-aligned.
        mark: whether it holds check marks, which are centred.
        best: which end is the best one, for columns that have one.
        number: the entry of `plain_numbers` that decides which variant is best.
    """

    name: str
    header: str
    meaning: str
    fill: Callable[[Variant], Cell]
    latex: str = ""
    words: bool = False
    mark: bool = False
    best: Literal["highest", "lowest"] | None = None
    number: str = ""

    @property
    def align(self) -> Literal["left", "center", "right"]:
        """Where its cells are."""
        return "left" if self.words else "center" if self.mark else "right"

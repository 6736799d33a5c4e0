"""The specification of a graft: which attention, at which sites, and how it joins them.

A network may have several grafts: a mix. They join in the order in which they are given, and at one site each runs on
the output of the one before it. A network without attention has none.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from yolo26_attention.attention.options import mechanism_of
from yolo26_attention.config.schema import Gate, Mode
from yolo26_attention.detector.placebo_size import Match


@dataclass(frozen=True)
class Graft:
    """One attention and its sites.

    Args:
        target: dotted path of a class called with a site's channels.
        options: keyword arguments of that class.
        sites: names from `find_sites`, or of sets in `yolo26_attention.detector.sites.SETS`.
        seed: seed of the graft's own generator, for its initial values.
        mode: "append" (after the block), "replace" (instead of the block) or "bottleneck" (instead of the 3x3
            convolutions inside the block's bottlenecks).
        gate: "none", or with append "zero": a learned scalar that starts at 0 blends the attention in.
        match: what the class, a Placebo, must match at every place; its sizes are then added to the options.
        called: name of the attention for people; "" for the mechanism's own.
        key: the key of a mix that asks for it, such as `attention.grafts.p3`, for messages; "" outside of a mix.
    """

    target: str
    options: Mapping[str, Any] = field(default_factory=dict)
    sites: tuple[str, ...] = ()
    seed: int = 0
    mode: str = "append"
    gate: str = "none"
    match: Match | None = None
    called: str = ""
    key: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """Name of the attention; without one of its own, that of the mechanism or of the user's class."""
        if self.called:
            return self.called
        if self.match is not None:
            return "placebo"
        return mechanism_of(self.target) or self.target.rpartition(".")[2]

    def option(self, name: str, value: Any) -> str:
        """How the user writes an option of the placement, for messages."""
        return f"{name}={value}" if self.key else f"placement.{name}={value}"

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Add the key of a mix and the mechanism to messages about this graft."""
        try:
            yield
        except ValueError as error:
            if not self.key:
                raise
            raise ValueError(f"{self.key}: {self.name}: {error}") from error


def check_joining(graft: Graft) -> None:
    """Check mode and gate.

    Raises:
        ValueError: if one is unknown, or if they exclude each other.
    """
    for key, value, known in (("mode", graft.mode, Mode), ("gate", graft.gate, Gate)):
        if value not in known.__members__:
            own = f", or write options: {{{key}: {value}}} for an option of {graft.name}" if graft.key else ""
            raise ValueError(
                f"{graft.option(key, value)} is unknown; choose one of {', '.join(known.__members__)}{own}"
            )
    if graft.gate != "none" and graft.mode != "append":
        raise ValueError(
            f"{graft.option('gate', graft.gate)} blends attention into the output of a block, but "
            f"{graft.option('mode', graft.mode)} removes the block; use {graft.option('mode', 'append')}, or "
            f"{graft.option('gate', 'none')}"
        )


def check_order(site: str, earlier: tuple[Graft, ...], graft: Graft) -> None:
    """Check that a graft can follow others at a site: only the first one may remove a part of the stock block.

    Raises:
        ValueError: if it does and is not the first.
    """
    if earlier and graft.mode != "append":
        raise ValueError(
            f"{graft.option('mode', graft.mode)} at site {site} would remove a part of the block that "
            f"{earlier[-1].name} has already joined; put {graft.name} first, or use {graft.option('mode', 'append')}"
        )

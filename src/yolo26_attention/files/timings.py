"""timings.json of a study: what its variants cost, each target timed in one process. Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolo26_attention.files.latency import Latency, Ratio
from yolo26_attention.files.typed import read_file, write_file

# Format of timings.json, with the same rule as for records.
FORMAT = 1
# Options that identify a target; the others say how long and what else was measured there.
WHERE = ("device", "cpu", "backend", "precision", "batch", "imgsz", "threads")


@dataclass(frozen=True)
class TimedVariant:
    """One variant on one target.

    Attributes:
        run: the run whose best.pt was timed.
        latency: against the stock model.
        baseline: label of its baseline; None if it has none.
        to_baseline: ratio of its latency to the baseline's, for the network alone; None if that was not timed, and for
            the baseline itself.
    """

    run: str
    latency: Latency
    baseline: str | None = None
    to_baseline: Ratio | None = None


@dataclass(frozen=True)
class Target:
    """The variants of a study on one machine, with one set of options, timed in turn in one process.

    Attributes:
        options: the resolved latency options, with `device` and `cpu`, the names of the hardware.
        environment: versions and hardware.
        date: when it was measured, in UTC, such as 2026-01-31 12:00.
        variants: by label.
        failed: label of each variant that could not be timed, and why.
    """

    options: dict[str, Any]
    environment: dict[str, Any]
    date: str
    variants: dict[str, TimedVariant]
    failed: dict[str, str] = field(default_factory=dict)

    def is_at(self, options: Mapping[str, Any]) -> bool:
        """Whether it is the target of these options: `WHERE` agrees."""
        return all(self.options.get(key) == options.get(key) for key in WHERE)

    @property
    def runs(self) -> dict[str, str]:
        """The run that was timed for each variant."""
        return {label: timed.run for label, timed in self.variants.items()}


@dataclass(frozen=True)
class Timings:
    """Content of timings.json: targets in the order in which they were first timed."""

    targets: list[Target] = field(default_factory=list)

    def find(self, options: Mapping[str, Any]) -> Target | None:
        """The target of these options; None if it was not timed."""
        return next((target for target in self.targets if target.is_at(options)), None)

    def with_target(self, new: Target) -> "Timings":
        """The timings with a measurement, which takes the place of an earlier one of the same target."""
        if self.find(new.options) is None:
            return Timings([*self.targets, new])
        return Timings([new if target.is_at(new.options) else target for target in self.targets])

    def write(self, path: Path) -> None:
        """Replace the file atomically."""
        write_file(path, self, FORMAT)

    @classmethod
    def read(cls, path: Path) -> "Timings":
        """Read the file; without one, no target was timed.

        Raises:
            NewerFormatError: if a later version of the program wrote it.
            ValueError: if it is damaged.
        """
        return read_file(cls, path, FORMAT) if path.exists() else cls()

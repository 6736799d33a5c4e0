"""windows.json of a study: over how many pixels of its windows ACmix spreads its attention. Free of torch."""

from dataclasses import dataclass, field
from pathlib import Path

from yolo26_attention.files.typed import read_file, write_file

# Format of windows.json, with the same rule as for records.
FORMAT = 1


@dataclass(frozen=True)
class SiteSpread:
    """The attention at one site: over `pixels` of the `window` pixels of a window, on average over heads and images."""

    pixels: float
    window: int


@dataclass(frozen=True)
class Spread:
    """The attention of one trained network: the name of its run, and its sites by name."""

    run: str
    sites: dict[str, SiteSpread]


@dataclass(frozen=True)
class WindowSpreads:
    """Content of windows.json: the network that was looked into of each variant, by label."""

    variants: dict[str, Spread] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "WindowSpreads":
        """Read the file; empty if there is none.

        Raises:
            ValueError: if it is damaged, or of a later version.
        """
        try:
            return read_file(cls, path, FORMAT)
        except FileNotFoundError:
            return cls()

    def write(self, path: Path) -> None:
        """Replace the file atomically."""
        write_file(path, self, FORMAT)

"""What the stand-in was sent: runs with their history and files, artifacts, sweeps and workspaces."""

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class KeptRun:
    """A run, as W&B's client described it.

    Attributes:
        lines: file of the stream (wandb-history.jsonl, ...) to its lines, by their number.
        rewritten: numbers of history lines that came again with another content.
    """

    id: str
    about: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, dict[int, str]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    rewritten: list[int] = field(default_factory=list)
    exit_code: int | None = None
    opened: int = 0

    def stream(self, name: str, offset: int, content: list[str]) -> None:
        """Keep lines of a file from a number on; the summary is one line, which is written anew each time."""
        kept = self.lines.setdefault(name, {})
        for number, line in enumerate(content, offset):
            if name == "wandb-history.jsonl" and kept.get(number, line) != line:
                self.rewritten.append(number)
            kept[number] = line

    def of(self, name: str) -> list[str]:
        """The lines of a file in order; a missing one raises KeyError."""
        kept = self.lines.get(name, {})
        return [kept[number] for number in range(len(kept))]

    @property
    def history(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.of("wandb-history.jsonl")]

    @property
    def epochs(self) -> list[int]:
        return [row["epoch"] for row in self.history if "epoch" in row]

    @property
    def summary(self) -> dict[str, Any]:
        lines = self.of("wandb-summary.json")
        return json.loads(lines[-1]) if lines else {}

    @property
    def config(self) -> dict[str, Any]:
        return {key: entry["value"] for key, entry in json.loads(self.about["config"]).items()}


@dataclass
class Kept:
    """Everything the stand-in was sent.

    Attributes:
        unknown: operations that it has no answer for; a test that leaves one here fails.
    """

    runs: dict[str, KeptRun] = field(default_factory=dict)
    artifacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    sweeps: dict[str, dict[str, Any]] = field(default_factory=dict)
    workspaces: list[dict[str, Any]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def run(self) -> KeptRun:
        """The only run."""
        (run,) = self.runs.values()
        return run

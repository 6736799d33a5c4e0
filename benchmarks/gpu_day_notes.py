"""What a section of benchmarks.gpu_day finds, written row by row so that a section that is cut off keeps its rows."""

import json
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DRY = bool(os.environ.get("GPU_DAY_DRY"))
WORK = Path(os.environ.get("GPU_DAY_WORK", "outputs/gpu-day-work"))


class Notes:
    """Writes rows of tables, one JSON object a line."""

    def __init__(self, file: Path):
        self.file = file

    def row(self, table: str, **cells: Any) -> None:
        """Add a row to a table."""
        with self.file.open("a") as file:
            file.write(json.dumps({"table": table, **cells}, default=str) + "\n")
        print(table, cells, flush=True)

    def verdict(self, question: str, measured: Any, target: str, met: bool) -> None:
        """Add a row to the table of verdicts, which opens the page."""
        self.row("verdicts", question=question, measured=measured, target=target, met=bool(met))

    @contextmanager
    def kept(self, what: str) -> Iterator[None]:
        """Note an error in the block by name and continue after it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  one case that fails must not end the section
            traceback.print_exc()
            self.row("errors", what=what, error=f"{type(error).__name__}: {error}"[:300])

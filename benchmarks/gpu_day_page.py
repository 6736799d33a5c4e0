"""The page of benchmarks.gpu_day: verdicts against their targets, then every section's rows, then what failed."""

from collections.abc import Iterator
from typing import Any, NamedTuple

ERROR_LINES = 15


class Outcome(NamedTuple):
    """What is left of a section."""

    name: str
    state: str  # "done", or what went wrong
    seconds: float
    rows: list[dict[str, Any]]  # each with "table"; those of the table "verdicts" have question, measured, target, met
    log: str


def page(outcomes: list[Outcome], dry: bool) -> str:
    """Markdown."""
    return "\n".join(_lines(outcomes, dry)) + "\n"


def _lines(outcomes: list[Outcome], dry: bool) -> Iterator[str]:
    yield "# The first day on a GPU"
    yield ""
    if dry:
        yield "**Dry: on a CPU, with small sizes, an interpreter and a pretended NVML. No number here says anything.**"
        yield ""
    verdicts = [row for outcome in outcomes for row in outcome.rows if row["table"] == "verdicts"]
    failed = [f"{outcome.name} ({outcome.state})" for outcome in outcomes if outcome.state != "done"]
    verdicts.append(
        {
            "question": "sections that ended well",
            "measured": ", ".join(failed) or "all",
            "target": "all",
            "met": not failed,
        }
    )
    yield from _table([{**row, "met": "yes" if row["met"] else "NO"} for row in verdicts])
    for outcome in outcomes:
        yield ""
        yield f"## {outcome.name}: {outcome.state}, {outcome.seconds:.0f} s"
        for title in dict.fromkeys(row["table"] for row in outcome.rows if row["table"] != "verdicts"):
            yield ""
            yield f"{title}:"
            yield ""
            yield from _table([row for row in outcome.rows if row["table"] == title])
        if outcome.state != "done" and outcome.log.strip():
            yield ""
            yield "```text"
            yield from outcome.log.strip().splitlines()[-ERROR_LINES:]
            yield "```"


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    columns = [key for key in dict.fromkeys(key for row in rows for key in row) if key != "table"]
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(_cell(row.get(column, '')) for column in columns)} |"


def _cell(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")

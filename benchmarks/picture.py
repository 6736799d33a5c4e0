"""docs/terminal.svg, a picture of the README: a real run, recorded from a terminal (`make picture`).

Every line appears as late as it did in the run, in SECONDS altogether. Of a long output the first and the last lines
are drawn, with an ellipsis between them. A reader who wants no motion sees all lines at once.
"""

import os
import pty
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "terminal.svg"
COMMAND = ("attention=acmix", "trainer=debug")
COLUMNS, FIRST, LAST = 112, 14, 30
SECONDS = 20.0  # of the animation
Line = tuple[float, str]  # when it was complete, and its text with colours


def record(arguments: tuple[str, ...], folder: Path) -> list[Line]:
    """Run `python -m src.train` in a terminal of its own; the lines that stay on its screen.

    Raises:
        RuntimeError: if the run fails.
    """
    master, slave = pty.openpty()
    size = {"COLUMNS": str(COLUMNS), "LINES": "40", "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "src.train", *arguments]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, cwd=folder, env=os.environ | size) as run:
        os.close(slave)
        lines, rest, began = [], "", time.perf_counter()
        while chunk := _read(master):
            *complete, rest = (rest + chunk.decode(errors="replace")).split("\n")
            lines += [(time.perf_counter() - began, shown(line, folder)) for line in complete]
    os.close(master)
    if run.returncode:
        raise RuntimeError("\n".join(text for _, text in lines))
    return lines


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # what Linux answers when the other end is closed
        return b""


def shown(line: str, folder: Path) -> str:
    """What stays of a line that was written over, without the folder of this recording."""
    last = line.rstrip("\r").rpartition("\r")[2]
    return re.sub(r"\x1b\[\d*[A-JKST]", "", last).replace(f"{folder.resolve()}/", "").replace(f"{folder}/", "")


def shortened(lines: list[Line]) -> list[Line]:
    """The first and the last lines, without empty lines at the ends."""
    while lines and not lines[-1][1].strip():
        lines = lines[:-1]
    if len(lines) <= FIRST + LAST + 1:
        return lines
    return [*lines[:FIRST], (lines[FIRST][0], "..."), *lines[-LAST:]]


def draw(command: str, lines: list[Line]) -> str:
    """The lines below the command as SVG."""
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="truecolor")
        console.print(Text(f"$ {command}", style="bold green"))
        starts = [0.0]
        for at, text in lines:
            wrapped = Text.from_ansi(text).wrap(console, COLUMNS)
            for part in wrapped:
                console.print(part, no_wrap=True, overflow="crop")
            starts += [at] * len(wrapped)
        svg = console.export_svg(title="yolo26-attention", theme=MONOKAI, unique_id="terminal")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # fonts from elsewhere, which no page here loads
    return _animated(svg, starts)


def _animated(svg: str, starts: list[float]) -> str:
    """The picture with each line appearing at its time."""
    scale = SECONDS / max(starts[-1], 1e-9)
    rules = [
        f".at{index} {{ animation: appear 1ms {start * scale:.2f}s backwards }}" for index, start in enumerate(starts)
    ]
    style = "@keyframes appear { from { opacity: 0 } to { opacity: 1 } }\n" + "\n".join(rules)
    style = f"@media (prefers-reduced-motion: no-preference) {{\n{style}\n}}\n"
    svg = svg.replace("</style>", f"{style}</style>", 1)
    return re.sub(r'(<text class=")([^"]*"[^>]*url\(#terminal-line-(\d+)\))', r"\1at\3 \2", svg)


def main() -> None:
    """Record a run and write its picture."""
    with tempfile.TemporaryDirectory() as folder:
        lines = shortened(record(COMMAND, Path(folder)))
    PICTURE.write_text(draw(f"python -m src.train {' '.join(COMMAND)}", lines), encoding="utf-8")
    print(f"{PICTURE}: {len(lines)} lines of a run of {lines[-1][0]:.0f} s")


if __name__ == "__main__":
    main()

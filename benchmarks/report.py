"""How long `python -m src.report` takes for many records, start to end, beside merely reading their bytes.

python -m benchmarks.report [RECORDS] [SEEDS]
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.fabricate import config_of, write_run

ROUNDS = 5


def read_bytes(output_dir: Path) -> int:
    """Read every record and count their bytes: what no report can do without."""
    return sum(len(path.read_bytes()) for path in output_dir.glob("runs/*/record.json"))


def seconds(function: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main(records: int = 10_000, seeds: int = 5) -> None:
    """Fabricate a study, then read and report it in turns."""
    with tempfile.TemporaryDirectory() as folder:
        output_dir = Path(folder)
        for number in range(records):
            variant, seed = divmod(number, seeds)
            attention = {"name": "acmix", "kernel_att": 2 * variant + 1} if variant else {"name": "baseline"}
            write_run(output_dir, config_of(attention, seed), 0.5 + 1e-5 * variant + 0.01 * (seed % 3), epochs=12)
        command = [sys.executable, "-m", "src.report", "made_up", f"output_dir={folder}"]

        def report() -> None:
            subprocess.run(command, check=True, capture_output=True)

        times = [(seconds(lambda: read_bytes(output_dir)), seconds(report)) for _ in range(ROUNDS + 1)][1:]
        size = read_bytes(output_dir) / 1e6
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    reading, reporting = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"{records:,} records ({size:.0f} MB) of {records // seeds:,} variants, {ROUNDS} rounds in turn")
    print(f"reading their bytes          {reading:6.2f} s (median)")
    print(f"the whole command            {reporting:6.2f} s (median), {reporting / reading:.1f} times as long")
    print(f"processor time of a command  {(used.ru_utime + used.ru_stime) / (ROUNDS + 1):6.2f} s (mean)")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

"""Every fault of tests/faults/, several times, as a table in Markdown.

python -m benchmarks.faults [times]
"""

import os
import re
import sys
import tempfile
from pathlib import Path

from tests.faults import FAULTS

# What else is held by a test of its own.
ELSEWHERE = {
    "state.pt cut short, a bit of it flipped, empty": "tests/training/test_state.py, tests/run/test_runner.py",
    "last.pt of an interrupted run cut short": "tests/run/test_runner.py",
    "data YAML: byte-order mark, tab, UTF-16, empty": "tests/data/test_datasets.py",
    "files that may not grow (RLIMIT_FSIZE)": "tests/run/test_runner.py",
    "a checkpoint, a dotted path or a label cache with code in it": "tests/detector/test_trust.py, here",
    "kill -9 at 20 random moments": "tests/test_chaos.py",
}


def main() -> None:
    """Print the table as it grows; the exit status is 1 if anything happened that was not expected."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    failed = False
    # Ultralytics writes to standard output, too.
    table = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    print("| fault | times | as expected | what happened | lost |\n| --- | --- | --- | --- | --- |", file=table)
    for fault in FAULTS:
        seen = []
        for _ in range(times):
            with tempfile.TemporaryDirectory() as folder:
                seen.append(fault.happens(Path(folder)).replace(folder, ""))
        right = sum(bool(re.search(fault.expected, text, re.DOTALL)) for text in seen)
        failed |= right < times
        said = " ".join(seen[-1].replace("|", "/").split())
        print(f"| {fault.done} | {times} | {right} | {said[:200]} | {fault.lost} |", file=table, flush=True)
    for done, where in ELSEWHERE.items():
        print(f"| {done} |  |  | see {where} |  |", file=table, flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()

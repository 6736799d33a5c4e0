"""Write window_tiles.json from the tilings that benchmarks.gpu_day measured: python -m benchmarks.tune RESULTS.json.

For each size of heads the fastest forward decides the forward kernel, and the fastest backward both backward kernels. A
tiling is written only if it is at least 3 % faster than the rule's, so that noise changes nothing. Entries of other
cards stay.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from yolo26_attention.attention import window_triton_launch

WORTH = 0.97


def fastest(rows: list[dict[str, Any]], cost: str) -> dict[str, Any] | None:
    """The tiling with the lowest cost, unless it is hardly faster than the rule's, whose row has `rule`."""
    best = min(rows, key=lambda row: row[cost])
    rule = next(row for row in rows if row["rule"])
    if best[cost] > WORTH * rule[cost]:
        return None
    return {key: best[key] for key in ("tile", "block", "warps", "stages")}


def entries(results: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Entries of the table from the content of results.json."""
    rows = [row for section in results for row in section["rows"]]
    facts = {row["what"]: row["value"] for row in rows if row["table"] == "machine"}
    major, minor = facts["compute capability"]
    by_size: dict[tuple[int, int, int], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["table"] == "tilings, microseconds":
            size = row["bits"], row["channels of a head"], row["window"]
            by_size[size].append({**row, "backward": row["forward + backward"] - row["forward"]})
    found = {}
    for (bits, channels, window), measured in by_size.items():
        costs = {"forward_kernel": "forward", "query_gradient_kernel": "backward", "key_gradient_kernel": "backward"}
        for kernel, cost in costs.items():
            if (tiling := fastest(measured, cost)) is not None:
                key = f"sm_{major}{minor} {bits}-bit {channels} channels window {window} {kernel}"
                found[key] = tiling
    return found


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    table = window_triton_launch.MEASURED
    kept = json.loads(table.read_text(encoding="utf-8"))
    new = entries(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    table.write_text(json.dumps(dict(sorted({**kept, **new}.items())), indent=1) + "\n", encoding="utf-8")
    print(f"{len(new)} tilings written to {table}")


if __name__ == "__main__":
    main()

"""What a study varies in numbers."""

from yolo26_attention.reporting.comparison import Results
from yolo26_attention.reporting.variant import Variant


def swept_lines(results: Results) -> dict[str, dict[str, list[Variant]]]:
    """For each number that the study varies: its variants in ascending order, by the setting of everything else."""
    variants = [v for v in results.variants if v.scores]
    found: dict[str, dict[str, list[Variant]]] = {}
    for key in dict.fromkeys(key for variant in variants for key in variant.swept):
        lines: dict[str, list[Variant]] = {}
        for variant in variants:
            value = variant.swept.get(key)
            if isinstance(value, int | float) and not isinstance(value, bool):
                rest = [f"{k.split('.')[-1]}={v}" for k, v in variant.swept.items() if k not in (key, "attention")]
                lines.setdefault(" ".join([variant.attention, *rest]), []).append(variant)
        lines = {name: sorted(line, key=lambda v: v.swept[key]) for name, line in lines.items() if len(line) > 1}
        if lines:
            found[key] = lines
    return found

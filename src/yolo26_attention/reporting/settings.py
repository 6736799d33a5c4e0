"""The configuration of a run, as a report shows and compares it."""

from collections.abc import Mapping
from typing import Any

from yolo26_attention.plan.identity import defining

# Where a graft says what it is; all else of a configuration is what it is compared in.
GRAFT_KEYS = ("attention.", "placement.", "placebo.", "optimizer.attention.")


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What defines an experiment apart from its seed, as dotted keys and plain values."""
    flat = flatten({key: value for key, value in defining(config).items() if key != "seed"})
    return {key: value for key, value in flat.items() if not key.endswith("_target_")}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values under dotted keys; lists become p3+p4, and several grafts of one site are numbered."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
            numbered = {key: value[0]} if len(value) == 1 else {f"{key}.{n}": each for n, each in enumerate(value, 1)}
            flat |= flatten(numbered, prefix)
        else:
            flat[prefix + key] = "+".join(map(str, value)) if isinstance(value, list) else value
    return flat

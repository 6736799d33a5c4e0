"""What a configuration's attention is called, and which configurations are the placebo of which."""

from collections.abc import Mapping
from typing import Any

from yolo26_attention.plan.identity import attention_is_mix

NO_OPTIONS = ("name", "_target_")  # of an attention's group: what it is
PLACEBO_OF = "placebo of "


def attention_name(config: Mapping[str, Any]) -> str:
    """The attention, for a placebo what it stands for, and for a mix what stands where: `p3: acmix, p5: cbam + se`."""
    if not attention_is_mix(config):
        return _name(config["attention"], config.get("placebo", {}))
    grafts = config["attention"]["grafts"].items()
    return ", ".join(f"{site}: {' + '.join(_name(entry, entry) for entry in entries)}" for site, entries in grafts)


def stands_for(placebo: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Whether a configuration is the placebo of another: of its attention, with its options, at its sites."""
    if attention_name(placebo) != f"{PLACEBO_OF}{attention_name(config)}":
        return False
    options = {key: value for key, value in config["attention"].items() if key not in NO_OPTIONS}
    matched = placebo["placebo"]["options"] or options  # earlier records have no options where none were given
    return placebo["placement"] == config["placement"] and {**options, **matched} == options


def _name(attention: Mapping[str, Any], placebo: Mapping[str, Any]) -> str:
    name: str = attention["name"]
    return f"{PLACEBO_OF}{placebo['matches']}" if name == "placebo" else name

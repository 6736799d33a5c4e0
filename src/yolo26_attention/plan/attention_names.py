"""What the attention of a configuration is called, and which variants are the placebos of which."""

from collections.abc import Mapping
from typing import Any

from yolo26_attention.plan.identity import attention_is_mix, defining

NO_OPTIONS = ("name", "_target_")  # of an attention's group: what it is
PLACEBO_OF = "placebo of "


def attention_name(config: Mapping[str, Any]) -> str:
    """The attention, for a placebo what it stands for, and for a mix what stands where: `p3: acmix, p5: cbam + se`."""
    if not attention_is_mix(config):
        return _name(config["attention"], config.get("placebo", {}))
    grafts = config["attention"]["grafts"].items()
    return ", ".join(f"{site}: {' + '.join(_name(entry, entry) for entry in entries)}" for site, entries in grafts)


def placebos(configs: Mapping[str, Mapping[str, Any]], baselines: Mapping[str, str | None]) -> dict[str, str]:
    """Return the label of the placebo of every variant that has exactly one, by the variant's label.

    A placebo is compared with the same baseline and differs in nothing but the attention, whose options it matches. A
    variant that others are compared with is a baseline, and no placebo. Where the configuration of a baseline or of
    one of its variants is missing, there is none: the number of variants that a placebo stands for must not change.

    Args:
        configs: resolved configuration of each variant, by label, as far as it is known.
        baselines: label of the baseline of each variant; None where it is not known.
    """
    unknown = {each for label in baselines if label not in configs for each in (label, baselines[label])}
    compared = {label for label in configs if baselines[label] not in {None, label, *unknown}}
    named: dict[str, list[str]] = {}
    for label in compared - {*baselines.values()}:
        named.setdefault(attention_name(configs[label]), []).append(label)
    found = {}
    for label in (label for label in configs if label in compared):
        own = [
            other
            for other in named.get(f"{PLACEBO_OF}{attention_name(configs[label])}", [])
            if baselines[other] == baselines[label] and _matches(configs[other], configs[label])
        ]
        if len(own) == 1:
            found[label] = own[0]
    return found


def _matches(placebo: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Whether a placebo of an attention matches these options of it, and all else is alike."""
    options = {key: value for key, value in config["attention"].items() if key not in NO_OPTIONS}
    matched = placebo["placebo"]["options"] or options  # earlier records have no options where none were given
    return {**options, **matched} == options and _around(placebo) == _around(config)


def _around(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in defining(config).items() if key not in ("attention", "placebo", "seed")}


def _name(attention: Mapping[str, Any], placebo: Mapping[str, Any]) -> str:
    name: str = attention["name"]
    return f"{PLACEBO_OF}{placebo['matches']}" if name == "placebo" else name

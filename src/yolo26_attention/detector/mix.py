"""Read the grafts of a mix: which attention goes to which site, as a user writes it.

    {p3: acmix, c2psa: [se, simam], p5: {name: cbam, kernel_att: 5, mode: replace}}

A key is a site or a set of sites. A value is a name, the dotted path of a class, a mapping with the name, its options
and how it joins, or a list of these, which join in that order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

KEY = "attention.grafts"
PLACEBO = "yolo26_attention.attention.placebo.Placebo"
JOINING = ("mode", "gate")  # keys of an entry about how it joins; the others are options of the attention
MATCHING = ("matches", "options", "by")  # keys of a placebo's entry about the attention that it matches


@dataclass(frozen=True)
class Entry:
    """One attention at one key of a mix.

    Args:
        key: full key of its site or set, such as `attention.grafts.p3`, for messages.
        site: the site or set.
        name: name of the attention.
        target: dotted path of its class; None for a name that has to be looked up.
        options: options of the attention that were given.
        joining: mode and gate, as far as they were given.
        matching: for a placebo, what it matches: `matches`, and perhaps `options` and `by`.
    """

    key: str
    site: str
    name: str
    target: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    joining: Mapping[str, str] = field(default_factory=dict)
    matching: Mapping[str, Any] = field(default_factory=dict)


def attention_groups(attention: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The attention groups of a record: the group itself, or the entries of a mix."""
    grafts = attention.get("grafts") if attention.get("name") == "mix" else None
    if not isinstance(grafts, Mapping):
        return [attention]
    return [entry for entries in grafts.values() for entry in entries]


def read_mix(given: Any) -> list[Entry]:
    """Read a mix, in the order in which it is written.

    Raises:
        ValueError: if it is not of the form above; the message names the site.
    """
    if not isinstance(given, Mapping) or not given:
        raise ValueError(f"{KEY}={given} names no attention; write {KEY}={{p3: acmix, p5: cbam}}")
    entries = []
    for site, values in given.items():
        key = f"{KEY}.{site}"
        listed = values if isinstance(values, list | tuple) else [values]
        if not listed:
            raise ValueError(f"{key}=[] names no attention; leave the site out")
        entries += [_entry(key, str(site), value) for value in listed]
    return entries


def _entry(key: str, site: str, value: Any) -> Entry:
    values = dict(value) if isinstance(value, Mapping) else {"name": value}
    name, target = values.pop("name", None), values.pop("_target_", None)
    if isinstance(name, type) and issubclass(name, nn.Module):
        name = f"{name.__module__}.{name.__qualname__}"
    if target is None and isinstance(name, str) and "." in name:
        target, name = name, name.rpartition(".")[2]
    if name is None and isinstance(target, str):
        name = target.rpartition(".")[2]
    if not isinstance(name, str):
        raise ValueError(f"{key}={value} names no attention; write {key}=acmix, or {key}={{name: acmix, heads: 8}}")
    for recorded in ("source", "matched_source"):  # a record has them
        values.pop(recorded, None)
    joining = {option: str(values.pop(option)) for option in JOINING if option in values}
    if name == "placebo" and target in (None, PLACEBO):
        matching = {option: values.pop(option) for option in MATCHING if option in values}
        if "matches" not in matching:
            raise ValueError(f"{key}: placebo needs what it matches; write {key}={{name: placebo, matches: acmix}}")
        return Entry(key, site, name, PLACEBO, values, joining, matching)
    options = values.pop("options", {})
    if not isinstance(options, Mapping):
        raise ValueError(f"{key}: options={options} is not a set of options; write options: {{kernel_att: 5}}")
    return Entry(key, site, name, target, {**values, **options}, joining)

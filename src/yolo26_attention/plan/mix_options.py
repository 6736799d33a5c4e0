"""A mix as one configuration per attention, so that each is checked as it would be alone, and back again.

A configuration with one attention is the mix of one.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from yolo26_attention.attention.options import ATTENTION_SCHEMAS, resolve_options
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.plain_yaml import as_override
from yolo26_attention.config.run_config import OwnPlaceboConfig, RunConfig, typed_group
from yolo26_attention.config.schema import Gate, Mode, PlaceboConfig
from yolo26_attention.detector.mix import PLACEBO, Entry, read_mix
from yolo26_attention.detector.specification import Graft, check_joining

MIX = "mix"
DEFAULT_SITES = ["neck"]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Part:
    """One attention of a configuration.

    Attributes:
        config: the configuration with this attention alone.
        key: its key in the mix, for messages; "" if there is no mix.
    """

    config: RunConfig
    key: str = ""

    def blamed(self, function: Callable[..., Answer], *arguments: Any) -> Answer:
        """Call a function; its errors name the key of the mix and the attention."""
        try:
            return function(*arguments)
        except ConfigError as error:
            if not self.key:
                raise
            raise ConfigError(f"{self.key}: {self.config.attention['name']}: {error}") from error


def split_mix(config: RunConfig, folders: Sequence[str]) -> list[Part]:
    """The attentions of a configuration, in order; placement.mode and placement.gate hold for those without their own.

    Args:
        config: configuration of a run.
        folders: folders given with -cd, in which attentions are looked up by name.

    Raises:
        ConfigError: with the key of the attention that cannot be read.
    """
    if config.attention.get("name") != MIX:
        return [Part(config)]
    if config.placement.sites != DEFAULT_SITES:
        sites = as_override(config.placement.sites)
        raise ConfigError(f"placement.sites={sites} has no effect on attention=mix; name the sites in attention.grafts")
    try:
        return [_part(config, entry, folders) for entry in read_mix(config.attention.get("grafts"))]
    except (ValueError, OmegaConfBaseException) as error:
        raise ConfigError(str(error).splitlines()[0]) from error


def _part(config: RunConfig, entry: Entry, folders: Sequence[str]) -> Part:
    mode = entry.joining.get("mode", config.placement.mode.value)
    gate = entry.joining.get("gate", config.placement.gate.value)
    joined = Graft(entry.target or "", {}, (entry.site,), 0, mode, gate, called=entry.name, key=entry.key)
    with joined.blamed():
        check_joining(joined)
    placement = replace(config.placement, sites=[entry.site], mode=Mode[mode], gate=Gate[gate])
    placebo = config.placebo
    with _named(entry.key):
        attention = _attention(entry, folders)
        if entry.matching:
            placebo = typed_group(entry.matching, PlaceboConfig)
    return Part(replace(config, attention=attention, placement=placement, placebo=placebo), entry.key)


@contextmanager
def _named(key: str) -> Any:
    try:
        yield
    except (ValueError, OmegaConfBaseException) as error:
        raise ValueError(f"{key}: {str(error).splitlines()[0]}") from error


def _attention(entry: Entry, folders: Sequence[str]) -> Mapping[str, Any]:
    """The attention group that an entry asks for."""
    if entry.target == PLACEBO:
        return {"name": entry.name, "_target_": PLACEBO, "shortcut": True, **entry.options}
    if entry.name in ATTENTION_SCHEMAS:
        target, options = resolve_options(entry.name, entry.options)
        return {"name": entry.name, "_target_": entry.target or target, **options}
    if entry.target is None:
        for folder in folders:
            file = Path(folder) / "attention" / f"{entry.name}.yaml"
            if file.is_file():
                return {**_group_of_user(file), **entry.options}
    target, options = resolve_options(entry.target or entry.name, entry.options)
    return {"name": entry.name, "_target_": target, **options}


def _group_of_user(file: Path) -> dict[str, Any]:
    values = OmegaConf.to_container(OmegaConf.load(file), resolve=True)
    if not isinstance(values, dict):
        raise ValueError(f"{file} is not a set of options; it needs name and _target_")
    if "defaults" in values:
        raise ValueError(f"{file} has a defaults list, which a mix does not read; write its options out")
    return {str(key): value for key, value in values.items()}


def join_mix(config: RunConfig, parts: Sequence[RunConfig], grafts: Sequence[Graft], order: Sequence[str]) -> RunConfig:
    """The configuration of a run from those of its attentions, which are checked.

    Keys of sets become keys of sites in network order, because {p5: a, p3: b} and {p3: b, p5: a} are one experiment.
    A mix of one attention is the configuration of that attention.

    Args:
        config: configuration of the run.
        parts: configurations of its attentions.
        grafts: their grafts, with the sites that the network has.
        order: all sites of these grafts, in network order.
    """
    if not grafts:
        return parts[0]
    there = {site: [n for n, graft in enumerate(grafts) if site in graft.sites] for site in order}
    first = parts[0]
    alike = all((p.attention, p.placebo, p.placement.mode, p.placement.gate) == _about(first) for p in parts)
    if alike and all(len(numbers) == 1 for numbers in there.values()):
        return replace(first, placement=replace(first.placement, sites=list(order)))
    entries = {site: [_entry(parts[number]) for number in numbers] for site, numbers in there.items()}
    placement = replace(config.placement, sites=list(order))
    return replace(config, attention={"name": MIX, "grafts": entries}, placement=placement)


def _about(part: RunConfig) -> tuple[Any, ...]:
    return part.attention, part.placebo, part.placement.mode, part.placement.gate


def _entry(part: RunConfig) -> dict[str, Any]:
    """One attention as an entry of a mix with all of its options."""
    about = {key: value for key, value in part.attention.items() if key in ("name", "_target_", "source")}
    options = {key: value for key, value in part.attention.items() if key not in about}
    entry = {**about, "mode": part.placement.mode.value, "gate": part.placement.gate.value}
    if part.attention["name"] != "placebo":
        return {**entry, "options": options}
    placebo = part.placebo
    matched = {"matches": placebo.matches, "options": placebo.options, "by": placebo.by.value}
    own = {"matched_source": placebo.source} if isinstance(placebo, OwnPlaceboConfig) else {}
    return {**entry, **options, **matched, **own}

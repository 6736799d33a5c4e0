"""Candidates of a search: one value for each key of its space, and the command line that trains it."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from yolo26_attention.attention.options import BASELINE
from yolo26_attention.config.plain_yaml import as_override
from yolo26_attention.search.definition import GRAFTED, SearchFile, is_site
from yolo26_attention.study.definition import as_overrides, with_recipe

NONE = "none"
JOINING = ("mode", "gate")


@dataclass(frozen=True)
class Candidate:
    """One point of the space: for each key, the index of its value. Index 0 is the reference."""

    indices: tuple[int, ...]

    @property
    def changed(self) -> list[int]:
        """Positions of the keys whose value is not the reference."""
        return [position for position, index in enumerate(self.indices) if index]


class Space:
    """The candidates of a search file."""

    def __init__(self, search: SearchFile) -> None:
        self.keys = list(search.space)
        self.values = [search.space[key] for key in self.keys]
        self._common = with_recipe(search.common)
        self._sites = search.sites

    @property
    def reference(self) -> Candidate:
        """The candidate with the first value of every key."""
        return Candidate((0,) * len(self.keys))

    def __iter__(self) -> Iterator[Candidate]:
        return map(Candidate, itertools.product(*(range(len(values)) for values in self.values)))

    def __contains__(self, candidate: Candidate) -> bool:
        return len(candidate.indices) == len(self.keys) and all(
            0 <= index < len(values) for index, values in zip(candidate.indices, self.values, strict=True)
        )

    def single(self, position: int, index: int) -> Candidate:
        """The candidate that differs from the reference in one key only."""
        indices = [0] * len(self.keys)
        indices[position] = index
        return Candidate(tuple(indices))

    def chosen(self, candidate: Candidate) -> dict[str, Any]:
        """The value of each key."""
        return {
            key: self.values[i][index] for i, (key, index) in enumerate(zip(self.keys, candidate.indices, strict=True))
        }

    def label(self, candidate: Candidate) -> str:
        """What differs from the reference, such as `p3=acmix p5=se`; `baseline` for the reference."""
        chosen = self.chosen(candidate)
        named = [f"{self.keys[i]}={as_override(chosen[self.keys[i]])}" for i in candidate.changed]
        return " ".join(named) or BASELINE

    def options(self, candidate: Candidate) -> dict[str, Any]:
        """The options of a candidate, as in a study file."""
        chosen = self.chosen(candidate)
        return self._with_grafts({key: value for key, value in chosen.items() if is_site(key)}, chosen)

    def placebo(self, candidate: Candidate) -> dict[str, Any] | None:
        """The options of a candidate whose attentions are replaced by placebos; None if it has none at a site."""
        chosen = self.chosen(candidate)
        sites = {key: _placebo(value) for key, value in chosen.items() if is_site(key) and value not in (NONE, None)}
        return self._with_grafts(sites, chosen) if sites else None

    def _with_grafts(self, sites: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
        grafts = {site: value for site, value in sites.items() if value not in (NONE, None)}
        options = {**self._common, **{key: value for key, value in chosen.items() if not is_site(key)}}
        if grafts:
            return {"attention": "mix", "attention.grafts": grafts, **options}
        return {"attention": BASELINE, **options} if self._sites else options

    def overrides(self, candidate: Candidate) -> list[str]:
        """The command line of a candidate, without its seed."""
        return as_overrides(self.options(candidate))


def _placebo(value: Any) -> Any:
    """The placebo of what a site has."""
    if isinstance(value, list):
        return [_placebo(each) for each in value]
    if not isinstance(value, dict):
        return {"name": "placebo", "matches": value}
    joining = {key: value[key] for key in JOINING if key in value}
    own = {key: each for key, each in value.items() if key not in (*JOINING, "name", "options")}
    options = {**own, **value.get("options", {})}
    return {"name": "placebo", "matches": value["name"], **({"options": options} if options else {}), **joining}


def costing(space: Space) -> Sequence[Candidate]:
    """The candidates whose latency predicts that of all others: the reference, and those that differ from it once."""
    positions = [i for i, key in enumerate(space.keys) if _changes_network(key)]
    return [space.reference, *(space.single(i, index) for i in positions for index in range(1, len(space.values[i])))]


def _changes_network(key: str) -> bool:
    """Whether the values of a key may differ in latency."""
    return is_site(key) or GRAFTED.match(key) is not None


def predicted_ratio(space: Space, candidate: Candidate, costs: Mapping[str, float]) -> float:
    """The latency of a candidate relative to stock, if what its keys cost adds up.

    Args:
        space: the candidates.
        candidate: any of them.
        costs: measured ratios by label, those of `costing` among them; no others count.
    """
    reference = costs[space.label(space.reference)]
    singles = [
        space.label(space.single(position, candidate.indices[position]))
        for position in candidate.changed
        if _changes_network(space.keys[position])
    ]
    return reference + sum(costs.get(label, reference) - reference for label in singles)

"""A search file: a space of candidates, the budget they must keep, and how the best ones are confirmed.

    question: Where should which attention go, if the network may take at most 1.2 of stock's latency?
    space:
      p3: [none, acmix, se]          # a site: what `attention.grafts` takes, or none
      optimizer: [musgd, adamw]      # or any option of the configuration
    budget: {latency_ratio: 1.2, runs: 40, hours: 8}
    confirm: {top: 3, looks: [3, 5, 10]}

The first value of each list is the reference. Nothing here imports torch.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.plain_yaml import key_of
from yolo26_attention.config.schema import SCHEMAS
from yolo26_attention.files.typed import parse
from yolo26_attention.study.definition import SWEEPS, read_named

SEARCHES = SWEEPS / "searches"
MOST_CANDIDATES = 100_000
# Options that change the network to which the ratio of the latency refers, or that belong to the command.
REFUSED = re.compile(r"(model|data|latency|tracking|seed|study|output_dir|trainer\.imgsz)(\.|$)")
# Options that change the schedule, after whose epochs candidates are ranked; a recipe is one.
SCHEDULE = ("trainer", "trainer.epochs", "trainer.steps", "trainer.time")
OWN = ("seed", "study", "output_dir", "pause")
GRAFTED = re.compile(r"(attention|placement|placebo)(\.|$)")


@dataclass(frozen=True)
class Budget:
    """What the search may spend.

    Attributes:
        latency_ratio: largest latency of a candidate, relative to the stock model.
        runs: number of candidates that start training.
        hours: training time of the search; None for no limit. The confirmation is not part of it.
        at_once: number of candidates that are proposed together, and can be trained at the same time.
    """

    latency_ratio: float
    runs: int
    hours: float | None = None
    at_once: int = 4


@dataclass(frozen=True)
class Confirmation:
    """How the best candidates are confirmed.

    Attributes:
        top: number of candidates.
        looks: numbers of seeds after which the study may be decided.
    """

    top: int = 3
    looks: tuple[int, ...] = (3, 5, 10)


@dataclass(frozen=True)
class SearchFile:
    """Content of a search file.

    Attributes:
        question: the question that it answers.
        space: values of each site and option; the first one is the reference.
        budget: what the search may spend.
        confirm: how the best candidates are confirmed.
        common: options of all runs.
        seed: seed of the search's runs and of its proposals.
    """

    question: str
    space: dict[str, list[Any]]
    budget: Budget
    confirm: Confirmation = Confirmation()
    common: dict[str, Any] = field(default_factory=dict)
    seed: int = 0

    @property
    def sites(self) -> list[str]:
        """The keys of the space that are sites."""
        return [key for key in self.space if is_site(key)]


def is_site(key: str) -> bool:
    """Whether a key of the space is a site, not an option of the configuration."""
    return "." not in key and key not in SCHEMAS


def load_search(name: str) -> SearchFile:
    """Read a search: a name from `sweeps/searches/`, or the path of a YAML file.

    Raises:
        ConfigError: if there is none, or its content does not say what it must.
    """
    path, content = read_named(name, SEARCHES, "search")
    try:
        if not isinstance(content, dict):
            raise ValueError("holds no options by name; see sweeps/searches/ for an example")
        _refuse_unknown(content)
        search = parse(SearchFile, json.dumps(content))
        _check(search)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return search


def refuse_overrides(search: SearchFile, overrides: Sequence[str]) -> None:
    """Refuse an option of all runs that would take the place of what the search chooses.

    Raises:
        ConfigError: naming the option and a way out.
    """
    for override in overrides:
        key = key_of(override)
        if key in search.space:
            raise ConfigError(
                f"{override}: the search chooses {key} itself, from {search.space[key]}; leave it out, or take {key} "
                "out of the space in a search file of your own"
            )
        if search.sites and GRAFTED.match(key):
            raise ConfigError(
                f"{override}: the search chooses the attention at {', '.join(search.sites)} itself; leave it out, or "
                "write it into the values of a site in a search file of your own"
            )


def search_names() -> list[str]:
    """The names of the searches in `sweeps/searches/`."""
    return sorted(path.stem for path in SEARCHES.glob("*.yaml"))


def _refuse_unknown(content: Mapping[str, Any]) -> None:
    for where, given, kind in (
        ("", content, SearchFile),
        ("budget.", content.get("budget"), Budget),
        ("confirm.", content.get("confirm"), Confirmation),
    ):
        known = [each.name for each in fields(kind)]
        for key in given if isinstance(given, dict) else ():
            if key not in known:
                raise ValueError(f"{where}{key} is unknown; there are {', '.join(known)}")


def _check(search: SearchFile) -> None:
    """Refuse a search that cannot be carried out.

    Raises:
        ValueError: with the key, the value and a way out.
    """
    if not search.space:
        raise ValueError("space is empty; write for example p3: [none, acmix, se]")
    for key, values in search.space.items():
        if key in SCHEDULE:
            raise ValueError(
                f"space.{key}: candidates are ranked after the same epochs of one schedule; write {key} into common, "
                "and make a search for each value"
            )
        if key == "pause":
            raise ValueError("space.pause is set by the search; leave it out")
        if REFUSED.match(key):
            raise ValueError(
                f"space.{key}: the latency ratio refers to the stock model of one size on one data set; write {key} "
                "into common, and make a search for each value"
            )
        if len(values) < 2:
            raise ValueError(f"space.{key}={values} leaves nothing to choose; give at least two values")
        if twice := [value for index, value in enumerate(values) if value in values[:index]]:
            raise ValueError(f"space.{key} has {twice[0]} twice; give each value once")
    if search.sites and (clash := [key for key in (*search.space, *search.common) if GRAFTED.match(key)]):
        raise ValueError(f"{clash[0]} and the site {search.sites[0]} both choose the attention; keep one of them")
    if refused := set(OWN) & set(search.common):
        raise ValueError(f"common.{refused.pop()} is set by the search; leave it out")
    count = math.prod(map(len, search.space.values()))
    if count > MOST_CANDIDATES:
        raise ValueError(f"space has {count} candidates, more than {MOST_CANDIDATES}; give fewer values")
    budget, confirm = search.budget, search.confirm
    if not 0 < budget.latency_ratio < math.inf:
        raise ValueError(f"budget.latency_ratio={budget.latency_ratio} is not a ratio above 0, such as 1.2")
    for name, value, least in (
        ("budget.runs", budget.runs, 4),
        ("budget.at_once", budget.at_once, 1),
        ("confirm.top", confirm.top, 1),
    ):
        if value < least:
            raise ValueError(f"{name}={value} must be at least {least}")
    if budget.hours is not None and not 0 < budget.hours < math.inf:
        raise ValueError(f"budget.hours={budget.hours} must be a finite number above 0; leave it out for no limit")
    looks = confirm.looks
    if not looks or looks[0] < 2 or list(looks) != sorted(set(looks)):
        raise ValueError(f"confirm.looks={list(looks)} are not growing numbers of seeds from 2 on, such as [3, 5, 10]")

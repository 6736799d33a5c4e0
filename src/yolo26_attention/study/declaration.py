"""What a study file declares before the first run: seeds, margin, looks, and whether it stops when it is decided."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.plain_yaml import key_of
from yolo26_attention.files.metrics import COMPARED, MAP50_95, PRECISION, RECALL
from yolo26_attention.plan.identity_table import OUT, PROGRAM, TRAINER

if TYPE_CHECKING:
    from yolo26_attention.study.runs import StudyEntry

# The largest difference of the metric that does not matter, unless the study or the report gives another.
MARGIN = 0.005
KEYS = ("seeds", "metric", "margin", "looks", "stop", "repeats")
# Where a data set is found; which one it is, the names of the runs say.
PLACES = ("data.source", "data.download")
# Declared since there was a choice; at their defaults they are no part of the hash.
LATER = ("metric", "repeats")


@dataclass(frozen=True)
class Declaration:
    """How a study is to be answered.

    Attributes:
        seeds: seeds of each variant, in the order of training.
        baseline_seeds: seeds of the baselines, with which every variant is compared.
        margin: the largest difference of the metric that does not matter; None for MARGIN or the report's own.
        looks: numbers of seeds after which the study may be decided; empty for one look at all seeds.
        stop: whether training stops for variants that are decided or can no longer be decided.
        metric: by which variants are compared, one of `files.metrics.COMPARED`.
        repeats: number of seeds with which the baseline is trained a second time, to see how much equal trainings
            differ.
    """

    seeds: tuple[int, ...]
    baseline_seeds: tuple[int, ...]
    margin: float | None = None
    looks: tuple[int, ...] = ()
    stop: bool = False
    metric: str = MAP50_95
    repeats: int = 0

    @property
    def margin_or_default(self) -> float:
        """The declared margin, or MARGIN."""
        return MARGIN if self.margin is None else self.margin

    @property
    def against_placebo(self) -> "Declaration":
        """The same for variants beside their placebo, which has as many seeds as they have."""
        return replace(self, baseline_seeds=self.seeds)

    def seeds_at(self, look: int, baseline: bool) -> tuple[int, ...]:
        """Return the seeds trained when each variant has `look` of them; the baseline has seeds in proportion."""
        if not baseline:
            return self.seeds[:look]
        return self.baseline_seeds[: -(-len(self.baseline_seeds) * look // len(self.seeds))]


def read_declaration(path: str, content: Mapping[str, Any]) -> Declaration:
    """Read the declaration in the content of a study file.

    Raises:
        ConfigError: naming the key, its value and a way out.
    """
    looks = _looks(path, content.get("looks"))
    seeds, baseline = _seeds(path, content.get("seeds"), looks)
    if looks and looks[-1] != len(seeds):
        raise ConfigError(
            f"{path}: looks={list(looks)} end at {looks[-1]} seeds, but there are {len(seeds)}; make them equal, or "
            "leave seeds out"
        )
    metric = content.get("metric", MAP50_95)
    if metric not in COMPARED:
        raise ConfigError(f"{path}: metric={metric}: {metric_hint(metric)}")
    margin, stop = content.get("margin"), content.get("stop", False)
    if margin is not None and not (isinstance(margin, int | float) and 0 < margin < 1):
        raise ConfigError(
            f"{path}: margin={margin}: a difference of {COMPARED[metric]} above 0 and below 1, such as 0.01"
        )
    if not isinstance(stop, bool):
        raise ConfigError(f"{path}: stop={stop}: true or false")
    if stop and not looks:
        raise ConfigError(f"{path}: stop=true needs looks; declare when to look, for example looks: [3, 5, 10]")
    repeats = content.get("repeats", 0)
    most = len(seeds)
    if type(repeats) is not int or not 0 <= repeats <= most:
        raise ConfigError(f"{path}: repeats={repeats}: the number of seeds to repeat, a whole number from 0 to {most}")
    return Declaration(seeds, baseline, margin, looks, stop, metric, repeats)


def declaration_hash(declaration: Declaration, question: str, runs: Sequence["StudyEntry"]) -> str:
    """Return eight digits that change with anything that is declared.

    Args:
        declaration: declaration of the study.
        question: question of the study.
        runs: its runs; their variants, seeds and options count, except options without effect on a training, such as
            where the data are found, the device, the tracking and the timing.
    """
    values = {field.name: (getattr(declaration, field.name), field.default) for field in fields(Declaration)}
    declared = {key: value for key, (value, default) in values.items() if key not in LATER or value != default}
    kept = [[run.variant, run.seed, list(filter(_has_effect, run.overrides))] for run in runs]
    return hashlib.sha256(json.dumps([declared, question, kept]).encode()).hexdigest()[:8]


def _has_effect(override: str) -> bool:
    key = key_of(override)
    group, _, option = key.partition(".")
    of_trainer = TRAINER.get(option) if group == "trainer" else None
    return key not in PLACES and OUT not in (PROGRAM.get(group), of_trainer)


def metric_hint(metric: Any) -> str:
    """What to write instead of a metric that no study is compared by."""
    hint = f"choose {', '.join(COMPARED)}"
    if metric in (PRECISION, RECALL):
        return f"it depends on a confidence that is chosen on the same images; {hint}"
    return hint


def parse_seeds(value: Any) -> tuple[int, ...]:
    """Parse seeds from 5, [0, 1, 2], "0,1,2", "[0,1,2]" or "0..9" (both ends included).

    Raises:
        ConfigError: for anything else, and for a seed given twice.
    """
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    text = text.strip().removeprefix("[").removesuffix("]")
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:\.\.(\d+))?\s*", part)
        if match is None or (match[2] is not None and int(match[2]) < int(match[1])):
            raise ConfigError(f"seeds={value}: give whole numbers as 0,1,2 or 0..9")
        seeds += range(int(match[1]), int(match[2] or match[1]) + 1)
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds={value}: a seed is there twice, which would be the same run")
    return tuple(seeds)


def _seeds(path: str, value: Any, looks: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Seeds of the variants and of the baselines."""
    if value is None and looks:
        value = f"0..{looks[-1] - 1}"
    if not isinstance(value, Mapping):
        seeds = parse_seeds(value)
        return seeds, seeds
    if set(value) != {"baseline", "others"}:
        raise ConfigError(f"{path}: seeds={dict(value)}: give baseline and others, such as {{baseline: 6, others: 3}}")
    own, baseline = (_counted(path, value[key]) for key in ("others", "baseline"))
    if not set(own) <= set(baseline):
        raise ConfigError(
            f"{path}: seeds={dict(value)}: the baseline needs every seed of the others, and may have more"
        )
    return own, (*own, *(seed for seed in baseline if seed not in own))


def _counted(path: str, value: Any) -> tuple[int, ...]:
    """Seeds of one kind of variant; a number n stands for the seeds 0 to n - 1."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise ConfigError(f"{path}: seeds of {value}; give at least one")
        return tuple(range(value))
    return parse_seeds(value)


def _looks(path: str, value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    way_out = "give increasing numbers of seeds from 2 on, such as [3, 5, 10], or each 3..12"
    if isinstance(value, str) and (each := re.fullmatch(r"each\s+(\d+)\.\.(\d+)", value.strip())):
        value = list(range(int(each[1]), int(each[2]) + 1))
    if not isinstance(value, list) or not all(type(look) is int for look in value) or not value:
        raise ConfigError(f"{path}: looks={value}: {way_out}")
    if value[0] < 2 or any(a >= b for a, b in pairwise(value)):
        raise ConfigError(f"{path}: looks={value}: {way_out}")
    return tuple(value)

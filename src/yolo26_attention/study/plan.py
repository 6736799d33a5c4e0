"""Every run of a study, composed, checked by building its model, and named, before the first one starts."""

import copy
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra import compose
from omegaconf import DictConfig

from yolo26_attention.compat.hydra import apply_overrides
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.hydra_errors import config_errors
from yolo26_attention.config.registration import run_config
from yolo26_attention.config.run_config import RunConfig
from yolo26_attention.files.folder import OutputFolder
from yolo26_attention.files.record import Record
from yolo26_attention.plan.identity import defining
from yolo26_attention.study.definition import Point
from yolo26_attention.study.runs import StudyEntry


@dataclass(frozen=True)
class PlannedRun:
    """A point with the run that it stands for, or with the reason why it cannot be run.

    Args:
        point: of the study.
        config: its configuration; None if it does not compose.
        run: name of the run's folder; None if it cannot be run.
        refusal: why not.
        notes: what one should know about its data set, and of a run of an earlier version, a line each.
    """

    point: Point
    config: RunConfig | None
    run: str | None
    refusal: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def entry(self) -> StudyEntry:
        """The run as study.json has it."""
        point = self.point
        return StudyEntry(
            run=self.run or "",
            variant=point.variant,
            seed=point.seed,
            overrides=point.overrides,
            swept=dict(point.swept),
            baseline=point.baseline,
        )


class Composer:
    """Composes many configurations that mostly agree.

    What picks a group's option is composed by Hydra once; plain values are then set by the very function with which
    Hydra sets them. Composing each point anew takes Hydra a tenth of a second.
    """

    def __init__(self, shared: Sequence[str] = ()) -> None:
        """Keep overrides that go before all others, such as Hydra's own."""
        self._shared = list(shared)
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def __call__(self, overrides: Sequence[str]) -> RunConfig:
        """The configuration of overrides.

        Raises:
            ConfigError: if Hydra refuses the overrides.
        """
        values = [override for override in overrides if "." in override.split("=")[0] and override[0].isalpha()]
        groups = tuple(override for override in overrides if override not in values)
        with config_errors(overrides):
            if groups not in self._composed:
                self._composed[groups] = compose("config", [*self._shared, *groups])
            config = copy.deepcopy(self._composed[groups])
            apply_overrides(config, values)
            return run_config(config)


def plan_runs(points: Iterable[Point], compose_point: Callable[[Sequence[str]], RunConfig]) -> list[PlannedRun]:
    """Compose and check every point; what seeds and points share is done once.

    Args:
        points: of a study.
        compose_point: gives the configuration of overrides.
    """
    from yolo26_attention.plan.checks import Checker  # imports torch

    checker = Checker()
    composed: dict[tuple[str, ...], RunConfig | ConfigError] = {}
    planned = []
    for point in points:
        config = None
        try:
            if point.settings not in composed:
                composed[point.settings] = _composed(compose_point, point.settings)
            found = composed[point.settings]
            if isinstance(found, ConfigError):
                raise found
            config = replace(found, seed=point.seed)
            plan = checker.check(config)
            notes = (*plan.dataset.notes, *([plan.remark] if plan.remark else []))
            planned.append(PlannedRun(point, config, plan.folder.name, notes=notes))
        except ConfigError as error:
            planned.append(PlannedRun(point, config, None, str(error)))
    return planned


def _composed(compose_point: Callable[[Sequence[str]], RunConfig], settings: Sequence[str]) -> RunConfig | ConfigError:
    try:
        return compose_point(settings)
    except ConfigError as error:
        return error


def refusals(planned: Sequence[PlannedRun]) -> list[str]:
    """One line for each variant that cannot be run, whatever its number of seeds."""
    reasons: dict[tuple[str, str], list[int]] = {}
    for run in planned:
        if run.refusal is not None:
            reasons.setdefault((run.point.variant, run.refusal), []).append(run.point.seed)
    return [f"impossible: {variant}: {reason}" for variant, reason in reasons]


def measured_elsewhere(output_dir: Path, planned: Sequence[PlannedRun]) -> list[float]:
    """Seconds of finished runs whose model, data and training are those of a planned one."""
    wanted = {_training(run.config.plain()) for run in planned if run.config is not None}
    seconds = []
    for folder in OutputFolder(output_dir).recorded():
        try:
            record = Record.read(folder)
        except ValueError:
            continue  # it belongs to no study that can be planned
        if record is not None and record.status == "finished" and record.attempts == 1:
            if _training(record.config) in wanted:
                seconds.append(record.seconds)
    return seconds


def _training(config: Mapping[str, Any]) -> str:
    """What decides on how long a training takes, apart from the attention and the machine."""
    return json.dumps([config["model"]["name"], config["data"], defining(config)["trainer"]], sort_keys=True)

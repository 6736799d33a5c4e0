"""Composes, checks and names every run of a study before the first one starts."""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hydra import compose
from omegaconf import DictConfig

from yolo26_attention.compat.hydra import apply_overrides
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.hydra_errors import config_errors
from yolo26_attention.config.registration import run_config
from yolo26_attention.config.run_config import RunConfig
from yolo26_attention.files.folder import OutputFolder
from yolo26_attention.plan.once import once
from yolo26_attention.study.definition import Point
from yolo26_attention.study.expectation import finished_records, training_of
from yolo26_attention.study.runs import StudyEntry


@dataclass(frozen=True)
class PlannedRun:
    """A point with its run, or with the reason why it cannot be run.

    Args:
        point: point of the study.
        config: its configuration; None if it does not compose.
        run: name of the run's folder; None if it cannot be run.
        refusal: the reason.
        notes: notes on its data set and on a run of an earlier version, one line each.
        device: what it would be trained on here; None if it cannot be run.
    """

    point: Point
    config: RunConfig | None
    run: str | None
    refusal: str | None = None
    notes: tuple[str, ...] = ()
    device: str | None = None

    @property
    def entry(self) -> StudyEntry:
        """Its entry in study.json."""
        point = self.point
        return StudyEntry(
            run=self.run or "",
            variant=point.variant,
            seed=point.seed,
            overrides=point.overrides,
            swept=dict(point.swept),
            baseline=point.baseline,
            components=None if point.components is None else list(point.components),
        )


class Composer:
    """Composes many configurations that mostly agree.

    What picks a group's option is composed by Hydra once; plain values are then set by the very function with which
    Hydra sets them. Composing each point anew takes Hydra a tenth of a second.
    """

    def __init__(self, shared: Sequence[str] = ()) -> None:
        """Store the overrides that precede all others, such as Hydra's own."""
        self._shared = list(shared)
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def __call__(self, overrides: Sequence[str]) -> RunConfig:
        """Compose the configuration of some overrides.

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
    """Compose and check every point; steps that seeds and points share run once.

    Args:
        points: points of a study.
        compose_point: composes the configuration of some overrides.
    """
    from yolo26_attention.plan.checks import Checker  # imports torch
    from yolo26_attention.run.environment import device_name

    checker, composed = Checker(), once(compose_point)
    planned = []
    for point in points:
        config = None
        try:
            config = replace(composed(point.settings), seed=point.seed)
            plan = checker.check(config)
            notes = (*plan.dataset.notes, *([plan.remark] if plan.remark else []))
            name, device = plan.folder.name, device_name(plan.device)
            planned.append(PlannedRun(point, config, name, notes=notes, device=device))
        except ConfigError as error:
            planned.append(PlannedRun(point, config, None, str(error)))
    return planned


def refusals(planned: Sequence[PlannedRun]) -> list[str]:
    """Describe each reason for which variants cannot be run in one line, whatever their number of seeds."""
    variants = list(dict.fromkeys(run.point.variant for run in planned))
    reasons: dict[str, list[str]] = {}
    for variant, line in dict.fromkeys(
        (run.point.variant, line) for run in planned for line in (run.refusal or "").splitlines()
    ):
        reasons.setdefault(line, []).append(variant)
    return [
        f"impossible: {variant}: {line}"
        for line, refused in reasons.items()
        for variant in (["every variant"] if refused == variants and len(variants) > 1 else refused)
    ]


def impossible(planned: Sequence[PlannedRun]) -> list[str]:
    """The labels of the variants that cannot be run with some seed."""
    return list(dict.fromkeys(run.point.variant for run in planned if run.refusal is not None))


def same_runs(planned: Sequence[PlannedRun]) -> list[str]:
    """Name the variants that are the same configuration, and therefore compare a network with itself."""
    variants: dict[str, list[str]] = {}
    for run in planned:
        if run.run is not None and run.point.variant not in variants.setdefault(run.run, []):
            variants[run.run].append(run.point.variant)
    return [
        f"note: {' and '.join(names)} are the same configuration, so they share their runs and differ in nothing"
        for names in dict.fromkeys(tuple(found) for found in variants.values() if len(found) > 1)
    ]


def measured_elsewhere(output_dir: Path, planned: Sequence[PlannedRun]) -> list[float]:
    """Return the seconds of finished runs with the model, data, training and device of a planned run."""
    wanted = {(training_of(run.config.plain()), run.device) for run in planned if run.config is not None}
    folders = OutputFolder(output_dir).recorded()
    return [
        record.seconds
        for record in finished_records(folders)
        if (training_of(record.config), record.environment.get("device")) in wanted
    ]

"""What a study sends to Weights & Biases beside its runs: its report, its sweep and its workspace."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from yolo26_attention.config.schema import TrackingConfig
from yolo26_attention.plan.tracking_options import MOST_NAME
from yolo26_attention.run.wandb_names import artifact_name
from yolo26_attention.run.wandb_run import open_tracker


def create_sweep(definition: Mapping[str, Any], project: str, entity: str | None) -> str:
    """Create a sweep on the server; returns its path for `wandb agent`."""
    import wandb

    sweep_id = wandb.sweep(dict(definition), project=project, entity=entity)
    return "/".join(part for part in (entity, project, sweep_id) if part)


def log_report(
    options: TrackingConfig, study: str, report: Path, folder: Path, points: Iterable[Mapping[str, float]] = ()
) -> str:
    """Log a study's report in the study's group: its folder as an artifact, and the swept values as a history.

    Args:
        options: the `tracking` group of the study's runs.
        study: name of the study.
        report: folder with the report's files.
        folder: as for `open_tracker`.
        points: numbers to log together, so that a plot can have one of them as its axis.

    Returns:
        The command that uploads it, or the artifact's name.
    """
    name = artifact_name(f"report-{study}", MOST_NAME - 11)
    with open_tracker(
        options,
        run_id=f"{name}-{int(time.time())}",
        name=name,
        group=study,
        tags=["report"],
        config={"study": study},
        folder=folder,
        job_type="report",
    ) as tracker:
        tracker.log(points)
        tracker.upload(report, name, "report")
        place = tracker.folder
    if tracker.lost is not None:
        return f"nowhere ({tracker.lost})"
    return f"wandb sync {place}" if options.mode == "offline" else f"artifact {name}"


def save_workspace(workspace: Any) -> str:
    """Save a wandb_workspaces Workspace on the server; returns its address.

    Raises:
        RuntimeError: if the server is unreachable or refuses, with the reason and a way out.
    """
    import wandb

    try:
        address: str = workspace.save().url
    except (wandb.Error, ValueError) as error:
        raise RuntimeError(
            f"the dashboard could not be saved ({error}); is this machine logged in (wandb login)?"
        ) from error
    return address

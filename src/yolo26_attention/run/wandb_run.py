"""Weights & Biases: one W&B run for each of our runs, opened and closed by one `with`."""

import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from yolo26_attention.config.schema import TrackingConfig
from yolo26_attention.plan.tracking_options import INSTEAD, MOST_NAME
from yolo26_attention.run.wandb_journal import Tracker
from yolo26_attention.run.wandb_names import fitting_tag, shorten

log = logging.getLogger(__name__)
# How long a run that ends waits for a server that does not answer; W&B's own default is hours. WANDB_FINISH_TIMEOUT
# takes precedence.
FINISH_SECONDS = 600


class TrackingUnavailableError(RuntimeError):
    """The server is unreachable or refuses; the message says what to do."""


@contextmanager
def open_tracker(
    options: TrackingConfig,
    *,
    run_id: str,
    name: str,
    group: str,
    tags: list[str],
    config: Mapping[str, Any],
    folder: Path,
    job_type: str = "train",
) -> Iterator[Tracker]:
    """Open the W&B run of a run; an exception inside the block marks it as failed.

    Args:
        options: the `tracking` group.
        run_id: ID in W&B, the same for a resumed run. Offline runs cannot be resumed: the files of an earlier process
            under this ID are removed, and the caller must log the whole journal again.
        name: name in W&B's table.
        group: the study.
        tags: tags to filter by.
        config: the resolved configuration as plain values.
        folder: W&B writes to `folder`/wandb, the same for all runs, so that one `wandb sync` uploads them.
        job_type: purpose of the run: train or report.

    Raises:
        TrackingUnavailableError: if the server is unreachable or refuses (mode online). Offline, the run continues
            without W&B, and `lost` of the tracker gives the reason.
    """
    if options.mode == "disabled":
        yield Tracker()
        return
    import wandb

    for earlier in (folder / "wandb").glob(f"*run-*-{run_id}"):
        shutil.rmtree(earlier)
    if not os.environ.get("WANDB_SWEEP_ID"):
        for variable in INSTEAD:
            os.environ.pop(variable, None)  # `follow_environment` has logged that it is ignored
    try:
        tracker = Tracker(
            wandb.init(
                mode=options.mode.value,
                resume="allow" if options.mode == "online" else None,
                project=options.project,
                entity=options.entity,
                id=run_id,
                name=shorten(name, MOST_NAME),
                group=group,
                job_type=job_type,
                tags=list(dict.fromkeys([*map(fitting_tag, tags), *options.tags])),
                config=dict(config),
                dir=str(folder),
                settings=_settings(),
            )
        )
    except Exception as error:
        if options.mode == "online":
            reason = " ".join(str(error).split())
            raise TrackingUnavailableError(
                f"tracking.mode=online: Weights & Biases could not begin the run ({reason}); {_way_out(reason)}, or "
                "tracking=offline"
            ) from error
        log.warning("Weights & Biases could not begin the run, which continues without it", exc_info=True)
        tracker = Tracker(lost=f"{type(error).__name__}: {error}")
    if tracker.address is not None:
        log.info("Weights & Biases: %s", tracker.address)
    try:
        yield tracker
    except BaseException:
        tracker.close(failed=True)
        raise
    tracker.close()


def _settings() -> Any:
    """W&B's settings of every run."""
    import wandb

    # The URL of a git remote may contain a token, and a patch anything; the record has the commit.
    settings = wandb.Settings(console="off", save_code=False, silent=True, disable_git=True, finish_timeout_raises=True)
    if "WANDB_FINISH_TIMEOUT" not in os.environ:
        settings.finish_timeout = FINISH_SECONDS
    return settings


def _way_out(reason: str) -> str:
    refused = "error 401" in reason
    return "the API key is refused: wandb login --relogin" if refused else "check login and network"

"""Apply W&B's environment variables, and refuse options that W&B would refuse, before anything is trained."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.plain_yaml import key_of
from yolo26_attention.config.schema import TrackingConfig, TrackingMode

log = logging.getLogger(__name__)
# W&B's client refuses longer tags, its server longer names of projects, groups and runs.
MOST_TAG = 64
MOST_NAME = 128
# W&B's variables that replace an option left at its default.
VARIABLES = {"project": "WANDB_PROJECT", "entity": "WANDB_ENTITY", "tags": "WANDB_TAGS"}
MODES = {
    **{mode.value: mode for mode in TrackingMode},
    "run": TrackingMode.online,
    "dryrun": TrackingMode.offline,
}
TRUE = {"1", "true", "yes", "on"}
# W&B's variables whose value this program takes from the configuration instead.
INSTEAD = {
    "WANDB_DIR": "W&B writes into output_dir",
    "WANDB_NAME": "a run is named after its configuration",
    "WANDB_RUN_ID": "a run's id follows from its configuration",
    "WANDB_RUN_GROUP": "the group is study",
    "WANDB_JOB_TYPE": "it is train or report",
    "WANDB_RESUME": "a restarted run resumes by itself",
    "WANDB_RESUME_FROM": "a restarted run resumes by itself",
    "WANDB_FORK_FROM": "a restarted run resumes by itself",
}


def follow_environment(
    options: TrackingConfig, given: Sequence[str], environ: Mapping[str, str] = os.environ
) -> TrackingConfig:
    """Return the `tracking` group with options at their default replaced by W&B's environment variables.

    The command line and values other than the default take precedence over the environment; conflicts are
    logged.

    Args:
        options: the group.
        given: command-line overrides.
        environ: the environment.

    Raises:
        ConfigError: if WANDB_MODE is unknown.
    """
    keys = set(map(key_of, given))
    wanted: dict[str, tuple[str, Any]] = {}
    followed: dict[str, Any] = {}
    if (mode := _mode(environ)) is not None:
        wanted["mode"] = mode
    # The agent of a W&B sweep sets where its runs belong, and `wandb.init` follows it.
    agent = bool(environ.get("WANDB_SWEEP_ID"))
    for option, variable in VARIABLES.items():
        if (text := environ.get(variable)) and not agent:
            wanted[option] = (variable, text.split(",") if option == "tags" else text)
    default = TrackingConfig()
    for option, (variable, value) in wanted.items():
        here = getattr(options, option)
        explicit = f"tracking.{option}" in keys or here != getattr(default, option)
        if here == value:
            continue
        if explicit or (option == "mode" and "tracking" in keys):
            log.warning(
                "%s=%s is ignored, as tracking.%s=%s is given",
                variable,
                environ[variable],
                option,
                here,
            )
        else:
            log.info("tracking.%s=%s, as %s says", option, value, variable)
            followed[option] = value
    options = replace(options, **followed)
    if options.mode != "disabled" and not agent:
        for variable in INSTEAD:
            if environ.get(variable):
                log.warning("%s=%s is ignored: %s", variable, environ[variable], INSTEAD[variable])
    return options


def _mode(environ: Mapping[str, str]) -> tuple[str, TrackingMode] | None:
    """The variable that sets a mode, and the mode."""
    if environ.get("WANDB_DISABLED", "").lower() in TRUE:
        return "WANDB_DISABLED", TrackingMode.disabled
    name = environ.get("WANDB_MODE", "")
    if not name:
        return None
    if name.lower() not in MODES:
        modes = ", ".join(TrackingMode)
        raise ConfigError(f"WANDB_MODE={name} is unknown; unset it, or choose one of {modes}")
    return "WANDB_MODE", MODES[name.lower()]


def check_tracking(options: TrackingConfig, study: str, output_dir: Path) -> None:
    """Refuse options that W&B would refuse when the run begins.

    Args:
        options: the `tracking` group, after `follow_environment`.
        study: group in W&B.
        output_dir: W&B writes to `output_dir`/wandb.

    Raises:
        ConfigError: naming the key, the value and a way out.
    """
    if options.mode == "disabled":
        return
    wandb = _import_wandb(options.mode)
    for key, name in (("tracking.project", options.project), ("study", study)):
        if not name.strip() or len(name) > MOST_NAME:
            raise ConfigError(
                f"{key}={name} has {len(name)} characters, but Weights & Biases takes names of 1 to {MOST_NAME}; "
                "choose another, or tracking=disabled"
            )
    for tag in options.tags:
        if not tag.strip() or len(tag) > MOST_TAG:
            raise ConfigError(
                f"tracking.tags: {tag!r} has {len(tag)} characters, but Weights & Biases takes tags of 1 to "
                f"{MOST_TAG}; choose a shorter one"
            )
    entity = options.entity
    if entity is not None and (not entity or set(entity) & set(" \t/\\#?%:")):
        raise ConfigError(f"tracking.entity={entity} is not a user or team name; use the one in your W&B address")
    try:
        settings = wandb.Settings(project=options.project, entity=entity, run_group=study, run_tags=options.tags)
        if address := os.environ.get("WANDB_BASE_URL"):
            settings.base_url = address
    except (ValueError, wandb.Error) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"tracking.project={options.project}: Weights & Biases refuses its settings ({reason}); change them, "
            "or tracking=disabled"
        ) from error
    folder = output_dir / "wandb"
    if os.path.lexists(folder) and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise ConfigError(
            f"output_dir={output_dir}: its wandb is not a writable folder, and Weights & Biases would write to "
            "a temporary one; move it away, or tracking=disabled"
        )
    if options.mode == "online":
        _check_key(settings.base_url)


def _import_wandb(mode: str) -> ModuleType:
    try:
        import wandb
    except (ImportError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"tracking.mode={mode} needs wandb, which cannot be imported ({error}); install it with: "
            "pip install -e '.', or tracking=disabled"
        ) from error
    if not (hasattr(wandb, "init") and hasattr(wandb, "Settings")):  # a folder named wandb imports, too
        raise ConfigError(
            f"tracking.mode={mode} needs wandb, but {list(wandb.__path__)} is another module of that name; install "
            "it with: pip install -e '.', or tracking=disabled"
        )
    return wandb


def _check_key(address: str) -> None:
    """Refuse to log to a server without a key: W&B would prompt for one and wait."""
    from wandb.errors import AuthenticationError
    from wandb.sdk.lib.wbauth import check_api_key, read_netrc_auth

    if os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return
    problem: str | None = "there is none in WANDB_API_KEY or ~/.netrc"
    try:
        if key := os.environ.get("WANDB_API_KEY") or read_netrc_auth(host=address):
            problem = check_api_key(key)
    except AuthenticationError as error:
        problem = str(error)
    if problem:
        raise ConfigError(
            f"tracking.mode=online needs an API key for {address} ({problem}); log in with: wandb login, or "
            "tracking=offline"
        )

"""What Weights & Biases would refuse, and what the environment asks of it, before anything is trained."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.schema import TrackingConfig, TrackingMode

log = logging.getLogger(__name__)
# W&B's client refuses longer tags, its server longer names of projects, groups and runs.
MOST_TAG = 64
MOST_NAME = 128
# W&B's variables that take the place of an option which nobody gave.
VARIABLES = {"project": "WANDB_PROJECT", "entity": "WANDB_ENTITY", "tags": "WANDB_TAGS"}
MODES = {"online": "online", "run": "online", "offline": "offline", "dryrun": "offline", "disabled": "disabled"}
TRUE = {"1", "true", "yes", "on"}
# W&B's variables that say what follows from the configuration here.
INSTEAD = {
    "WANDB_DIR": "W&B writes into output_dir",
    "WANDB_NAME": "a run is named after its configuration",
    "WANDB_RUN_ID": "a run's id follows from its configuration",
    "WANDB_RUN_GROUP": "the group is study",
    "WANDB_JOB_TYPE": "it is train or report",
    "WANDB_RESUME": "a run that is started again goes on by itself",
    "WANDB_RESUME_FROM": "a run that is started again goes on by itself",
    "WANDB_FORK_FROM": "a run that is started again goes on by itself",
}


def follow_environment(
    options: Mapping[str, Any], given: Sequence[str], environ: Mapping[str, str] = os.environ
) -> dict[str, Any]:
    """The `tracking` group with W&B's own environment variables in place of what is left at its default.

    What the command line gives, or a value other than the default, stands above the environment; where the two
    differ, the log says so.

    Args:
        options: the group as plain values.
        given: overrides of the command line.
        environ: the environment.

    Raises:
        ConfigError: for a WANDB_MODE that does not exist.
    """
    followed = dict(options)
    keys = {override.partition("=")[0].lstrip("+~") for override in given}
    wanted: dict[str, tuple[str, Any]] = {}
    if (mode := _mode(environ)) is not None:
        wanted["mode"] = mode
    # An agent of a W&B sweep says where its runs belong: `wandb.init` follows it.
    agent = bool(environ.get("WANDB_SWEEP_ID"))
    for option, variable in VARIABLES.items():
        if (text := environ.get(variable)) and not agent:
            wanted[option] = (variable, text.split(",") if option == "tags" else text)
    defaults = _defaults()
    for option, (variable, value) in wanted.items():
        explicit = f"tracking.{option}" in keys or options[option] != defaults[option]
        if options[option] == value:
            continue
        if explicit or (option == "mode" and "tracking" in keys):
            log.warning(
                "%s=%s is not followed, as tracking.%s=%s is given",
                variable,
                environ[variable],
                option,
                options[option],
            )
        else:
            log.info("tracking.%s=%s, as %s says", option, value, variable)
            followed[option] = value
    if followed["mode"] != "disabled" and not agent:
        for variable in INSTEAD:
            if environ.get(variable):
                log.warning("%s=%s is not followed: %s", variable, environ[variable], INSTEAD[variable])
    return followed


def _defaults() -> dict[str, Any]:
    default = TrackingConfig()
    return {"mode": default.mode.value, "project": default.project, "entity": default.entity, "tags": []}


def _mode(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """The variable that asks for a mode, and which."""
    if environ.get("WANDB_DISABLED", "").lower() in TRUE:
        return "WANDB_DISABLED", "disabled"
    name = environ.get("WANDB_MODE", "")
    if not name:
        return None
    if name.lower() not in MODES:
        modes = ", ".join(mode.value for mode in TrackingMode)
        raise ConfigError(f"WANDB_MODE={name}: this program knows {modes}; unset it, or give one of them")
    return "WANDB_MODE", MODES[name.lower()]


def check_tracking(options: Mapping[str, Any], study: str, output_dir: Path) -> None:
    """Refuse what W&B would refuse when the run begins.

    Args:
        options: the `tracking` group as plain values, the environment followed.
        study: W&B's group.
        output_dir: W&B writes into `output_dir`/wandb.

    Raises:
        ConfigError: naming the key, the value and a way out.
    """
    if options["mode"] == "disabled":
        return
    wandb = _import_wandb(options["mode"])
    for key, name in (("tracking.project", options["project"]), ("study", study)):
        if not name.strip() or len(name) > MOST_NAME:
            raise ConfigError(
                f"{key}={name}: has {len(name)} characters, and Weights & Biases takes names of 1 to {MOST_NAME}; "
                "choose another, or tracking=disabled"
            )
    for tag in options["tags"]:
        if not tag.strip() or len(tag) > MOST_TAG:
            raise ConfigError(
                f"tracking.tags: {tag!r} has {len(tag)} characters, and Weights & Biases takes tags of 1 to "
                f"{MOST_TAG}; write a shorter one"
            )
    entity = options["entity"]
    if entity is not None and (not entity or set(entity) & set(" \t/\\#?%:")):
        raise ConfigError(f"tracking.entity={entity}: is no name of a user or team; take that of your address in W&B")
    try:
        settings = wandb.Settings(project=options["project"], entity=entity, run_group=study, run_tags=options["tags"])
        if address := os.environ.get("WANDB_BASE_URL"):
            settings.base_url = address
    except (ValueError, wandb.Error) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"tracking.project={options['project']}: Weights & Biases refuses its settings ({reason}); change them, "
            "or tracking=disabled"
        ) from error
    folder = output_dir / "wandb"
    if os.path.lexists(folder) and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise ConfigError(
            f"output_dir={output_dir}: its wandb is no folder that can be written, and Weights & Biases would write to "
            "a temporary one; move it away, or tracking=disabled"
        )
    if options["mode"] == "online":
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
            f"tracking.mode={mode} needs wandb, and what is imported from {list(wandb.__path__)} is another; install "
            "it with: pip install -e '.', or tracking=disabled"
        )
    return wandb


def _check_key(address: str) -> None:
    """Refuse to log to a server without a key for it: W&B would ask for one, and wait."""
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

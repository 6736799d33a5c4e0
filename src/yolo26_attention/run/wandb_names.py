"""Names in Weights & Biases: within its limits, and how to upload what is on disk."""

import hashlib
import logging
import re
from pathlib import Path

from yolo26_attention.plan.tracking_options import MOST_NAME, MOST_TAG

log = logging.getLogger(__name__)


def shorten(text: str, most: int) -> str:
    """Shorten a text to `most` characters; a hash at the end keeps shortened texts distinct."""
    if len(text) <= most:
        return text
    return f"{text[: most - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def fitting_tag(tag: str) -> str:
    """Shorten a tag to W&B's limit."""
    short = shorten(tag, MOST_TAG)
    if short != tag:
        log.info("Weights & Biases takes tags of at most %d characters: %s is tagged %s", MOST_TAG, tag, short)
    return short


def is_offline(folder: Path | str) -> bool:
    """Whether a folder of W&B's is that of an offline run, by its name."""
    return Path(folder).name.startswith("offline-")


def sync_command(folder: Path | str) -> str:
    """The command that uploads a run; without the option, W&B skips those that began online."""
    return f"wandb sync {folder}" if is_offline(folder) else f"wandb sync --include-online {folder}"


def artifact_name(name: str, most: int = MOST_NAME) -> str:
    """Replace the characters that W&B refuses in a name of an artifact, and shorten it."""
    return shorten(re.sub(r"[^A-Za-z0-9_.-]", "_", name), most)

"""Check the output folder and the training device."""

import logging
import os
import sys
from pathlib import Path

import torch

from yolo26_attention.config.errors import ConfigError, as_config_error
from yolo26_attention.files.locks import only_within_this_machine
from yolo26_attention.training.hardware import find_device

log = logging.getLogger(__name__)


def writable_folder(output_dir: str) -> Path:
    """Create the output folder; returns its absolute path.

    Raises:
        ConfigError: if it cannot be created or written to.
    """
    path = Path(output_dir).absolute()
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        given, found = (os.fsencode(name).decode(errors="replace") for name in (output_dir, path))
        encoding = sys.getfilesystemencoding()
        way_out = "rename the folder" if encoding == "utf-8" else "set PYTHONUTF8=1, or a UTF-8 locale: LC_ALL=C.UTF-8"
        raise ConfigError(
            f"output_dir={given}: {found} has characters that are not valid in this locale's encoding, {encoding}; "
            f"{way_out}"
        ) from error
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"output_dir={output_dir} cannot be created ({error.strerror}); choose another folder"
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigError(f"output_dir={output_dir} is not writable; choose another folder, or change its permissions")
    if reason := only_within_this_machine(path):
        log.warning("locks work only within this machine: %s; do not start one run on two machines at once", reason)
    return path


@as_config_error()
def training_device(name: str | None) -> torch.device:
    """Find the device of `trainer.device`.

    Raises:
        ConfigError: if it does not exist.
    """
    return find_device(name)


def latency_device(name: str | None, training: torch.device) -> torch.device:
    """Find the device of `latency.device`; without a name, that of the training.

    Raises:
        ConfigError: if it does not exist, or is more than one.
    """
    if name is None:
        return training
    if "," in name:
        raise ConfigError(f"latency.device={name}: a latency is that of one device; give one of them")
    try:
        return find_device(name)
    except ValueError as error:
        raise ConfigError(str(error).replace("trainer.device", "latency.device", 1)) from error

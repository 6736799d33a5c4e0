"""Tasks that a launcher's tests run in other processes, which import neither pytest nor the library for them."""

import json
import os
import signal
import time
from pathlib import Path

import psutil


def told(config):
    """A run that says when it ran, in which process and on which GPU."""
    time.sleep(1.0)
    line = {"seed": config.seed, "pid": os.getpid(), "gpu": os.environ.get("CUDA_VISIBLE_DEVICES")}
    with Path(config.output_dir, "told").open("a") as file:
        file.write(json.dumps({**line, "start": psutil.Process().create_time(), "end": time.time()}) + "\n")
    return float(config.seed)


def dying(config):
    """A run whose process dies as often as the seed says."""
    file = Path(config.output_dir, f"deaths{config.seed}")
    deaths = int(file.read_text()) if file.exists() else 0
    if deaths < config.seed:
        file.write_text(str(deaths + 1))
        os.kill(os.getpid(), signal.SIGKILL)
    return float(deaths)


class StubbornError(Exception):
    """An error that pickle stores and cannot read."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def stubborn(config):
    """A run that ends with such an error."""
    raise StubbornError("this", "that")

"""Tasks that a launcher's tests run in other processes, which import neither pytest nor the library for them."""

import json
import os
import signal
import time
from pathlib import Path


def told(config):
    """A run that waits until it has seen as many runs at a time as are wanted, and says what it has seen."""
    folder, gpu = Path(config.output_dir), os.environ.get("CUDA_VISIBLE_DEVICES")
    own, wanted = folder / f"alive on {gpu}: {config.seed}", int((folder / "at_once").read_text())
    own.touch()
    most = most_on_gpu = 0
    start = time.monotonic()
    while time.monotonic() < start + 1 or (time.monotonic() < start + 30 and not (folder / "seen").exists()):
        most = max(most, len(list(folder.glob("alive on *"))))
        most_on_gpu = max(most_on_gpu, len(list(folder.glob(f"alive on {gpu}: *"))))
        if most >= wanted:
            (folder / "seen").touch()
        time.sleep(0.05)
    own.unlink()
    line = {"seed": config.seed, "pid": os.getpid(), "gpu": gpu, "most": most, "most_on_gpu": most_on_gpu}
    with (folder / "told").open("a") as file:
        file.write(json.dumps(line) + "\n")
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

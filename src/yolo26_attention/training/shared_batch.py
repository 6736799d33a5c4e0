"""The batch for `trainer.batch=-1` or a share of the memory: one for all runs of an output folder.

Found anew for every run it would depend on what else lies in the GPU's memory at that moment, and variants of one study
would be trained with different batches.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ultralytics.utils import LOGGER

from yolo26_attention.files.atomic import atomic


def shared_batch(folder: Path | None, what: Mapping[str, Any], find: Callable[[], int]) -> int:
    """The batch that was found before, in this run or another one, or that is found now and kept.

    Args:
        folder: of the batches that were found; None keeps none.
        what: it depends on, apart from the machine.
        find: finds it.

    Raises:
        OSError: if it cannot be kept.
    """
    if folder is None:
        return find()
    name = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]
    file = folder / f"{name}.json"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"batch": find(), **what}, indent=2)
        found = folder / f"{name}.{os.getpid()}.found"
        with atomic(found) as partial:
            partial.write_text(content, encoding="utf-8")
        with suppress(FileExistsError):  # another run was quicker: its batch is taken
            os.link(found, file)
        found.unlink()
    batch = int(json.loads(file.read_text(encoding="utf-8"))["batch"])
    LOGGER.info(f"trainer.batch={what['share']}: {batch} images, as kept in {file} for all variants")
    return batch

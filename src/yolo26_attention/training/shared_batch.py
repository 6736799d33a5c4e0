"""The batch size for `trainer.batch=-1` or a share of the memory, shared by all runs of an output folder.

If every run searched for its own, the result would depend on the GPU memory in use at that moment, and variants of one
study would be trained with different batch sizes.
"""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ultralytics.utils import LOGGER

from yolo26_attention.files.atomic import atomic
from yolo26_attention.files.digest import json_digest


def shared_batch(folder: Path | None, what: Mapping[str, Any], find: Callable[[], int]) -> int:
    """Return the batch size that any run found before, or find it now and store it.

    Args:
        folder: folder of stored batch sizes; None stores none.
        what: what the batch size depends on, apart from the machine.
        find: searches for the batch size.

    Raises:
        OSError: if it cannot be stored.
    """
    if folder is None:
        return find()
    name = json_digest(what)[:12]
    file = folder / f"{name}.json"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"batch": find(), **what}, indent=2)
        found = folder / f"{name}.{os.getpid()}.found"
        with atomic(found) as partial:
            partial.write_text(content, encoding="utf-8")
        with suppress(FileExistsError):  # another run was faster: use its batch size
            os.link(found, file)
        found.unlink()
    batch = int(json.loads(file.read_text(encoding="utf-8"))["batch"])
    LOGGER.info(f"trainer.batch={what['share']}: {batch} images for all variants, as stored in {file}")
    return batch

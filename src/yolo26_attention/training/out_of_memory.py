"""Names the options that decide the memory of a training which has run out of it.

In the first epoch on one GPU, Ultralytics halves the batch up to three times and goes on, which the journal notes as
`batch_halved` (8.4.190). This is for everything else: later epochs, several GPUs, and the fourth time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class MemoryFullError(RuntimeError):
    """The device has too little memory for the training; the message says what to do."""


@contextmanager
def memory_explained(trainer: Any) -> Iterator[None]:
    """Explain an error of the block that says that memory ran out.

    Args:
        trainer: trainer of the block.

    Raises:
        MemoryFullError: with batch, image size and epoch of the trainer.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "out of memory" not in str(error).lower():
            raise
        args, batch = trainer.args, trainer.batch_size
        largest = int(args.imgsz * (1 + args.multi_scale))
        ways = ["a smaller trainer.imgsz"]
        if batch >= 2:
            ways.insert(0, f"trainer.batch={int(batch) // 2}")
        if args.multi_scale:
            ways.append("trainer.multi_scale=0")
        raise MemoryFullError(
            f"out of memory in epoch {getattr(trainer, 'epoch', 0) + 1} with trainer.batch={batch} and images of up to "
            f"{largest} px on {trainer.device}: choose {' or '.join(ways)}, for all variants alike; if another program "
            "holds the memory, the same command resumes after the last completed epoch"
        ) from error

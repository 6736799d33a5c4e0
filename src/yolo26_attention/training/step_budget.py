"""Convert a budget of optimizer steps to batches, which Ultralytics' training loop counts."""

import itertools

import numpy as np


def epochs_of_steps(steps: int, batches: int, accumulate: int, warmup_epochs: float) -> tuple[int, int]:
    """Compute the number of epochs to request, and the batch after which the optimizer makes its last step.

    Ultralytics accumulates gradients over `accumulate` batches. During the warm-up this number grows from 1, so steps
    are more frequent. The warm-up never includes the last epoch, so its length depends on the number of epochs. The
    batch is counted from 0 over all epochs.

    Args:
        steps: optimizer steps, at least 1.
        batches: batches per epoch.
        accumulate: batches per step after the warm-up.
        warmup_epochs: as in Ultralytics' arguments.

    Source: the loop in ultralytics/engine/trainer.py (8.4.190); tests count its steps.
    """
    for epochs in itertools.count(1):
        # Ultralytics never accumulates more batches than the training has.
        capped, warmup = min(accumulate, batches * epochs), min(warmup_epochs, epochs - 1)
        last = _batch_of_step(steps, batches, capped, warmup)
        if last < batches * epochs or (capped == accumulate and warmup == warmup_epochs):
            return max(epochs, last // batches + 1), last
    raise AssertionError("unreachable")


def _batch_of_step(steps: int, batches: int, accumulate: int, warmup_epochs: float) -> int:
    warmup = round(warmup_epochs * batches) if warmup_epochs > 0 else 0
    done, last = 0, -1
    for batch in range(warmup + 1 if warmup else 0):
        now = max(1, int(np.interp(batch, [0, warmup], [1, accumulate]).round()))
        if batch - last >= now:
            done, last = done + 1, batch
            if done == steps:
                return batch
    return last + accumulate * (steps - done)

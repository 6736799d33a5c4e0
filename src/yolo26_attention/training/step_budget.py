"""A budget in steps of the optimizer, told in batches, which is what Ultralytics' training loop counts."""

import itertools

import numpy as np


def epochs_of_steps(steps: int, batches: int, accumulate: int, warmup_epochs: float) -> tuple[int, int]:
    """The epochs to ask Ultralytics for, and the batch behind which the optimizer then makes its last step.

    Ultralytics adds gradients up over `accumulate` batches, over fewer during the warm-up: there the number grows from
    1, so steps come more often. The warm-up leaves the last of the epochs asked for alone, so that its length depends
    on their number. The batch is counted from 0 over all epochs.

    Args:
        steps: of the optimizer, at least 1.
        batches: of one epoch.
        accumulate: batches to a step after the warm-up.
        warmup_epochs: as in Ultralytics' arguments.

    Source: the loop in ultralytics/engine/trainer.py (8.4.190); tests count its steps.
    """
    for epochs in itertools.count(1):
        # Ultralytics never lets one step take more batches than the training has.
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

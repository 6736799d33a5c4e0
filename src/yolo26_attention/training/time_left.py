"""The time that a training still needs, in one line after each epoch."""

import time
from typing import Any

from yolo26_attention.counts import number_of
from yolo26_attention.durations import duration


def time_left(trainer: Any, seconds: float | None) -> str | None:
    """Estimate the time until the last epoch has ended; None after it, or if nothing is known.

    The final validation and the measurement of the latency come on top.

    Args:
        trainer: at the end of an epoch.
        seconds: duration of one epoch with its validation.
    """
    left = trainer.epochs - trainer.epoch - 1
    if trainer.args.time:
        rest = trainer.args.time * 3600 - (time.time() - trainer.train_time_start)
        return f"about {duration(rest)} of trainer.time={trainer.args.time:g} hours left" if rest > 0 else None
    if seconds is None or left < 1:
        return None
    more = number_of(left, "more epoch")
    return f"about {duration(left * seconds)} left for {more} of {duration(seconds)}"

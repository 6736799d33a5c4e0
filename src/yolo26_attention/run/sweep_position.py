"""The place of a run among those that this process trains one after the other: "run 3 of 36"."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from statistics import mean

from yolo26_attention.durations import duration


@dataclass
class _Sweep:
    """A sweep while it lasts: its number of runs, and the duration of those that were trained, in seconds."""

    total: int
    seconds: list[float] = field(default_factory=list)


_sweep: ContextVar[_Sweep | None] = ContextVar("sweep", default=None)


@contextmanager
def sweep_of(total: int) -> Iterator[None]:
    """Begin a sweep of so many runs."""
    token = _sweep.set(_Sweep(total))
    try:
        yield
    finally:
        _sweep.reset(token)


def position(number: int) -> str | None:
    """Describe the place of a run and the time left, at the mean duration of those before; None outside of a sweep.

    Args:
        number: its number in the sweep, from 0.
    """
    sweep = _sweep.get()
    if sweep is None:
        return None
    place = f"run {number + 1} of {sweep.total}"
    if not sweep.seconds:
        return place
    each = mean(sweep.seconds)
    return f"{place}; about {duration(each * (sweep.total - number))} left at {duration(each)} a run"


def nothing_swept(number: int) -> bool:
    """Whether a run is the only one that this process trains in its sweep."""
    sweep = _sweep.get()
    return number == 0 and sweep is not None and sweep.total == 1


def took(seconds: float) -> None:
    """Note how long a run of the sweep took."""
    sweep = _sweep.get()
    if sweep is not None:
        sweep.seconds.append(seconds)

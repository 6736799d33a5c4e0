"""Pauses a measurement while the machine is busy or throttled."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from yolo26_attention.latency.machine import Machine, Watched

log = logging.getLogger(__name__)
LAP_SECONDS = 1.0  # shorter ones say little, as the kernel counts CPU time in hundredths
REST_SECONDS = 2.0


class Calm:
    """Watches a measurement in laps of a second and waits after a disturbed one; call it after each round.

    Pauses are part of neither the time budget (`now` stops) nor what the machine is said to have done. Once the
    patience is used up, the measurement goes on and the machine is marked as busy or throttled.

    Args:
        machine: started.
        patience: seconds to wait in all.
        wake: functions that run each network once after a pause, because the first call is slow.
        clock: returns seconds from an arbitrary origin.
        sleep: waits for some seconds.
    """

    def __init__(
        self,
        machine: Machine,
        patience: float,
        wake: Sequence[Callable[[], Any]],
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.machine, self.wake = machine, wake
        self.waited = 0.0
        self._patience, self._clock, self._sleep = patience, clock, sleep
        self._lap_began = clock()

    def now(self) -> float:
        """Seconds without those of the pauses."""
        return self._clock() - self.waited

    def __call__(self) -> None:
        self.machine.sample()
        if self.waited >= self._patience or self._clock() - self._lap_began < LAP_SECONDS:
            return
        seen = self.machine.lap()
        if _disturbed(seen):
            self._wait(seen)
        self._lap_began = self._clock()

    def _wait(self, seen: Watched) -> None:
        left = self._patience - self.waited
        log.info("%s: waiting for at most %.0f s", _state(seen), left)
        begun = self._clock()
        end = begun + left
        while (now := self._clock()) < end:
            self._sleep(min(REST_SECONDS, end - now))
            self.machine.sample()
            if not _disturbed(self.machine.lap(counted=False)):
                break
        for call in self.wake:
            call()
        self.machine.lap(counted=False)
        self.waited += self._clock() - begun


def _disturbed(seen: Watched) -> bool:
    return seen.busy or bool(seen.throttled)


def _state(seen: Watched) -> str:
    if seen.busy:
        return f"the machine is busy (other processes use {seen.use.others_cores:.2f} cores)"
    return "the machine is throttled"

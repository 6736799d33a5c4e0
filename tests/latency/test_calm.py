"""A measurement that pauses on a busy machine: on a pretended machine and a pretended clock."""

from types import SimpleNamespace

import pytest

from yolo26_attention.files.latency import MachineUse
from yolo26_attention.latency.calm import LAP_SECONDS, REST_SECONDS, Calm
from yolo26_attention.latency.machine import Watched


class Pretended:
    """A machine that is disturbed until a moment, and the clock by which it is."""

    def __init__(self, busy_until=0.0, throttled_until=0.0):
        self.time, self.busy_until, self.throttled_until = 0.0, busy_until, throttled_until
        self.laps, self.woken = [], 0
        self.machine = SimpleNamespace(sample=lambda: None, lap=self.lap)

    def lap(self, *, counted=True):
        self.laps.append((self.time, counted))
        busy, throttled = self.time <= self.busy_until, self.time <= self.throttled_until
        return Watched(busy, throttled, MachineUse(1.0 if busy else 0.0, 2))

    def sleep(self, seconds):
        self.time += seconds

    def wake(self):
        self.woken += 1

    def calm(self, patience):
        return Calm(self.machine, patience, [self.wake, self.wake], lambda: self.time, self.sleep)

    def measure(self, calm, seconds):
        """Rounds of a tenth of a second each."""
        for _ in range(round(seconds * 10)):
            self.time += 0.1
            calm()


def test_quiet_machine_is_looked_at_once_a_second_and_never_waited_for():
    pretended = Pretended()
    calm = pretended.calm(60)
    pretended.measure(calm, 5)
    assert (calm.waited, pretended.woken) == (0.0, 0)
    assert len(pretended.laps) == pytest.approx(5 / LAP_SECONDS, abs=1)
    assert all(counted for _, counted in pretended.laps)


@pytest.mark.parametrize("disturbed", [{"busy_until": 9.0}, {"throttled_until": 9.0}], ids=["busy", "throttled"])
def test_disturbed_machine_is_waited_for_until_it_is_quiet(disturbed, caplog):
    caplog.set_level("INFO")
    pretended = Pretended(**disturbed)
    calm = pretended.calm(60)
    pretended.measure(calm, 3)
    assert 9.0 - LAP_SECONDS - 0.2 <= calm.waited <= 9.0 + REST_SECONDS
    assert calm.now() == pytest.approx(3)
    assert pretended.woken == 2
    assert caplog.messages[0].endswith("waiting for at most 60 s")
    first, *pauses = [counted for _, counted in pretended.laps]
    assert first
    assert pauses[:-1].count(False) >= 2


def test_patience_is_for_the_whole_measurement_and_then_it_goes_on():
    pretended = Pretended(busy_until=1e9)
    calm = pretended.calm(5.0)
    pretended.measure(calm, 20)
    assert calm.waited == pytest.approx(5.0)
    assert calm.now() == pytest.approx(20)
    assert pretended.woken == 2


def test_without_patience_nothing_is_looked_at():
    pretended = Pretended(busy_until=1e9)
    calm = pretended.calm(0.0)
    pretended.measure(calm, 5)
    assert (calm.waited, pretended.laps, pretended.woken) == (0.0, [], 0)

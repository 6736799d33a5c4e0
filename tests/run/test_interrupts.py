"""Signals that end a run, and those that are left to others."""

import os
import signal
import threading

import pytest
from ultralytics.utils import TryExcept

from yolo26_attention.run.interrupts import SIGNALS, interruptible


def send_and_clear_away(number):
    with interruptible():
        try:
            os.kill(os.getpid(), number)
        finally:
            for other in SIGNALS:
                os.kill(os.getpid(), other)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_interrupts_and_further_ones_pass(number):
    handlers = [signal.getsignal(each) for each in SIGNALS]
    with pytest.raises(KeyboardInterrupt, match=number.name):
        send_and_clear_away(number)
    assert [signal.getsignal(each) for each in SIGNALS] == handlers


def test_a_signal_that_somebody_handles_is_left_to_them():
    received = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: received.append(number))
    try:
        with interruptible():
            os.kill(os.getpid(), signal.SIGUSR2)
        assert received == [signal.SIGUSR2]
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_outside_the_main_thread_nothing_is_changed():
    entered = []

    def body():
        with interruptible():
            entered.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert entered == [signal.getsignal(signal.SIGTERM)]


def test_ctrl_c_while_ultralytics_draws_a_plot_ends_the_run():
    def drawn(error):
        with TryExcept(msg="plot"):
            raise error

    with interruptible(), pytest.raises(KeyboardInterrupt):
        drawn(KeyboardInterrupt("SIGTERM"))
    with interruptible():
        drawn(ValueError("no font"))  # a plot that fails still costs no run
    drawn(KeyboardInterrupt())  # otherwise, Ultralytics goes on

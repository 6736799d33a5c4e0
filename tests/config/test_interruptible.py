"""How a command ends early."""

import os
import subprocess
import sys

import pytest

COMMAND = """
import os, sys
from yolo26_attention.config.interruptible import interruptible_command
with interruptible_command("again"):
    {block}
"""


def ended(block, *, reader, unbuffered=False):
    """Exit status and standard error of a command whose output somebody reads, or nobody any more."""
    read, write = os.pipe()
    if not reader:
        os.close(read)
    try:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1" if unbuffered else ""}
        done = subprocess.run(
            [sys.executable, "-c", COMMAND.format(block=block)],
            stdout=write,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
            check=False,
        )
    finally:
        os.close(write)
        if reader:
            os.close(read)
    return done.returncode, done.stderr


@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.parametrize("block", ["print('a' * 10)", "print('a' * 100_000)", "print('a'); sys.exit(1)"])
def test_output_that_nobody_reads_ends_a_command_without_a_word(block, unbuffered):
    assert ended(block, reader=False, unbuffered=unbuffered) == (141, "")


def test_another_broken_pipe_is_an_error():
    status, said = ended("raise BrokenPipeError('of a worker')", reader=True)
    assert status == 1
    assert said.endswith("BrokenPipeError: of a worker\n")


def test_what_is_read_ends_as_always():
    assert ended("print('a' * 10)", reader=True) == (0, "")
    assert ended("raise KeyboardInterrupt", reader=True) == (130, "\ninterrupted; again\n")

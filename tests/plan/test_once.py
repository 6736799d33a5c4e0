"""What configurations share is looked up once."""

import pytest

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.plan.once import once


@pytest.fixture
def counted():
    """A function that refuses negative numbers, and its calls."""
    calls = []

    def double(number):
        calls.append(number)
        if number < 0:
            raise ConfigError(f"number={number}: give one of at least 0")
        return 2 * number

    return once(double), calls


def test_an_answer_is_repeated_without_another_call(counted):
    double, calls = counted
    assert [double(2), double(2), double(3)] == [4, 4, 6]
    assert calls == [2, 3]


def test_a_refusal_is_repeated_without_another_call(counted):
    double, calls = counted
    for _ in range(2):
        with pytest.raises(ConfigError, match="number=-1: give one of at least 0"):
            double(-1)
    assert calls == [-1]


def test_equal_numbers_of_two_types_are_two_questions(counted):
    double, _ = counted
    assert [type(double(1)), type(double(1.0))] == [int, float]


def test_an_unexpected_error_is_not_remembered():
    answers = iter([OSError("busy"), 5])

    @once
    def ask():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(OSError, match="busy"):
        ask()
    assert ask() == 5

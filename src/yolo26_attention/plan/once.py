"""Remember what a check found, so that runs that share it do not repeat it."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from yolo26_attention.config.errors import ConfigError

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def once(function: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """Call a function once for each set of arguments; its answer, or its ConfigError, is repeated after that.

    Unlike functools.cache it also remembers errors, and takes arguments that cannot be hashed. Arguments are the same
    if they print alike, because 1 and 1.0 are equal but may differ in meaning for a class of the user's.
    """
    answers: dict[str, Answer | ConfigError] = {}

    @functools.wraps(function)
    def remembered(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        key = repr((args, kwargs))
        if key not in answers:
            try:
                answers[key] = function(*args, **kwargs)
            except ConfigError as error:
                answers[key] = error
        answer = answers[key]
        if isinstance(answer, ConfigError):
            raise ConfigError(str(answer)) from answer
        return answer

    return remembered

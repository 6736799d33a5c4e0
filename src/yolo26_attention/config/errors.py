"""The error for invalid configurations. Free of Hydra, so that readers of runs can import it."""

from collections.abc import Iterator
from contextlib import contextmanager


class ConfigError(ValueError):
    """Invalid configuration; the message names the key, the value and a way out."""


@contextmanager
def as_config_error() -> Iterator[None]:
    """Raise a ValueError of the block, or of the decorated function, as a ConfigError with the same message."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(str(error)) from error

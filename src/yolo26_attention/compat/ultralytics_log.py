"""Filters of Ultralytics' log (8.4.190). `tests/compat/test_ultralytics_log.py` fails if a line is no longer there.

Only information is filtered; warnings and errors always pass.
"""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ultralytics.utils import LOGGER

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# Beginnings of messages that the first lines of a run make superfluous, or that mislead.
REPEATED = re.compile(
    r"engine/trainer: "  # more than a hundred arguments in one line; args.yaml and the record have them
    r"|Overriding model\.yaml nc="  # the number of classes always follows the data set
    r"|\w+: Fast image access"  # slow access is a warning
    r"|\w+: New cache created: "
    r"|Plotting labels to "
    r"|Using \d+ train, \d+ val images "  # with the folder and the number of epochs
)


@contextmanager
def without_repetition() -> Iterator[None]:
    """Drop the lines of Ultralytics that only repeat what a run has said about itself."""

    def keep(record: logging.LogRecord) -> bool:
        return record.levelno > logging.INFO or not REPEATED.match(COLOURS.sub("", record.getMessage()))

    with _filtered(keep):
        yield


@contextmanager
def shown_in_place(aside: Path, place: Path) -> Iterator[None]:
    """Name the final path of files that Ultralytics writes to a temporary folder.

    Args:
        aside: the temporary folder, which is gone when a user looks for it.
        place: the folder to which the files are moved.
    """

    def rename(record: logging.LogRecord) -> bool:
        if str(aside) in (message := record.getMessage()):
            record.msg, record.args = message.replace(str(aside), str(place)), ()
        return True

    with _filtered(rename):
        yield


@contextmanager
def _filtered(keep: Callable[[logging.LogRecord], bool]) -> Iterator[None]:
    LOGGER.addFilter(keep)
    try:
        yield
    finally:
        LOGGER.removeFilter(keep)

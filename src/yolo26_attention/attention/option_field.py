"""How an option of a mechanism is declared: its default, what it means, and which values the mechanism takes.

`--help` and docs/attentions.md show both texts. Booleans and enumerations need no range: their type has it.
"""

from dataclasses import field
from typing import TypeVar

Value = TypeVar("Value")

# Ranges that several mechanisms check; "channels" are those of the site. tests/attention/test_option.py tries each.
DIVIDES = "divides the channels"
ODD = "odd, 1 to 255"  # 255 is LARGEST_KERNEL of options.py
POSITIVE = "1 or more"
ANY = "any number"


def option(default: Value, meaning: str, values: str = "") -> Value:
    """A dataclass field.

    Args:
        default: its default.
        meaning: one sentence without a full stop.
        values: the values that the mechanism takes, as its class checks them.
    """
    return field(default=default, metadata={"help": meaning, "range": values})

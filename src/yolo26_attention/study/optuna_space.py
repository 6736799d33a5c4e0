"""The space of a search, from Hydra's notation for several values: choice, range, interval and their modifiers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from yolo26_attention.config.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def search_space(
    arguments: Sequence[str], loader: ConfigLoader | None = None
) -> tuple[dict[str, "BaseDistribution"], list[str]]:
    """Separate what is searched from what all trials share.

    Args:
        arguments: overrides; an option is searched if it has several values.
        loader: finds the options of a group for glob(*).

    Returns:
        The distribution of each option that is searched, and the other overrides.

    Raises:
        ConfigError: if nothing is searched, an option has no value, or its values cannot be kept as they are.
    """
    space, fixed = {}, []
    for override in OverridesParser.create(loader).parse_overrides(list(arguments)):
        if override.is_sweep_override():
            space[override.get_key_element()] = _distribution(override)
        else:
            fixed.append(str(override.input_line))
    if not space:
        raise ConfigError(
            "hydra/sweeper=optuna: nothing is searched; give an option several values, "
            "'attention.heads=choice(1,2,4)', or a range, 'optimizer.lr0=tag(log,interval(1e-4,1e-2))'"
        )
    return space, fixed


def _distribution(override: Override) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value = override.value()
    if isinstance(value, IntervalSweep):
        low, high = value.start, value.end
        assert low is not None
        assert high is not None
        try:
            if isinstance(low, int) and isinstance(high, int):
                return IntDistribution(low, high, log="log" in value.tags)
            return FloatDistribution(low, high, log="log" in value.tags)
        except ValueError as error:
            raise ConfigError(
                f"{override.input_line}: {str(error).splitlines()[0]} Give two numbers, low first"
            ) from error
    texts = list(override.sweep_string_iterator())
    if not texts:
        raise ConfigError(f"{override.input_line}: this range is empty; give its start, its end and its step")
    if isinstance(value, RangeSweep):
        numbers, step = sorted(map(float, texts)), abs(float(value.step))
        if "log" in value.tags:
            if step != 1 or not numbers[0].is_integer() or numbers[0] < 1:
                raise ConfigError(
                    f"{override.input_line}: a logarithmic range has whole numbers from 1 on and a step of 1; write "
                    "tag(log,interval(LOW,HIGH)), or leave log out"
                )
            return IntDistribution(int(numbers[0]), int(numbers[-1]), log=True)
        if all(number == int(number) for number in (*numbers, step)):
            return IntDistribution(int(numbers[0]), int(numbers[-1]), step=int(step))
        return FloatDistribution(numbers[0], numbers[-1], step=step)
    for text in getattr(value, "list", []):
        if isinstance(text, str) and not isinstance(_scalar(text), str):
            raise ConfigError(
                f"{override.input_line}: {text} is a text here and would be tried as {_scalar(text)}; write it without "
                "quotes and leading zeros"
            )
    # Optuna compares choices in their order.
    return CategoricalDistribution(
        [_scalar(text) for text in (sorted(texts) if getattr(value, "shuffle", False) else texts)]
    )


def _scalar(text: str) -> Any:
    """A choice as a number, a truth value or null, as far as it is one; any other as it is written."""
    if text.lower() in {"true", "false", "null"}:
        return {"true": True, "false": False, "null": None}[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text

"""Call the class of an attention for a place, with a limit on its parameters."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.nn.parameter import is_lazy
from ultralytics.nn.modules import Conv
from ultralytics.utils.torch_utils import initialize_weights

from yolo26_attention.detector.blame import last_line
from yolo26_attention.detector.place import Place

MOST_PARAMETERS = 100_000_000  # at one place; all of yolo26x has 60 million


@contextmanager
def _limited(name: str, options: Mapping[str, Any]) -> Iterator[Callable[[nn.Module], nn.Module]]:
    """Refuse more parameters than any network here has, as soon as they are registered, while a class is built.

    torch's meta device would tell their number without allocating them, but a class may keep what it builds there.
    Gives a function that passes a built module on, after the same check: copied parts are not registered one by one.
    """
    registered: dict[tuple[int, str], int] = {}

    def refuse(parameters: int) -> None:
        if parameters > MOST_PARAMETERS:
            given = ", ".join(f"{key}={value}" for key, value in options.items()) or name
            raise ValueError(f"{given} gives more than {MOST_PARAMETERS:,} parameters; try smaller sizes")

    def count(module: nn.Module, name: str, parameter: Any) -> None:
        if isinstance(parameter, nn.Parameter) and not is_lazy(parameter):
            registered[id(module), name] = parameter.numel()
            refuse(sum(registered.values()))

    def counted(module: nn.Module) -> nn.Module:
        if isinstance(module, nn.Module):
            refuse(sum(parameter.numel() for parameter in module.parameters() if not is_lazy(parameter)))
        return module

    handle = register_module_parameter_registration_hook(count)
    try:
        yield counted
    finally:
        handle.remove()


def construct(
    attention_class: Callable[..., nn.Module], options: Mapping[str, Any], place: Place
) -> tuple[nn.Module, nn.Module | None]:
    """Build attention from in_channels to channels if it can; otherwise attention after a 1x1 convolution that does."""
    try:
        with _limited(attention_class.__name__, options) as counted:
            if place.in_channels == place.channels:
                return counted(attention_class(place.channels, **options)), None
            if "out_channels" in inspect.signature(attention_class).parameters:
                return counted(attention_class(place.in_channels, out_channels=place.channels, **options)), None
            attention = counted(attention_class(place.channels, **options))
    except ValueError as error:
        raise ValueError(f"attention at site {place}: {error}") from error
    except (Exception, SystemExit) as error:
        called = ", ".join([str(place.channels), *(f"{key}={value!r}" for key, value in options.items())])
        raise ValueError(
            f"attention at site {place}: {attention_class.__module__}.{attention_class.__name__}({called}) failed: "
            f"{last_line(error)}{_way_out(error)}"
        ) from error
    project = Conv(place.in_channels, place.channels, 1)
    initialize_weights(project)  # Ultralytics' constants for batch norms
    return attention, project


def _way_out(error: BaseException) -> str:
    """What to change in a class whose constructor has the signature of Ultralytics' forks, `(c1, c2, ...)`."""
    if not (isinstance(error, TypeError) and "__init__() missing" in str(error)):
        return ""
    return (
        "; it is called with the channels of its site alone: give every other argument a default, or a value in the "
        "YAML of the attention, and write (c1, c2) as (channels, out_channels=None)"
    )

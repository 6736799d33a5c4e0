"""Ends a training whose first epoch is lost to values that are not finite, and says which attention made them.

Ultralytics goes on with such a network until the second epoch, and to the end where there is none.
"""

from functools import partial

import torch
from torch import Tensor, nn

from yolo26_attention.detector.grafting import grafted_attention


class NotFiniteError(RuntimeError):
    """The loss is not finite, and there is no epoch to go back to."""


class Watch:
    """Looks at what every attention puts out, without waiting for the device."""

    def __init__(self, model: nn.Module):
        self.made: dict[str, Tensor] = {}  # by place: whether it made values that are not finite
        self.hooks = [
            module.register_forward_hook(partial(self._look, place))
            for place, module in grafted_attention(model).items()
        ]

    def _look(self, place: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        made = inputs[0].isfinite().all() & ~output.isfinite().all()
        self.made[place] = self.made[place] | made if place in self.made else made

    def end(self) -> None:
        """Look no more."""
        for hook in self.hooks:
            hook.remove()

    def blame(self, epoch: int) -> NotFiniteError:
        """The error to raise, with the place that made such values first."""
        places = [place for place, made in self.made.items() if made]
        if places:
            return NotFiniteError(
                f"the loss is not finite in epoch {epoch}: the attention at site {places[0]} puts out values that are "
                "not finite for an input that is; look for divisions by zero, roots and logarithms there, or try "
                "placement.gate=zero or a lower optimizer.attention.lr_factor"
            )
        return NotFiniteError(
            f"the loss is not finite in epoch {epoch}, and no attention made it so; try a lower optimizer.lr0"
        )


def is_finite(loss: Tensor | None) -> bool:
    """Whether a loss is; one that is not there yet is."""
    return loss is None or bool(torch.isfinite(loss).all())

"""Stop a training whose first epoch produces non-finite values, and name the attention that produced them.

Ultralytics continues with such a network until the second epoch, or to the end if there is none.
"""

from functools import partial

import torch
from torch import Tensor, nn

from yolo26_attention.detector.grafted import grafted_attention


class NotFiniteError(RuntimeError):
    """The loss is not finite, and there is no earlier epoch to return to."""


class Watch:
    """Checks the output of every attention without synchronizing with the device."""

    def __init__(self, model: nn.Module):
        self.made: dict[str, Tensor] = {}  # by place: whether it produced non-finite values
        self.hooks = [
            module.register_forward_hook(partial(self._look, place))
            for place, module in grafted_attention(model).items()
        ]

    def _look(self, place: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        made = inputs[0].isfinite().all() & ~output.isfinite().all()
        self.made[place] = self.made[place] | made if place in self.made else made

    def end(self) -> None:
        """Remove the hooks."""
        for hook in self.hooks:
            hook.remove()

    def blame(self, epoch: int) -> NotFiniteError:
        """Return the error to raise, with the first place that produced such values."""
        places = [place for place, made in self.made.items() if made]
        if places:
            return NotFiniteError(
                f"the loss is not finite in epoch {epoch}: the attention at site {places[0]} outputs non-finite "
                "values for a finite input; check its divisions by zero, roots and logarithms, or try "
                "placement.gate=zero or a lower optimizer.attention.lr_factor"
            )
        return NotFiniteError(
            f"the loss is not finite in epoch {epoch}, but no attention caused it; try a lower optimizer.lr0"
        )


def is_finite(loss: Tensor | None) -> bool:
    """Whether a loss is finite; True for None."""
    return loss is None or bool(torch.isfinite(loss).all())

"""Stop a training whose first epoch produces non-finite values, and name the attention that produced them.

Ultralytics continues with such a network until the second epoch, or to the end if there is none.
"""

import torch
from torch import Tensor

from yolo26_attention.detector.not_finite import NotFinite


class NotFiniteError(RuntimeError):
    """The loss is not finite, and there is no earlier epoch to return to."""


class Watch(NotFinite):
    """Watches every attention, to name the one that made a loss non-finite."""

    def blame(self, epoch: int) -> NotFiniteError:
        """Return the error to raise, with the first site that produced such values."""
        sites = self.sites()
        if sites:
            return NotFiniteError(
                f"the loss is not finite in epoch {epoch}: the attention at site {sites[0]} outputs non-finite "
                "values for a finite input; check its divisions by zero, roots and logarithms, or try "
                "placement.gate=zero or a lower optimizer.attention.lr_factor"
            )
        return NotFiniteError(
            f"the loss is not finite in epoch {epoch}, but no attention caused it; try a lower optimizer.lr0"
        )


def is_finite(loss: Tensor | None) -> bool:
    """Whether a loss is finite; True for None."""
    return loss is None or bool(torch.isfinite(loss).all())

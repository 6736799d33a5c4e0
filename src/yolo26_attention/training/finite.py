"""Stop a training whose first epoch produces non-finite values, and name the attention that produced them.

Ultralytics continues with such a network until the second epoch, or to the end if there is none.
"""

from typing import Any

import torch
from torch import Tensor, nn
from ultralytics.utils import RANK
from ultralytics.utils.torch_utils import unwrap_model

from yolo26_attention.detector.not_finite import NotFinite
from yolo26_attention.files.journal import Kind
from yolo26_attention.training.resuming import Resuming


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


class FiniteLoss(Resuming):
    """Mixin for Ultralytics' trainers that ends a training whose loss is not finite.

    The first epoch is watched, so that the error names the attention. Later epochs are Ultralytics' matter, which
    returns to the last checkpoint.
    """

    watch: Watch | None = None  # only in the first epoch

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Watch from the start of the training on."""
        super().__init__(*args, **kwargs)
        self.add_callback("on_train_start", _watch_first_epoch)
        self.add_callback("on_train_batch_end", _end_if_not_finite)

    def _handle_nan_recovery(self, epoch: int) -> bool:
        """Journal when Ultralytics returns to the last checkpoint because the loss is not finite.

        Raises:
            NotFiniteError: if there is no checkpoint, or if returning to it did not help.
        """
        try:
            recovered: bool = super()._handle_nan_recovery(epoch)
        except RuntimeError as error:
            raise NotFiniteError(f"the loss is not finite in epoch {epoch + 1} ({error})") from error
        if not recovered and RANK in {-1, 0} and not is_finite(self.loss):
            raise (self.watch or Watch(nn.Module())).blame(epoch + 1)
        if self.watch is not None:
            self.watch.end()
            self.watch = None
        if recovered:
            self.note(Kind.NAN_RECOVERY, epoch=epoch + 1, attempt=self.nan_recovery_attempts)
        return recovered


def _watch_first_epoch(trainer: FiniteLoss) -> None:
    if trainer.start_epoch == 0 and not trainer.args.compile:
        trainer.watch = Watch(unwrap_model(trainer.model))


def _end_if_not_finite(trainer: FiniteLoss) -> None:
    """Stop immediately unless half precision is used, whose overflows the gradient scaler corrects."""
    if trainer.watch is not None and not trainer.scaler.is_enabled() and not is_finite(trainer.loss):
        raise trainer.watch.blame(trainer.epoch + 1)

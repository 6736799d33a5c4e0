"""Exact resumption of an interrupted training, bit for bit on a CPU.

Ultralytics builds everything as for a fresh start; then the state of the last completed epoch replaces it. Local
variables of its loop (the batch of the last optimizer step, whether mosaic is closed, the first epoch) are restored
through the attributes that it reads. Based on ultralytics/engine/trainer.py (8.4.190).
"""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ultralytics.utils import LOGGER, RANK
from ultralytics.utils.torch_utils import unwrap_model

from yolo26_attention.files.journal import Kind, append_entry
from yolo26_attention.training.capture import capture, restore
from yolo26_attention.training.hardware import changes, hardware
from yolo26_attention.training.random_streams import set_loader_position, set_random_streams, start_epoch_anew
from yolo26_attention.training.state import TrainingState, read_state, write_state
from yolo26_attention.training.whole_files import WholeFiles

log = logging.getLogger(__name__)
CLOCK_SET = 60.0  # seconds; a larger jump of the wall clock is an event


class Resuming(WholeFiles):
    """Mixin for Ultralytics' trainers that resumes a training exactly.

    With worker processes (never on a CPU, where Ultralytics reads images in the main process) the loader prefetches
    from the next epoch before an epoch ends. So it restarts each epoch, and order and augmentation depend only on seed
    and epoch, as long as `workers` stays the same.
    """

    # Ultralytics initializes these to None or a path.
    model: Any
    ema: Any
    optimizer: Any
    scaler: Any
    scheduler: Any
    metrics: Any
    loss_names: Any
    validator: Any

    state_file: Path | None = None  # None: Ultralytics' own behaviour, which does not resume exactly
    journal: Path | None = None
    batches: int = 0  # completed in this epoch
    last_opt_step: int = -1  # batch of that step, counted over all epochs
    mosaic_closed: bool = False
    found_batch: int | None = None  # batch size for a share of the memory
    _state: TrainingState | None = None  # to resume from, until its epoch has begun
    _close_mosaic: int | None = None  # the argument, while the loop must not see it
    _accumulate: int = 1
    _wall_ahead: float | None = None  # wall clock minus monotonic clock, in seconds
    _steps_behind: int = 0  # batches by which the loop's own last step lags behind `last_opt_step`

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Read the state to resume from."""
        super().__init__(*args, **kwargs)
        if self.state_file is not None and self.state_file.exists():
            self._state = read_state(self.state_file)
            if self.ddp:
                self.resume = True  # keeps Ultralytics' launcher from deleting the checkpoints; the workers resume

    @property
    def accumulate(self) -> int:
        """Batches per optimizer step; the loop compares it with the batches since the last step that it knows."""
        return self._accumulate + self._steps_behind

    @accumulate.setter
    def accumulate(self, batches: int) -> None:
        self._accumulate = batches

    @property
    def resumed_batch(self) -> int | None:
        """The batch size that an earlier process found for a share of the memory."""
        return None if self._state is None else self._state.found_batch

    def note(self, kind: Kind, **details: Any) -> None:
        """Append one line to the journal, from the main process of a run only."""
        if self.journal is not None and RANK in {-1, 0}:
            append_entry(self.journal, kind, **details)

    def run_callbacks(self, event: str) -> None:
        """Count batches and restore the state; callbacks would run twice in a multi-GPU run."""
        self._keep_time()
        if event == "on_train_start" and self._state is not None:
            self._prepare_loop(self._state)
        if event == "on_train_epoch_start":
            self._begin_epoch()
        super().run_callbacks(event)
        if event == "on_train_batch_end":
            self.batches += 1

    def optimizer_step(self) -> None:
        """Make Ultralytics' step; after the first one the loop itself tracks its last step."""
        self._keep_time()  # the loop checks its time limit next
        super().optimizer_step()
        self.last_opt_step = self.epoch * len(self.train_loader) + self.batches
        self._steps_behind = 0

    def _keep_time(self) -> None:
        """Shift the start times when the wall clock is set, because Ultralytics measures `time` by it."""
        if not hasattr(self, "train_time_start"):
            return
        ahead = time.time() - time.monotonic()
        if self._wall_ahead is not None and abs(jump := ahead - self._wall_ahead) > CLOCK_SET:
            self.train_time_start += jump
            self.epoch_time_start += jump
            self.note(Kind.CLOCK_SET, seconds=round(jump))
        self._wall_ahead = ahead

    def _build_train_pipeline(self) -> None:
        """Reset what a new loader resets: it has mosaic again, and the loop forgets its last step."""
        super()._build_train_pipeline()
        self.mosaic_closed, self.last_opt_step, self._steps_behind = False, -1, 0

    def _close_dataloader_mosaic(self) -> None:
        super()._close_dataloader_mosaic()
        self.mosaic_closed = True

    def _handle_nan_recovery(self, epoch: int) -> bool:
        """Reset the last step, which the loop forgets when it returns to the last checkpoint."""
        recovered: bool = super()._handle_nan_recovery(epoch)
        if recovered:
            self.last_opt_step, self._steps_behind = -1, 0
        return recovered

    def save_model(self) -> bool:
        """Save the state, then last.pt and best.pt; if the process is killed in between, resuming rewrites them."""
        if self.state_file is not None and RANK in {-1, 0}:
            write_state(self.state_file, capture(self, self._seeded_by_epoch()))
        return super().save_model()

    def resume_training(self, ckpt: dict[str, Any] | None) -> None:
        """Load the state into everything that was built for a fresh start.

        Raises:
            ValueError: if the state does not fit, because another version of the program wrote it.
        """
        if self._state is None:
            super().resume_training(ckpt)
            return
        try:
            restore(self, self._state)
        except (KeyError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"{self.state_file} does not fit this version of the program ({error}); "
                "delete it to train the run from the start"
            ) from error
        if RANK in {-1, 0}:
            super().save_model()  # the process may have ended before saving it
            self.note(Kind.RESUME, epoch=self.start_epoch + 1)
            LOGGER.info(f"resumes after epoch {self.start_epoch} of {self.epochs}")
            self._note_changes(changes(self._state.hardware, hardware(self)))

    def _do_train(self) -> None:
        """Run Ultralytics' loop; if every epoch is already trained, only the steps after the loop."""
        if self._state is None or not self._state.done:
            super()._do_train()
            return
        if self.world_size > 1:
            self._setup_ddp()
        self._setup_train()
        self.final_eval()
        if RANK in {-1, 0}:
            if self.args.plots:
                self.plot_metrics()
            self.run_callbacks("on_train_end")
        for loader in (self.train_loader, self.test_loader):
            loader.close()

    def _note_changes(self, found: Mapping[str, Mapping[str, Any]]) -> None:
        """Journal that the training is resumed on something else, and warn what that means."""
        for what, change in found.items():
            log.warning(
                "resumed with another %s: %s, before %s; not exact, because %s",
                *(what, change["now"], change["before"], change["means"]),
            )
        if found:
            self.note(Kind.HARDWARE_CHANGED, epoch=self.start_epoch + 1, changes=found)

    def _prepare_loop(self, state: TrainingState) -> None:
        """Runs before the loop sets its local variables."""
        self.train_time_start -= state.seconds
        if state.mosaic_closed:  # closed here, as the loop would restart the loader once too often
            self._close_dataloader_mosaic()
            self.args.close_mosaic, self._close_mosaic = 0, self.args.close_mosaic

    def _begin_epoch(self) -> None:
        """Runs after the loop has set its local variables and before it draws the first batch."""
        self.batches = 0
        seeded = self._seeded_by_epoch()
        if self._state is not None:
            state, self._state = self._state, None
            # Without loader processes, but resumed from a training that had them and therefore kept no streams.
            seeded = seeded or (self.state_file is not None and state.streams is None)
            self.start_epoch = 0  # the loop treats its first epoch specially, but this one is not the first
            if self._close_mosaic is not None:
                self.args.close_mosaic, self._close_mosaic = self._close_mosaic, None
            self._steps_behind = self.last_opt_step + 1
            for name, parameter in unwrap_model(self.model).named_parameters():
                if name in state.gradients:
                    parameter.grad = state.gradients[name].to(parameter.device)
            if state.streams is not None and state.loader is not None and not seeded:
                set_loader_position(self.train_loader, state.loader)
                set_random_streams(state.streams, self.device)
        if seeded:
            start_epoch_anew(self.train_loader, self.args.seed, self.epoch, self.nan_recovery_attempts, RANK)

    def _seeded_by_epoch(self) -> bool:
        return self.state_file is not None and (self.train_loader.num_workers > 0 or RANK != -1)

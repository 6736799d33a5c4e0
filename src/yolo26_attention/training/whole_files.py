"""Atomic checkpoints: a killed process or a full disk leaves none half-written."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ultralytics.engine.trainer import BaseTrainer
from ultralytics.utils import RANK

from yolo26_attention.compat.ultralytics_log import shown_in_place
from yolo26_attention.files.atomic import move_into_place


class WholeFiles(BaseTrainer):
    """Mixin for Ultralytics' trainers, which overwrite their checkpoints in place."""

    def save_model(self) -> bool:
        """Save Ultralytics' checkpoints of an epoch."""
        with self._whole_files():
            saved: bool = super().save_model()
        return saved

    def final_eval(self) -> None:
        """Run Ultralytics' final validation, which also strips both checkpoints; here it strips copies.

        Raises:
            OSError: if the disk is full.
        """
        if RANK != -1:  # every process of a multi-GPU run validates the original file
            super().final_eval()
            return
        with self._whole_files() as aside:
            for name in ("last.pt", "best.pt"):
                if (aside.parent / name).exists():
                    shutil.copyfile(aside.parent / name, aside / name)
            try:
                super().final_eval()
            except RuntimeError as error:
                if "inline_container" not in str(error):  # torch's error when it cannot write
                    raise
                raise OSError(errno.ENOSPC, f"a checkpoint cannot be written: {error}") from error

    @contextmanager
    def _whole_files(self) -> Iterator[Path]:
        """Let Ultralytics write to a temporary folder, then move each file into place atomically."""
        places = self.wdir, self.last, self.best
        aside = self.wdir / "writing.partial"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        self.wdir, self.last, self.best = aside, aside / self.last.name, aside / self.best.name
        try:
            with shown_in_place(aside, places[0]):
                yield aside
            for file in sorted(aside.iterdir()):
                move_into_place(file, places[0] / file.name)
        finally:
            self.wdir, self.last, self.best = places
            shutil.rmtree(aside, ignore_errors=True)

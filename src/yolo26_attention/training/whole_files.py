"""Checkpoints that no killed process and no full disk leaves half-written."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ultralytics.engine.trainer import BaseTrainer
from ultralytics.utils import RANK

from yolo26_attention.files.atomic import move_into_place


class WholeFiles(BaseTrainer):
    """What is put before any of Ultralytics' trainers, which write over their checkpoints."""

    def save_model(self) -> bool:
        """Ultralytics' checkpoints of an epoch."""
        with self._whole_files():
            saved: bool = super().save_model()
        return saved

    def final_eval(self) -> None:
        """Ultralytics' last validation, which also strips both checkpoints: here copies of them.

        Raises:
            OSError: if there is no room for them.
        """
        if RANK != -1:  # every process of a multi-GPU run validates the file in its place
            super().final_eval()
            return
        with self._whole_files() as aside:
            for name in ("last.pt", "best.pt"):
                if (aside.parent / name).exists():
                    shutil.copyfile(aside.parent / name, aside / name)
            try:
                super().final_eval()
            except RuntimeError as error:
                if "inline_container" not in str(error):  # what torch says when it cannot write
                    raise
                raise OSError(errno.ENOSPC, f"a checkpoint cannot be written: {error}") from error

    @contextmanager
    def _whole_files(self) -> Iterator[Path]:
        """Let Ultralytics write into a folder aside, and move what it wrote into place, each file in one step."""
        places = self.wdir, self.last, self.best
        aside = self.wdir / "writing.partial"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        self.wdir, self.last, self.best = aside, aside / self.last.name, aside / self.best.name
        try:
            yield aside
            for file in sorted(aside.iterdir()):
                move_into_place(file, places[0] / file.name)
        finally:
            self.wdir, self.last, self.best = places
            shutil.rmtree(aside, ignore_errors=True)

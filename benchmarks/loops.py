"""Trainings that take turns, an epoch each, in one process: python -m benchmarks.loops FOLDER EPOCHS NAME NAME ...

`plain` and `again` are Ultralytics' own trainer, `ours` is a whole run of ours with everything that it keeps and logs.
Prints the seconds of each epoch but the first, of the clock and of the CPU, up to its last batch and in all, as JSON.
"""

import json
import os
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils.callbacks import base

from benchmarks.use import OURS, configured
from src.runner import run

THREADS = 1


class Turns:
    """Lets one thread go on at a time, and takes the time of what each does in its turn."""

    def __init__(self, names: list[str], epochs: int) -> None:
        self.semaphores = {name: threading.Semaphore(0) for name in names}
        self.after = dict(zip(names, [*names[1:], names[0]], strict=True))
        self.times: dict[str, list[list[tuple[float, float]]]] = defaultdict(list)
        self.epochs = epochs

    def mark(self) -> None:
        """Note the time within this thread's epoch."""
        self.times[threading.current_thread().name][-1].append((time.perf_counter(), time.process_time()))

    def give_up(self) -> None:
        """Let the next thread go on, and wait for this one's next turn."""
        name = threading.current_thread().name
        if self.times[name]:
            self.mark()
        if all(len(self.times[each]) > self.epochs for each in self.after):
            finish(self.times)
        self.semaphores[self.after[name]].release()
        self.semaphores[name].acquire()
        self.times[name].append([])
        self.mark()


def finish(times: dict[str, list[list[tuple[float, float]]]]) -> None:
    """Print what was measured, and end the process in the middle of its trainings."""
    taken = {
        name: [[(b[0] - start[0], b[1] - start[1]) for b in (batches, end)] for start, batches, end in epochs[1:]]
        for name, epochs in times.items()
    }
    print(json.dumps(taken), file=sys.__stdout__, flush=True)
    os._exit(0)


def train(name: str, folder: Path, turns: Turns) -> None:
    """One training, from its start to wherever the process ends."""
    turns.semaphores[name].acquire()
    plan, text = configured(folder, *OURS, f"trainer.threads={THREADS}", "trainer.plots=false")
    if name == "ours":
        run(plan, text)
    else:
        trainer = DetectionTrainer(overrides={**plan.arguments, "save_dir": str(folder / name)})
        torch.set_num_threads(THREADS)
        trainer.train()
    raise RuntimeError(f"{name} ended before it was measured")


def stop(failure: threading.ExceptHookArgs) -> None:
    """End the process, whose other threads wait for their turn."""
    threading.__excepthook__(failure)
    os._exit(1)


def main(folder: str, epochs: str, *names: str) -> None:
    turns = Turns(list(names), int(epochs))
    threading.excepthook = stop

    def epoch_begins(trainer: Any) -> None:
        turns.give_up()

    def batches_end(trainer: Any) -> None:
        turns.mark()

    base.default_callbacks["on_train_epoch_start"].append(epoch_begins)
    base.default_callbacks["on_train_epoch_end"].append(batches_end)
    threads = [threading.Thread(target=train, args=(name, Path(folder), turns), name=name) for name in names]
    for thread in threads:
        thread.start()
    turns.semaphores[names[0]].release()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Trainings that take turns, a batch each, in one process: python -m benchmarks.loops FOLDER EPOCHS NAME NAME ...

`plain` and `again` are Ultralytics' own trainer, `ours` is a whole run of ours with everything that it keeps and logs.
Prints as JSON, for each of them and each epoch but the first, the seconds of the batches, and last those of what comes
behind them: pairs of the clock and the CPU.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils.callbacks import base

from benchmarks.use import OURS, configured
from yolo26_attention.run.runner import run
from yolo26_attention.training.random_streams import random_streams, set_random_streams

THREADS = 1
CPU = torch.device("cpu")


class Turns:
    """Lets one thread go on at a time, and takes the times of what each does in its turns.

    `times` has, for each thread, its setup and then its epochs as lists of what is between two marks: batches, and last
    what comes behind them.
    """

    def __init__(self, names: list[str]) -> None:
        self.semaphores = {name: threading.Semaphore(0) for name in names}
        self.after = dict(zip(names, [*names[1:], names[0]], strict=True))
        self.times: dict[str, list[list[tuple[float, float]]]] = {name: [[]] for name in names}
        self.streams: dict[str, dict[str, Any]] = {}
        self.start = (0.0, 0.0)

    def wait(self) -> None:
        """Wait for this thread's turn."""
        self.semaphores[threading.current_thread().name].acquire()
        if streams := self.streams.get(threading.current_thread().name):
            set_random_streams(streams, CPU)
        self.start = time.perf_counter(), time.process_time()

    def mark(self) -> None:
        """Note the seconds since the last mark of this turn, of the clock and of the CPU."""
        now = time.perf_counter(), time.process_time()
        self.times[threading.current_thread().name][-1].append((now[0] - self.start[0], now[1] - self.start[1]))
        self.start = now

    def pass_on(self) -> None:
        """End this turn, and wait for the next one; the streams of random numbers go on where this turn leaves them."""
        self.mark()
        self.streams[threading.current_thread().name] = random_streams(CPU)
        self.semaphores[self.after[threading.current_thread().name]].release()
        self.wait()

    def begin_epoch(self) -> None:
        """What follows is another epoch."""
        self.mark()
        self.times[threading.current_thread().name].append([])


def train(name: str, folder: Path, turns: Turns) -> None:
    """One training, from its start to wherever the process ends."""
    turns.wait()
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
    turns = Turns(list(names))
    threading.excepthook = stop

    def epoch_begins(trainer: Any) -> None:
        turns.begin_epoch()
        taken = [own[2:-1] for own in turns.times.values()]  # no setup, no first epoch, and not the one that begins
        if min(map(len, taken)) == int(epochs):
            print(json.dumps(dict(zip(names, taken, strict=True))), file=sys.__stdout__, flush=True)
            os._exit(0)  # in the middle of the trainings

    base.default_callbacks["on_train_epoch_start"].append(epoch_begins)
    base.default_callbacks["on_train_batch_start"].append(lambda trainer: turns.pass_on())
    base.default_callbacks["on_train_epoch_end"].append(lambda trainer: turns.mark())
    threads = [threading.Thread(target=train, args=(name, Path(folder), turns), name=name) for name in names]
    for thread in threads:
        thread.start()
    turns.semaphores[names[0]].release()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])

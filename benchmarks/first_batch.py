"""Run a command until its training is about to see its first batch: python -m benchmarks.first_batch yolo|src.train ...

Both commands train with Ultralytics, so one callback that Ultralytics hands to every trainer ends either of them.
"""

import os
import runpy
import sys

from ultralytics.cfg import entrypoint
from ultralytics.utils.callbacks import base

REACHED = 77  # exit status, which neither command has for another reason


def main() -> None:
    base.default_callbacks["on_train_batch_start"].append(lambda trainer: os._exit(REACHED))
    command = sys.argv.pop(1)
    if command == "yolo":
        entrypoint()
    else:
        runpy.run_module(command, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

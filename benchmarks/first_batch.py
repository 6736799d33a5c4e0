"""Run a command until its training is about to see its first batch: python -m benchmarks.first_batch yolo|src.train ...

Both commands train with Ultralytics, so one callback that Ultralytics hands to every trainer ends either of them. It is
put there when the command itself imports Ultralytics: when and how that happens is part of what is measured.
"""

import os
import runpy
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

CALLBACKS = "ultralytics.utils.callbacks.base"
REACHED = 77  # exit status, which neither command has for another reason


class AtFirstBatch(MetaPathFinder):
    """Has the process end at the first batch, from when Ultralytics' callbacks are imported."""

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        """As Python finds the module, with one callback more in it."""
        if name != CALLBACKS:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        run = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            module.default_callbacks["on_train_batch_start"].append(lambda trainer: os._exit(REACHED))

        spec.loader.exec_module = exec_module
        return spec


def main() -> None:
    sys.meta_path.insert(0, AtFirstBatch())
    command = sys.argv.pop(1)
    if command == "yolo":
        from ultralytics.cfg import entrypoint

        entrypoint()
    else:
        runpy.run_module(command, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

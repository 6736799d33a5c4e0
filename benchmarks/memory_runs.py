"""Memory of one process over eight runs: resident after each, and the peak so far.

python -m benchmarks.memory_runs
"""

import gc
import resource
import tempfile
from pathlib import Path

import psutil
from hydra import compose, initialize_config_dir

from yolo26_attention.config.registration import register_configs, run_config
from yolo26_attention.plan.checks import check
from yolo26_attention.run.runner import run

RUNS = 8
OVERRIDES = (
    "attention=acmix",
    "trainer=debug",
    "trainer.epochs=2",
    "data.train_images=32",
    "data.val_images=16",
    "data.imgsz=64",
    "trainer.plots=false",
    "tracking=offline",
    "latency.seconds=0.5",
)


def megabytes() -> tuple[float, float]:
    """Resident memory of this process now, and its peak so far."""
    gc.collect()
    return psutil.Process().memory_info().rss / 1e6, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    """Train eight seeds one after another and print the memory after each."""
    register_configs()
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        initialize_config_dir(str(Path("conf").absolute()), version_base="1.3"),
    ):
        for seed in range(RUNS):
            config = compose("config", [*OVERRIDES, f"seed={seed}", f"output_dir={folder}"])
            run(check(run_config(config)), "")
            rows.append(megabytes())
    print("\nrun   resident MB   peak MB")
    for number, (resident, peak) in enumerate(rows, 1):
        print(f"{number:3}   {resident:11.0f}   {peak:7.0f}")
    print(f"peak after run {RUNS} / after run 1: {rows[-1][1] / rows[0][1]:.3f}")


if __name__ == "__main__":
    main()

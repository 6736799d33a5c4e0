"""How long planning a study of 1,000 runs takes, against composing and checking each run by itself.

    python -m benchmarks.plan

Every run is composed, its model is built, and its state is looked up. Two studies: 100 configurations with 10 seeds
each, and 1,000 different configurations with one seed. The last column extrapolates from `SAMPLE` runs that were
composed by Hydra and checked one by one, in the same process.
"""

import tempfile
import time
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig

from yolo26_attention.config.registration import register_configs, run_config
from yolo26_attention.plan.checks import check
from yolo26_attention.study.definition import Point, Study
from yolo26_attention.study.plan import Composer, plan_runs, refusals
from yolo26_attention.study.progress import run_states

CONF = Path(__file__).parent.parent / "conf"
SAMPLE = 20
GRID = {"attention.heads": [1, 2, 4, 8, 16], "attention.kernel_att": [3, 5, 7, 9]}
STUDIES = {
    "100 configurations x 10 seeds": (
        range(10),
        {**GRID, "attention.kernel_conv": [1, 3, 5, 7, 9]},
    ),
    "1,000 configurations x 1 seed": (
        range(1),
        {**GRID, "attention.kernel_conv": [1, 3, 5, 7, 9], "attention.rate1": [value / 10 for value in range(10)]},
    ),
}


def points(seeds: range, grid: dict[str, list[object]]) -> list[Point]:
    """The points of a study without its baseline."""
    options = {"attention": "acmix", **grid}
    return Study("plan", "", tuple(seeds), {"acmix": options}).points()


def main() -> None:
    """Print a row for each study."""
    register_configs()
    with tempfile.TemporaryDirectory() as folder, initialize_config_dir(str(CONF), version_base="1.3"):
        shared = [f"output_dir={folder}"]
        HydraConfig.instance().set_config(compose("config", shared, return_hydra_config=True))
        check(run_config(compose("config", shared)))  # makes the data set, imports everything
        print("study                           runs    planned in   per run   one by one, per run   ratio")
        for name, (seeds, grid) in STUDIES.items():
            todo = points(seeds, grid)
            start = time.perf_counter()
            planned = plan_runs(todo, Composer(shared))
            run_states(Path(folder), [run.entry for run in planned])
            together = (time.perf_counter() - start) / len(todo)
            assert not refusals(planned)
            start = time.perf_counter()
            for point in todo[:: len(todo) // SAMPLE]:
                check(run_config(compose("config", [*shared, *point.overrides])))
            alone = (time.perf_counter() - start) / SAMPLE
            print(
                f"{name:<30} {len(todo):>5}  {together * len(todo):>9.1f} s  {together * 1e3:>5.1f} ms  "
                f"{alone * 1e3:>14.1f} ms  {alone / together:>9.1f}x"
            )


if __name__ == "__main__":
    main()

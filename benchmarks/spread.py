"""How much the number of validation scenes lowers the spread between runs: python -m benchmarks.spread STUDY.

Scores best.pt of every finished run of a study of the digits on more and more scenes. The networks stay the same, so
that the rows of the table differ in the scenes alone. Scenes are made of the scans that no training has seen.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import yaml

from yolo26_attention.data.digits import build_digits
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.metrics import MAP50_95, ULTRALYTICS
from yolo26_attention.reporting.study import StudyRun, read_study
from yolo26_attention.text_tables import aligned
from yolo26_attention.training.validator import validate

SCENES = (64, 128, 256, 512, 1024)


def score(run: StudyRun, scenes: int, cache: Path) -> tuple[float, float]:
    """mAP50-95 of a run's best.pt on some validation scenes, and the seconds that this takes."""
    assert run.record is not None, "only finished runs are scored"
    files, data = RunFolder(run.folder), run.record.config["data"]
    options = {key: data[key] for key in ("train_images", "imgsz", "seed")}
    arguments = yaml.safe_load((files.train / "args.yaml").read_text())
    arguments |= {"data": str(build_digits(cache, val_images=scenes, **options)), "plots": False}
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        metrics = validate(files.best, arguments, Path(folder) / "matches.npz")
        return float(metrics[ULTRALYTICS[MAP50_95]]), time.perf_counter() - start


def pooled(scores: Sequence[tuple[str, float]]) -> tuple[float, int]:
    """Standard deviation within variants, and its degrees of freedom."""
    by_variant = defaultdict(list)
    for variant, value in scores:
        by_variant[variant].append(value)
    groups = [np.array(values) for values in by_variant.values()]
    df = sum(len(group) - 1 for group in groups)
    return float(np.sqrt(sum(((group - group.mean()) ** 2).sum() for group in groups) / df)), df


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study")
    parser.add_argument("--output-dir", type=Path, default=Path("outputs"))
    asked = parser.parse_args()
    runs = [run for run in read_study(asked.study, asked.output_dir).runs if run.counts]
    rows = [["scenes", "mAP50-95", "sd within variants", "of the first row", "seconds a run"]]
    first = None
    for scenes in SCENES:
        found = [(run.variant, *score(run, scenes, asked.output_dir / "data")) for run in runs]
        sd, df = pooled([(variant, value) for variant, value, _ in found])
        first = first or sd
        mean, seconds = np.mean([value for _, value, _ in found]), np.mean([taken for _, _, taken in found])
        rows.append([str(scenes), f"{mean:.4f}", f"{sd:.4f}", f"{sd / first:.2f}", f"{seconds:.1f}"])
    print("\n".join(aligned(rows, right=range(5))))
    print(f"{len(runs)} runs of {asked.study}, {df} degrees of freedom")


if __name__ == "__main__":
    main()

"""The paired bootstrap over images on a set as large as COCO val2017: python -m benchmarks.bootstrap [--write].

Detections and objects are drawn at random with COCO's numbers; Ultralytics' own `ap_per_class` on the images drawn is
what each draw is checked against and timed against.
"""

import argparse
import datetime
import os
import platform
import resource
import time
from collections.abc import Callable, Iterator

import numpy as np
from ultralytics.utils.metrics import ap_per_class

from benchmarks.acmix import RESULTS, processor
from benchmarks.measure import in_turns, milliseconds, ratios, spread
from yolo26_attention.statistics import Matches, average_precision, mean_average_precision, resampled_map

IMAGES, DETECTIONS, OBJECTS, CLASSES = 5000, 100, 36_335, 80
THRESHOLDS = np.linspace(0.5, 0.95, 10)


def fabricate(seed: int, skill: float) -> Matches:
    """A run that finds seven of eight objects, located the better the more skill it has."""
    common, own = np.random.default_rng(0), np.random.default_rng(seed)
    share = 1 / np.arange(1, CLASSES + 1) ** 0.8  # few classes have most objects, as in COCO
    object_image = np.sort(common.integers(IMAGES, size=OBJECTS))
    object_cls = common.choice(CLASSES, size=OBJECTS, p=share / share.sum())
    image = np.repeat(np.arange(IMAGES), DETECTIONS)
    cls = own.choice(CLASSES, size=len(image), p=share / share.sum())
    conf = 0.6 * own.random(len(image)) ** 4
    tp = np.zeros((len(image), len(THRESHOLDS)), dtype=bool)
    slot = np.arange(OBJECTS) - np.searchsorted(object_image, object_image)
    found = np.flatnonzero((slot < DETECTIONS) & (own.random(OBJECTS) < 7 / 8))
    detection = object_image[found] * DETECTIONS + slot[found]
    iou = own.beta(2.5 * skill, 1, size=len(found))
    cls[detection] = object_cls[found]
    conf[detection] = iou * np.sqrt(own.random(len(found)))
    tp[detection] = iou[:, None] >= THRESHOLDS
    order = np.argsort(-conf)
    names = np.array([f"{number:012d}.jpg" for number in range(IMAGES)])
    return Matches(names, image[order], cls[order], tp[order], object_image, object_cls)


def literal(run: Matches, counts: np.ndarray) -> np.ndarray:
    """Ultralytics' average precision of the images drawn, each as often as it was drawn."""
    ranked = np.repeat(np.arange(len(run.image)), counts[run.image])
    conf = -np.arange(len(ranked), dtype=np.float64)
    return ap_per_class(run.tp[ranked], conf, run.cls[ranked], np.repeat(run.object_cls, counts[run.object_image]))[5]


def report(resamples: int, rounds: int) -> Iterator[str]:
    baseline, variant = fabricate(1, 1.0), fabricate(2, 1.05)
    counts = np.bincount(np.random.default_rng(3).integers(IMAGES, size=IMAGES), minlength=IMAGES)
    once = np.ones(IMAGES, dtype=np.int64)
    yield f"## {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, paired bootstrap over images"
    yield ""
    yield (
        f"{processor()}, {os.cpu_count()} cores; NumPy {np.__version__}, Python {platform.python_version()}. Drawn at "
        f"random: {IMAGES:,} images, {DETECTIONS} detections each, {OBJECTS:,} objects, {CLASSES} classes; "
        f"{int(baseline.tp.sum()):,} matches over ten thresholds."
    )
    yield ""
    yield "| mAP50-95 | here | Ultralytics | largest difference of a class and threshold |"
    yield "| --- | --- | --- | --- |"
    for label, times in (("all images", once), ("one draw", counts)):
        expected = literal(baseline, times)
        largest = np.abs(average_precision(baseline, times) - expected).max()
        own = mean_average_precision(baseline, times)[0]
        yield f"| {label} | {own:.9f} | {expected.mean():.9f} | {largest:.0e} |"
    yield ""
    contenders = {
        "Ultralytics on the images drawn": lambda: literal(baseline, counts),
        "here": lambda: mean_average_precision(baseline, counts),
    }
    turns = in_turns(contenders, rounds)
    first = turns["Ultralytics on the images drawn"]
    yield f"| mAP of one draw, median of {rounds} rounds | ms | times faster (quartiles) |"
    yield "| --- | --- | --- |"
    for name, seconds in turns.items():
        yield f"| {name} | {milliseconds(seconds)} | {spread(ratios(first, seconds))} |"
    yield ""
    yield f"| {resamples:,} draws, baseline and variant | seconds | CPU seconds | load before, after |"
    yield "| --- | --- | --- | --- |"
    for threads in (1, 2):
        load = os.getloadavg()[0]

        def bootstrap(threads: int = threads) -> None:
            resampled_map([variant, baseline], resamples=resamples, generator=np.random.default_rng(4), threads=threads)

        seconds, busy = _timed(bootstrap)
        label = "1 thread" if threads == 1 else f"{threads} threads"
        yield f"| {label} | {seconds:.1f} | {busy:.1f} | {load:.1f}, {os.getloadavg()[0]:.1f} |"


def _timed(function: Callable[[], None]) -> tuple[float, float]:
    """Seconds on the clock, and of the CPU in all threads."""
    start, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    function()
    end, after = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    return end - start, after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"append to {RESULTS.name}")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    lines = []
    for line in report(arguments.resamples, arguments.rounds):
        print(line, flush=True)
        lines.append(line)
    if arguments.write:
        with RESULTS.open("a") as file:
            file.write("\n".join(["", *lines]) + "\n")


if __name__ == "__main__":
    main()

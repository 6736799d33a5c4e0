"""How long a start looks at a data set: the first time, and again when nothing changed.

    python -m benchmarks.data [images]

Photographs are imitated by JPEGs of smooth noise, 640 x 480 px and about 70 kB each, with ten boxes a label. The files
are in the page cache, as they have just been written.
"""

import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from yolo26_attention.data import contents
from yolo26_attention.data.datasets import resolve_dataset

IMAGES = 5000
BOXES = "".join(f"{number % 2} 0.5 0.5 0.{number + 1:02d} 0.2\n" for number in range(10))


def write_set(folder: Path, images: int) -> Path:
    """Write a data set, a tenth of it for validation; its YAML."""
    random = np.random.default_rng(0)
    for split, count in (("train", images - images // 10), ("val", images // 10)):
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for number in range(count):
            noise = cv2.resize(random.integers(0, 255, (120, 160, 3), dtype=np.uint8), (640, 480))
            cv2.imwrite(str(folder / f"images/{split}/{number:06d}.jpg"), noise)
            (folder / f"labels/{split}/{number:06d}.txt").write_text(BOXES)
    yaml = folder / "data.yaml"
    yaml.write_text("train: images/train\nval: images/val\nnames: [a, b]\n")
    return yaml


def main() -> None:
    """Print the seconds of two starts, of the clock and of the CPU, and their ratio."""
    images = int(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    with tempfile.TemporaryDirectory() as folder:
        yaml = write_set(Path(folder) / "set", images)
        time.sleep(contents.SETTLED_NS / 1e9 + 1)
        seconds = []
        for _ in range(2):
            start, used = time.perf_counter(), time.process_time()
            resolve_dataset(yaml, cache=Path(folder))
            seconds.append((time.perf_counter() - start, time.process_time() - used))
        (kept,) = Path(folder).glob("seen-*.json")
        print(
            f"{images} images: first start {seconds[0][0]:.1f} s ({seconds[0][1]:.1f} s of the CPU), second "
            f"{seconds[1][0]:.2f} s ({seconds[1][1]:.2f} s), {seconds[0][1] / seconds[1][1]:.0f} times as quick by the "
            f"CPU's time; kept in {kept.stat().st_size / 1e6:.1f} MB"
        )


if __name__ == "__main__":
    main()

"""Faults of a data set's files."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.faults.doing import checked, configuration
from yolo26_attention.files.record import Record
from yolo26_attention.plan.checks import check
from yolo26_attention.run.inputs import DataChangedError
from yolo26_attention.run.runner import run

PETS = "path: {folder}\ntrain: images/train\nval: images/val\nnames: [cat, dog]\n"


def pets(folder: Path) -> Path:
    """A data set of two images a split; its YAML."""
    for split in ("train", "val"):
        for name in ("a.jpg", "b.png"):
            image, label = folder / "images" / split / name, folder / "labels" / split / f"{name[0]}.txt"
            image.parent.mkdir(parents=True, exist_ok=True)
            label.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(len(name)).integers(0, 255, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(noise).save(image)
            label.write_text("0 0.5 0.5 0.2 0.2\n\n1 0.3 0.3 0.1 0.1\n")
    (folder / "pets.yaml").write_text(PETS.format(folder=folder))
    return folder / "pets.yaml"


def with_label(content: str | bytes) -> Callable[[Path], str]:
    """A label's content, as one damaged line behind a good one."""

    def happens(folder: Path) -> str:
        yaml = pets(folder)
        line = content if isinstance(content, bytes) else content.encode()
        (folder / "labels/train/a.txt").write_bytes(b"0 0.5 0.5 0.2 0.2\n" + line)
        return checked(folder, f"data.yaml={yaml}")

    return happens


def with_file(name: str, damage: Callable[[Path], object]) -> Callable[[Path], str]:
    """A damaged file of a data set."""

    def happens(folder: Path) -> str:
        yaml = pets(folder)
        damage(folder / name)
        return checked(folder, f"data.yaml={yaml}")

    return happens


def with_list(line: bytes) -> Callable[[Path], str]:
    """A list of images with one bad line between good ones."""

    def happens(folder: Path) -> str:
        yaml = pets(folder)
        yaml.write_text(yaml.read_text().replace("images/train", "list.txt"))
        good = b"./images/train/a.jpg\n"
        (folder / "list.txt").write_bytes(good + line + good)
        return checked(folder, f"data.yaml={yaml}")

    return happens


def cut(path: Path) -> None:
    """Cut a file short."""
    os.truncate(path, path.stat().st_size * 2 // 3)


def garbage(path: Path) -> None:
    """Overwrite a file with noise."""
    path.write_bytes(np.random.default_rng(0).bytes(4096))


def empty(path: Path) -> None:
    """Leave nothing of a file."""
    path.write_bytes(b"")


def no_objects(path: Path) -> None:
    """Empty every label of a folder."""
    for label in path.iterdir():
        label.write_text("\n")


class Call:
    """Unpickled, it calls what it was given."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, Any]:
        return self.call[0], self.call[1:]


def damaged_cache(content: Callable[[Path, Path], bytes]) -> Callable[[Path], str]:
    """A label cache that is not what it should be; `content` is given the cache and a file that nobody may make."""

    def happens(folder: Path) -> str:
        plan = check(configuration(folder, "attention=baseline", "force=true"))
        first, _ = run(plan, "")
        (cache,) = plan.dataset.yaml.parent.glob("labels/train.cache")
        cache.write_bytes(content(cache, folder / "marker"))
        again, _ = run(plan, "")
        made = "its code ran" if (folder / "marker").exists() else "no code ran"
        whole = np.load(cache, allow_pickle=True).item()["results"]
        same = "same metrics" if again.metrics == first.metrics else "other metrics"
        return f"{again.status} with the {same}; {made}; cache scanned anew: {whole}"

    return happens


def hostile_cache(cache: Path, marker: Path) -> bytes:
    """A cache with code in it."""
    header = cache.read_bytes()
    return header[: header.index(b"\n") + 1] + pickle.dumps(Call(os.system, f"touch {marker}"))


def damaged_after_the_check(folder: Path) -> str:
    """An image that is damaged between the check and the training, which is then that of another data set."""
    plan = check(configuration(folder, "attention=baseline", f"data.yaml={pets(folder)}", "trainer.fraction=1.0"))
    garbage(folder / "images/train/b.png")
    try:
        run(plan, "")
    except DataChangedError as error:
        record = Record.read(plan.folder)
        assert record is not None
        (event,) = [entry for entry in record.events if entry.event == "images_dropped"]
        return f"{record.status}; images_dropped ({event.details['dropped']}); {error}"
    return "finished"


def nested(folder: Path) -> str:
    """Validation images in a folder of their own below `val:`, beside a video."""
    yaml = pets(folder)
    for kind in ("images", "labels"):
        (folder / kind / "val").rename(folder / kind / "some")
        (folder / kind / "val").mkdir()
        (folder / kind / "some").rename(folder / kind / "val/some")
    (folder / "images/val/clip.mp4").write_bytes(b"no video")
    measured = ("latency=default", "latency.seconds=0.05", "latency.throughput_batches=[]")
    plan = check(configuration(folder, "attention=baseline", f"data.yaml={yaml}", "trainer.fraction=1.0", *measured))
    record, _ = run(plan, "")
    return f"{record.status}; latency of {record.timed and record.timed.images} images"


def swapped(folder: Path) -> str:
    """A finished run whose labels then change their classes, with sizes and times as they were."""
    options = ("attention=baseline", f"data.yaml={pets(folder)}", "trainer.fraction=1.0")
    plan = check(configuration(folder, *options))
    before, _ = run(plan, "")
    for label in (folder / "labels/train").glob("*.txt"):
        times = label.stat()
        label.write_text(label.read_text().replace("0 0.5", "1 0.5"))
        os.utime(label, ns=(times.st_atime_ns, times.st_mtime_ns))
    after, trained = run(check(configuration(folder, *options)), "")
    return f"{'trained' if trained else 'not trained'}; {'another' if after.name != before.name else 'the same'} run"


def cut_image(path: Path) -> None:
    """An image of the format of its suffix, without its last bytes."""
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
    os.truncate(path, path.stat().st_size - 40)


def wide(path: Path) -> None:
    """An image wider than OpenCV decodes, of fewer pixels than Pillow refuses."""
    Image.new("1", (1_100_000, 12)).save(path)


def small(path: Path) -> None:
    """An image that Ultralytics does not take."""
    Image.new("RGB", (6, 6)).save(path)

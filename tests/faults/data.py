"""Faults of a data set's files."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from src.checks import check
from src.runner import run
from tests.faults.doing import checked, configuration

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


def small(path: Path) -> None:
    """An image that Ultralytics does not take."""
    Image.new("RGB", (6, 6)).save(path)

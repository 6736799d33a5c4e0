"""A small data set in YOLO's format, for tests of what is read of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from yolo26_attention.data import contents

YAML = "path: {folder}\ntrain: images/train\nval: images/val\nnames: [cat, dog]\n"


def add_image(folder: Path, name: str, label: str | None = "0 0.5 0.5 0.2 0.2\n", seed: int = 0) -> Path:
    """Write an image of noise as images/NAME, and its label unless it is None."""
    image = folder / "images" / name
    image.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (32, 48, 3), dtype=np.uint8)
    Image.fromarray(noise).save(image)
    if label is not None:
        file = folder / "labels" / Path(name).with_suffix(".txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(label)
    return image


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """The folder of a data set of two images a split, all different, without its YAML."""
    for number, name in enumerate(("train/a.png", "train/b.png", "val/a.png", "val/b.png")):
        add_image(tmp_path / "pets", name, seed=number)
    return tmp_path / "pets"


@pytest.fixture
def yaml_of(pets: Path) -> Callable[..., Path]:
    """Write the YAML, with keys replaced."""

    def write(**keys: str) -> Path:
        lines = [line for line in YAML.format(folder=pets).splitlines() if line.split(":")[0] not in keys]
        file = pets / "pets.yaml"
        file.write_text("\n".join([*lines, *(f"{key}: {value}" for key, value in keys.items())]) + "\n")
        return file

    return write


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are taken as unchanged for long, although the test has just written them."""
    monkeypatch.setattr(contents, "SETTLED_NS", -1)

"""A small data set in the form of Pascal VOC, for tests of what reads it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 48, 32
OBJECT = """<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{}</xmin><ymin>{}</ymin>\
<xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"""
SPLITS = {"train": ("a", "b"), "val": ("c", "d"), "test": ("e",)}


def voc_object(name: str, *box: float, difficult: int = 0) -> str:
    """The XML of one object; its box is xmin, ymin, xmax, ymax."""
    return OBJECT.format(*box, name=name, difficult=difficult)


def write_annotation(
    folder: Path, image: str, objects: Sequence[str], *, size: tuple[int, int] = (WIDTH, HEIGHT)
) -> Path:
    """Write the annotation of an image."""
    file = folder / "Annotations" / f"{image}.xml"
    file.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    file.write_text(
        f"<annotation><filename>{image}.png</filename><size><width>{width}</width><height>{height}</height>"
        f"<depth>3</depth></size>{''.join(objects)}</annotation>"
    )
    return file


def write_voc(folder: Path, splits: Mapping[str, Sequence[str]] = SPLITS) -> Path:
    """Write images of noise, with one zebra and one ant on each."""
    lists, images = folder / "ImageSets" / "Main", folder / "JPEGImages"
    lists.mkdir(parents=True)
    images.mkdir()
    for number, (split, name) in enumerate((split, name) for split, names in splits.items() for name in names):
        noise = np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(noise).save(images / f"{name}.png")
        write_annotation(folder, name, [voc_object("zebra", 1, 1, 24, 16), voc_object("ant", 25, 17, 48, 32)])
        with (lists / f"{split}.txt").open("a") as file:
            file.write(f"{name}\n")
    return folder

"""Scenes of real handwritten digits, drawn from the 1,797 scans that scikit-learn ships.

The same arguments give the same pixels on any machine. So everything here is integer arithmetic on
the raw words of PCG64, which numpy keeps stable between versions; the methods of its `Generator`
may change, and floating-point sums depend on the order of summation.
"""

from __future__ import annotations

import gzip
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

GENERATOR = "scenes 2"  # part of a set's identity: change it whenever the pixels change
SPLITS = ("train", "val", "test")
_STREAMS = {"train": 0, "val": 1, "test": 3}  # 2 shuffles the scans

MIN_SIZE, MAX_SIZE = 16, 56  # longer side of a digit's box, px, at any image size
MAX_SHARE = 35  # ... but at most this percentage of the image's side
MAX_DIGITS = 6
GAP = 2  # px between two boxes
CONTRAST = 72  # a digit's luma is at least this much (of 255) below that of its background

# Darkness of a scan is 0..16, times 2**16 once resized.
INK = 6 << 16  # a pixel belongs to the digit from this value,
FAINTEST = 112  # is drawn with this opacity (of 255) there, so that all ink is visible,
FULL_INK = 10 << 16  # and is opaque from this value

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Scene:
    """One image and its objects.

    Attributes:
        image: (imgsz, imgsz, 3) uint8, RGB.
        background: the same image without its digits, same noise.
        classes: (n,) digit 0..9 of each object, 1 <= n <= 6.
        boxes: (n, 4) x1 y1 x2 y2 in px, x2 and y2 exclusive: the bounds of each digit's ink.
        scans: (n,) index of each digit's scan among the 1,797.
    """

    image: np.ndarray
    background: np.ndarray
    classes: np.ndarray
    boxes: np.ndarray
    scans: np.ndarray


@cache
def split_scans(seed: int, held_out: bool = False) -> dict[str, np.ndarray]:
    """Return the scans (indices) of each split: a fifth of each class goes to `val`, which may share it with `test`."""
    classes, _ = _load_scans()
    shuffled = np.argsort(_Draws(seed, 2).words(len(classes)), kind="stable")
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    is_val = np.arange(len(by_class)) % 5 == 0
    train, val = by_class[~is_val], by_class[is_val]
    return {"train": train, "val": val[::2], "test": val[1::2]} if held_out else {"train": train, "val": val}


def draw_scene(split: str, index: int, *, imgsz: int = 160, seed: int = 0, held_out: bool = False) -> Scene:
    """Draw image `index` of split `train`, `val` or, with held_out, `test`; it depends only on the arguments."""
    draws = _Draws(seed, _STREAMS[split], index)
    classes, scans = _load_scans()
    pool = split_scans(seed, held_out)[split]

    clean = _texture(draws, imgsz)
    painted = clean.copy()
    boxes: list[Box] = []
    used = []
    for _ in range(draws.integer(1, MAX_DIGITS)):
        scan = int(pool[draws.integer(0, len(pool) - 1)])
        place = _place(draws, scans[scan], imgsz, boxes)
        if place is None:
            continue
        box, opacity = place
        x1, y1, x2, y2 = box
        behind = painted[y1:y2, x1:x2]
        colour = _ink_colour(draws, behind)
        share = opacity[..., None]
        painted[y1:y2, x1:x2] = (behind * (255 - share) + colour * share + 127) // 255
        boxes.append(box)
        used.append(scan)

    noise = _noise(draws, imgsz)
    return Scene(
        image=np.clip(painted + noise, 0, 255).astype(np.uint8),
        background=np.clip(clean + noise, 0, 255).astype(np.uint8),
        classes=classes[used],
        boxes=np.array(boxes),
        scans=np.array(used),
    )


class _Draws:
    """Integers from one PCG64 stream, by multiply and shift; ranges include both ends."""

    def __init__(self, *key: int):
        self.words = np.random.PCG64(np.random.SeedSequence(key)).random_raw

    def integer(self, low: int, high: int) -> int:
        return low + ((int(self.words()) >> 32) * (high - low + 1) >> 32)

    def array(self, low: int, high: int, *shape: int) -> np.ndarray:
        words = self.words(int(np.prod(shape))) >> np.uint64(32)
        steps = words * np.uint64(high - low + 1) >> np.uint64(32)
        return low + steps.astype(np.int64).reshape(shape)

    def octets(self, *shape: int) -> np.ndarray:
        count = int(np.prod(shape))
        words = self.words(-(-count // 8)).astype("<u8")
        return words.view(np.uint8)[:count].reshape(shape).astype(np.int64)


@cache
def _load_scans() -> tuple[np.ndarray, np.ndarray]:
    """Return (1797,) classes and (1797, 8, 8) darkness 0..16."""
    package = importlib.util.find_spec("sklearn")  # importing takes seconds
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("data=digits needs the scans of scikit-learn: pip install scikit-learn")
    file = Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    with gzip.open(file, "rt") as lines:
        table = np.loadtxt(lines, delimiter=",").astype(np.int64)
    return table[:, -1], table[:, :-1].reshape(-1, 8, 8)


@cache
def _weights(source: int, target: int) -> np.ndarray:
    """Return the (target, source) matrix that resizes one axis bilinearly; rows sum to 256."""
    centres = (2 * np.arange(target) + 1) * source * 128 // target - 128  # in 1/256 of a source px
    centres = np.clip(centres, 0, (source - 1) * 256)
    row, left, share = np.arange(target), centres // 256, centres % 256
    weights = np.zeros((target, source), np.int64)
    weights[row, left] = 256 - share
    weights[row, np.minimum(left + 1, source - 1)] += share
    return weights


def _resize(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize (h, w) bilinearly to (height, width); values come out times 2**16."""
    resized: np.ndarray = _weights(grid.shape[0], height) @ grid @ _weights(grid.shape[1], width).T
    return resized


def _texture(draws: _Draws, imgsz: int) -> np.ndarray:
    """Return an (imgsz, imgsz, 3) paper: a light colour, clouds at three scales, often stripes."""
    texture = np.empty((imgsz, imgsz, 3), np.int64)
    texture[:] = draws.array(145, 235, 3)
    for cell, strength in ((64, 28), (20, 18), (6, 14)):
        amplitude = draws.integer(0, strength)
        cells = imgsz // cell + 2
        grey = draws.array(-256, 256, cells, cells)
        for channel in range(3):
            cloud = 3 * grey + draws.array(-256, 256, cells, cells)  # 4 * 2**8 at most
            texture[..., channel] += _resize(cloud * amplitude, imgsz, imgsz) >> 26
    if draws.integer(0, 1):
        period = draws.integer(6, 30)
        step_x, step_y = draws.array(-4, 4, 2)
        ramp = np.arange(imgsz) * step_x + np.arange(imgsz)[:, None] * step_y
        wave = np.abs(ramp % (4 * period) - 2 * period) - period  # a triangle, -period..period
        texture += wave[..., None] * draws.array(-16, 16, 3) // period
    return np.clip(texture, 0, 255)


def _noise(draws: _Draws, imgsz: int) -> np.ndarray:
    """Return (imgsz, imgsz, 3) noise of triangular density, with an amplitude drawn per image."""
    amplitude = draws.integer(2, 20)
    shape = (imgsz, imgsz, 3)
    noise: np.ndarray = (draws.octets(*shape) - draws.octets(*shape)) * amplitude // 256
    return noise


def _place(draws: _Draws, scan: np.ndarray, imgsz: int, taken: list[Box]) -> tuple[Box, np.ndarray] | None:
    """Return a free box and the opacity (0..255) of the scan drawn in it; None if there is no room."""
    largest = min(MAX_SIZE, imgsz * MAX_SHARE // 100)
    for _ in range(40):
        opacity = _render(draws, scan, draws.integer(MIN_SIZE, largest))
        height, width = opacity.shape
        if not MIN_SIZE <= max(height, width) <= largest:  # ink can miss the target size by a px
            continue
        x1, y1 = draws.integer(0, imgsz - width), draws.integer(0, imgsz - height)
        x2, y2 = x1 + width, y1 + height
        if all(
            x1 >= right + GAP or x2 + GAP <= left or y1 >= bottom + GAP or y2 + GAP <= top
            for left, top, right, bottom in taken
        ):
            return (x1, y1, x2, y2), opacity
    return None


def _render(draws: _Draws, scan: np.ndarray, size: int) -> np.ndarray:
    """Return the opacity (0..255) of a scan drawn about `size` px long and cropped to its ink."""
    ink = scan[_bounds(scan << 16 >= INK)]
    rows, columns = ink.shape
    stretch = draws.integer(80, 120)  # % of width to height
    longer = max(100 * rows, stretch * columns)
    height, width = size * (rows + 2) * 100 // longer, size * (columns + 2) * stretch // longer
    darkness = _resize(np.pad(ink, 1), height, width)  # the padding lets the ink fade out
    opacity = FAINTEST + (darkness - INK) * (255 - FAINTEST) // (FULL_INK - INK)
    opacity = np.where(darkness < INK, 0, np.minimum(opacity, 255))
    return opacity[_bounds(opacity > 0)]


def _bounds(mask: np.ndarray) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _ink_colour(draws: _Draws, behind: np.ndarray) -> np.ndarray:
    luma = _luma(behind)
    mean = int(luma.sum()) // luma.size
    while True:
        colour = draws.array(0, 255, 3)
        if int(_luma(colour)) <= mean - CONTRAST:
            return colour


def _luma(colour: np.ndarray) -> np.ndarray:
    luma: np.ndarray = (colour * np.array([77, 150, 29])).sum(-1) >> 8
    return luma

"""The embedded data set on disk: handwritten digits in YOLO's format, built once, checked on use.

Images are BMP because the same options must give the same bytes on any machine, and the bytes of a
compressed format depend on its encoder's version.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from yolo26_attention.data.scenes import GENERATOR, SPLITS, Scene, draw_scene
from yolo26_attention.files.atomic import write_atomically
from yolo26_attention.files.building import build_folder, discard_folder

log = logging.getLogger(__name__)

BYPRODUCTS = {".npy", ".cache"}  # files that Ultralytics writes beside images and labels


@dataclass(frozen=True)
class _Options:
    train_images: int
    val_images: int
    imgsz: int
    seed: int
    test_images: int = 0

    def __post_init__(self) -> None:
        self._check("train_images", 1, 99_999)
        self._check("val_images", 1, 99_999)
        self._check("test_images", 0, 99_999)
        self._check("imgsz", 64, 640)
        self._check("seed", 0, 2**32 - 1)
        if self.imgsz % 32:
            below = self.imgsz // 32 * 32
            raise ValueError(
                f"data.imgsz={self.imgsz} is not a multiple of 32, the largest stride of YOLO26; "
                f"try {below} or {below + 32}"
            )

    def _check(self, name: str, low: int, high: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"data.{name}={value!r} cannot be used; give a whole number from {low} to {high}")

    def folder(self) -> str:
        key = json.dumps([GENERATOR, self.plain()], sort_keys=True)
        short = hashlib.sha256(key.encode()).hexdigest()[:8]
        images = [self.train_images, self.val_images, *([self.test_images] if self.test_images else [])]
        sizes = f"{'-'.join(map(str, images))}-{self.imgsz}px"
        return f"digits-{sizes}-seed{self.seed}-{short}"

    def plain(self) -> dict[str, int]:
        """Without `test_images` if there are none, as before there was a test split."""
        return {name: value for name, value in asdict(self).items() if value or name != "test_images"}

    @property
    def splits(self) -> tuple[str, ...]:
        return SPLITS if self.test_images else tuple(split for split in SPLITS if split != "test")

    def images(self, splits: Sequence[str]) -> Iterator[tuple[str, int]]:
        for split in splits:
            for index in range(getattr(self, f"{split}_images")):
                yield split, index


def build_digits(
    cache: Path,
    *,
    train_images: int = 512,
    val_images: int = 128,
    imgsz: int = 160,
    seed: int = 0,
    test_images: int = 0,
) -> Path:
    """Return the absolute path of the set's `data.yaml`; build the set if it is missing or damaged.

    Args:
        cache: folder of such sets; created if missing.
        train_images: number of training images.
        val_images: number of validation images.
        imgsz: height and width of every image, px: 64 to 640, a multiple of 32. Digits are 16 to
            56 px long at any size, but never longer than 35 % of it.
        seed: determines the split of the scans, and every scene.
        test_images: number of test images. With any, the scans of the validation images are shared between the two
            splits, so the validation images are others than without.

    Raises:
        ValueError: if an option is out of range.
        OSError: if the cache cannot be written.
    """
    options = _Options(train_images, val_images, imgsz, seed, test_images)
    folder = Path(cache).absolute() / options.folder()
    if folder.exists():
        fault = _fault(folder, options)
        if fault:
            log.warning("The digits set %s is damaged (%s); building it again.", folder, fault)
            discard_folder(folder)
    if not folder.exists():
        _build(folder, options)
    return _write_yaml(folder, held_out=test_images > 0)


def fingerprint(data_yaml: Path) -> str:
    """Return the SHA-256 over names and bytes of all images and labels of train and val, as recorded when built.

    Raises:
        FileNotFoundError: if `data_yaml` is not in a digits set.
    """
    return _recorded(Path(data_yaml).parent)


def is_digits(folder: Path) -> bool:
    """Whether a folder holds a digits set that is unchanged to the last byte."""
    try:
        options = _Options(**json.loads((folder / "fingerprint.json").read_text())["options"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return not _fault(folder, options)


def has_sources(folder: Path, sources: Mapping[str, Sequence[Path]]) -> bool:
    """Whether train and val are the images of the digits set in a folder, as a YAML beside them may name others.

    Args:
        folder: of the digits set.
        sources: folders and lists of images of each split.
    """
    return all(
        [source.resolve() for source in sources[split]] == [(folder / "images" / split).resolve()]
        for split in ("train", "val")
    )


def _recorded(folder: Path) -> str:
    return str(json.loads((folder / "fingerprint.json").read_text())["fingerprint"])


def _image_name(split: str, index: int) -> str:
    return f"images/{split}/{index:05d}.bmp"


def _label_name(split: str, index: int) -> str:
    return f"labels/{split}/{index:05d}.txt"


def _names(options: _Options, splits: Sequence[str]) -> list[str]:
    return [name(split, index) for split, index in options.images(splits) for name in (_image_name, _label_name)]


def _fingerprint(folder: Path, options: _Options, splits: Sequence[str] = ("train", "val")) -> str:
    """SHA-256 over names and bytes of some splits: the test split, which changes no training, has one of its own."""
    digest = hashlib.sha256()
    for name in _names(options, splits):
        content = (folder / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _fault(folder: Path, options: _Options) -> str:
    """Describe the fault of the set in a folder; "" if it has none."""
    try:
        expected = set(_names(options, options.splits))
        found = {file.relative_to(folder).as_posix() for file in folder.glob("*/*/*") if file.suffix not in BYPRODUCTS}
        if found != expected:
            name = min(found ^ expected)
            return f"{name} is {'missing' if name in expected else 'not part of it'}"
        if _fingerprint(folder, options) != _recorded(folder):
            return "its bytes have changed"
        recorded = json.loads((folder / "fingerprint.json").read_text()).get("test_fingerprint")
        if options.test_images and _fingerprint(folder, options, ["test"]) != recorded:
            return "the bytes of its test split have changed"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _build(folder: Path, options: _Options) -> None:
    started = time.perf_counter()
    with build_folder(folder) as building:
        for kind in ("images", "labels"):
            for split in options.splits:
                (building / kind / split).mkdir(parents=True)
        held_out = options.test_images > 0
        for split, index in options.images(options.splits):
            scene = draw_scene(split, index, imgsz=options.imgsz, seed=options.seed, held_out=held_out)
            (building / _image_name(split, index)).write_bytes(_bmp(scene.image))
            (building / _label_name(split, index)).write_bytes(_labels(scene))
        record = {
            "fingerprint": _fingerprint(building, options),
            "generator": GENERATOR,
            "options": options.plain(),
        }
        if held_out:
            record["test_fingerprint"] = _fingerprint(building, options, ["test"])
        (building / "fingerprint.json").write_text(json.dumps(record, indent=2) + "\n")
    log.info("Built the digits set %s in %.1f s.", folder, time.perf_counter() - started)


def _write_yaml(folder: Path, held_out: bool) -> Path:
    """Write `data.yaml` unless it is already correct, as the folder may have been moved."""
    path = json.dumps(str(folder), ensure_ascii=False)
    names = "".join(f'  {digit}: "{digit}"\n' for digit in range(10))
    test = "test: images/test\n" if held_out else ""
    text = f"path: {path}\ntrain: images/train\nval: images/val\n{test}names:\n{names}".encode()
    file = folder / "data.yaml"
    if not file.is_file() or file.read_bytes() != text:
        write_atomically(file, text)
    return file


def _labels(scene: Scene) -> bytes:
    """Return YOLO's lines: class, then centre and size as fractions of the image."""
    imgsz = len(scene.image)
    lines = []
    for digit, (x1, y1, x2, y2) in zip(scene.classes, scene.boxes, strict=True):
        doubled = (x1 + x2, y1 + y2, 2 * (x2 - x1), 2 * (y2 - y1))
        fractions = " ".join(_decimal(int(value), 2 * imgsz) for value in doubled)
        lines.append(f"{digit} {fractions}\n")
    return "".join(lines).encode()


def _decimal(numerator: int, denominator: int) -> str:
    """Return a fraction below 1 with six places, rounded in integers."""
    return f"0.{(2 * numerator * 10**6 + denominator) // (2 * denominator):06d}"


def _bmp(image: np.ndarray) -> bytes:
    """Return (H, W, 3) RGB as a 24-bit BMP: rows bottom up, BGR; W is a multiple of 4."""
    height, width, _ = image.shape
    pixels = np.ascontiguousarray(image[::-1, :, ::-1]).tobytes()
    header = b"BM" + b"".join(
        value.to_bytes(size, "little")
        for value, size in (
            (54 + len(pixels), 4),
            (0, 4),
            (54, 4),  # where the pixels start
            (40, 4),  # size of the rest of the header
            (width, 4),
            (height, 4),
            (1, 2),  # planes
            (24, 2),  # bits per pixel
            (0, 4),  # no compression
            (len(pixels), 4),
            (2835, 4),  # 72 dpi
            (2835, 4),
            (0, 8),  # no palette
        )
    )
    return header + pixels

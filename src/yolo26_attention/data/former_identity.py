"""The former identity of a data set, by names and sizes instead of content.

Kept to recognise runs of earlier versions. It must not change, except that a YAML beside the digits that names other
images no longer counts as the digits: which of the two an earlier run was trained on cannot be told.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ultralytics.data.utils import IMG_FORMATS, img2label_paths

from yolo26_attention.data.data_yaml import bundled, read_yaml
from yolo26_attention.data.digits import fingerprint, has_sources


def former_listing(file: Path, sources: Mapping[str, Sequence[Path]]) -> Any:
    """Return the value of `content` in the hashed definition.

    Args:
        file: the YAML.
        sources: folders or lists of images of each split.
    """
    content = read_yaml(str(file), file)
    if (file.parent / "fingerprint.json").is_file() and has_sources(file.parent, sources):
        return fingerprint(file)
    if file.parent == bundled() or content.get("download"):
        return [content["train"], content["val"]]
    listings = []
    for found in sources.values():
        images = [image for source in found for image in _images(source)]
        labels = img2label_paths([str(path) for _, path in images])
        listings.append([_row(name, path, Path(label)) for (name, path), label in zip(images, labels, strict=True)])
    return listings


def _row(name: str, image: Path, label: Path) -> list[Any]:
    """Name and size of an image, and the size of its label (-1 for none)."""
    return [name, image.stat().st_size, label.stat().st_size if label.is_file() else -1]


def _images(source: Path) -> Iterator[tuple[str, Path]]:
    """Yield name and path of each image in a folder or text file."""
    if source.is_dir():
        found = ((path.relative_to(source).as_posix(), path) for path in source.rglob("*.*"))
    else:
        lines = source.read_text(encoding="utf-8-sig").splitlines()
        found = ((x, source.parent / x if x.startswith("./") else Path(x)) for x in lines)
    yield from sorted((name, path) for name, path in found if path.suffix[1:].lower() in IMG_FORMATS)

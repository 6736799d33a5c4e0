"""Mean average precision exactly as Ultralytics computes it, of images that may be drawn several times.

Ultralytics' 101-point average precision (ultralytics/utils/metrics.py, `compute_ap`) interpolates the precision
envelope linearly in recall. A true positive never lowers the precision, so the envelope just before one equals the
envelope at it, and the interpolation is a staircase that is known from the true positives alone: some 200,000 entries,
not 10 times all detections, on a set as large as COCO's.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer, Shaped
from numpy.typing import NDArray

RECALLS = np.linspace(0, 1, 101)
BLOCK = 2**16


@dataclass(frozen=True, eq=False)
class Matches:
    """Matches of a run's detections with the objects of the validation images.

    Detections are in descending order of confidence, ties in the order that decided the run's own mAP.

    Attributes:
        images: names of all validation images, including those without detections or objects.
        image: index into `images` of each detection.
        cls: class of each detection.
        tp: whether a detection is a true positive at each IoU threshold; Ultralytics' ten from 0.50 to 0.95.
        object_image: index into `images` of each object.
        object_cls: class of each object.

    Raises:
        ValueError: if lengths or indices do not fit together.
    """

    images: Shaped[NDArray[np.str_], " images"]
    image: Integer[NDArray[np.integer], " detections"]
    cls: Integer[NDArray[np.integer], " detections"]
    tp: Bool[NDArray[np.bool_], "detections thresholds"]
    object_image: Integer[NDArray[np.integer], " objects"]
    object_cls: Integer[NDArray[np.integer], " objects"]

    def __post_init__(self) -> None:
        if not (self.tp.ndim == 2 and len(self.image) == len(self.cls) == len(self.tp)):
            shapes = self.image.shape, self.cls.shape, self.tp.shape
            raise ValueError(f"image, cls and tp of shapes {shapes}: (N,), (N,) and (N, T) are needed")
        if len(self.object_image) != len(self.object_cls):
            raise ValueError(f"{len(self.object_image)} images and {len(self.object_cls)} classes of objects")
        for index in (self.image, self.object_image):
            if len(index) and not (index.min() >= 0 and index.max() < len(self.images)):
                raise ValueError(f"image {index.min()} to {index.max()} of {len(self.images)} images")

    @cached_property
    def classes(self) -> Integer[NDArray[np.integer], " classes"]:
        """Classes that have an object, ascending: those that Ultralytics averages over."""
        return np.unique(self.object_cls)

    @cached_property
    def _blocks(self) -> "list[_Block]":
        """Classes in blocks of about `BLOCK` detections, so that the arrays of a block stay in the CPU's cache."""
        number = np.searchsorted(np.sort(self.cls), self.classes, "right") // BLOCK
        return [_Block.of(self, self.classes[number == block]) for block in np.unique(number)]


@dataclass(frozen=True, eq=False)
class _Block:
    """The part that does not depend on how often an image is drawn, for some of the classes.

    Its detections are sorted by class, its true positives by class and threshold.
    """

    detection_image: Int64[NDArray[np.intp], " detections"]
    positive: Int64[NDArray[np.intp], " positives"]  # the detection
    ahead: Int64[NDArray[np.intp], " positives"]  # first detection of its class
    lift: Float64[NDArray[np.float64], " positives"]  # falls by 2 from segment to segment: no maximum crosses
    segment: Int64[NDArray[np.intp], " segments"]  # first true positive of each class and threshold, and the end
    object_image: Int64[NDArray[np.intp], " objects"]  # sorted by class
    first_object: Int64[NDArray[np.intp], " classes"]

    @classmethod
    def of(cls, matches: Matches, classes: Integer[NDArray[np.integer], " classes"]) -> "_Block":
        thresholds = matches.tp.shape[1]
        kept = np.flatnonzero(np.isin(matches.cls, classes))
        number = np.searchsorted(classes, matches.cls[kept])
        by_class = np.argsort(number, kind="stable")
        kept, number = kept[by_class], number[by_class]
        detection, threshold = np.nonzero(matches.tp[kept])
        segment = number[detection] * thresholds + threshold
        by_segment = np.argsort(segment, kind="stable")
        detection, segment = detection[by_segment], segment[by_segment]
        objects = np.flatnonzero(np.isin(matches.object_cls, classes))
        objects = objects[np.argsort(matches.object_cls[objects], kind="stable")]
        return cls(
            detection_image=matches.image[kept].astype(np.intp),
            positive=detection,
            ahead=np.searchsorted(number, segment // thresholds),
            lift=2.0 * (len(classes) * thresholds - segment),
            segment=np.searchsorted(segment, np.arange(len(classes) * thresholds + 1)),
            object_image=matches.object_image[objects].astype(np.intp),
            first_object=np.searchsorted(matches.object_cls[objects], classes),
        )


def average_precision(
    matches: Matches, counts: Integer[NDArray[np.integer], " {len(matches.images)}"] | None = None
) -> Float64[NDArray[np.float64], "{len(matches.classes)} {matches.tp.shape[1]}"]:
    """Average precision of each class that has objects, at each threshold: what Ultralytics' `ap_per_class` returns.

    Args:
        matches: of one run.
        counts: how often each image is drawn; None for once each.

    Returns:
        Classes by thresholds, fractions of 1, rows in the order of `matches.classes`; NaN for a class without an object
        in the images drawn.
    """
    thresholds = matches.tp.shape[1]
    if counts is None:
        counts = np.ones(len(matches.images), dtype=np.int64)
    if not len(matches.classes):
        return np.zeros((0, thresholds))
    return np.concatenate([_average_precision(block, counts, thresholds) for block in matches._blocks])


def _average_precision(
    block: _Block, counts: Integer[NDArray[np.integer], " images"], thresholds: int
) -> Float64[NDArray[np.float64], "{len(block.first_object)} {thresholds}"]:
    """Average precision of the classes of a block."""
    objects = np.add.reduceat(counts[block.object_image], block.first_object)
    if not len(block.positive):
        return np.where(objects > 0, 0.0, np.nan)[:, None].repeat(thresholds, axis=1)
    drawn = counts[block.detection_image]
    ahead = _running(drawn)
    own = drawn[block.positive]
    found = _running(own)
    first = found[block.segment]
    # For each true positive: true positives and detections of its class ahead of it.
    before = found[:-1] - np.repeat(first[:-1], np.diff(block.segment))
    rank = ahead[block.positive] - ahead[block.ahead]
    precision = (before + own) / np.maximum(rank + own, 1)
    envelope = np.maximum.accumulate((precision + block.lift)[::-1])[::-1]
    # At a recall with `reached` objects found the envelope is that of the next true positive. Rounding can only leave
    # the product one short, never one too many (tried for every number of objects up to 200,000).
    total = np.maximum(objects, 1)[:, None]
    reached = np.floor(RECALLS * total).astype(np.intp)
    reached += (reached + 1) / total <= RECALLS
    some = reached[:, None] < np.diff(first).reshape(-1, thresholds, 1)
    unit = np.where(some, first[:-1].reshape(-1, thresholds, 1) + reached[:, None], -1)
    following = np.append(np.repeat(np.arange(len(own)), own), 0)[unit]
    curve = np.where(some, envelope[following] - block.lift[following], 0)
    area: NDArray[np.float64] = (curve.sum(-1) - (curve[..., 0] + curve[..., -1]) / 2) / (len(RECALLS) - 1)
    area[objects == 0] = np.nan
    return area


def _running(counts: Integer[NDArray[np.integer], " entries"]) -> Int64[NDArray[np.int64], " entries+1"]:
    """Sums of the first 0, 1, 2, ... entries."""
    sums = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=sums[1:])
    return sums


def mean_average_precision(
    matches: Matches, counts: Integer[NDArray[np.integer], " {len(matches.images)}"] | None = None
) -> tuple[float, float]:
    """mAP50-95 and mAP50 over the classes with an object in the images drawn; 0 without any object, as in Ultralytics.

    Args:
        matches: of one run; its first threshold is an IoU of 0.50.
        counts: how often each image is drawn; None for once each.
    """
    precision = average_precision(matches, counts)
    precision = precision[~np.isnan(precision[:, 0])]
    return (float(precision.mean()), float(precision[:, 0].mean())) if len(precision) else (0.0, 0.0)

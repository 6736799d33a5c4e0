"""Mean average precision exactly as Ultralytics computes it, of images that may be drawn several times.

Ultralytics' 101-point average precision (ultralytics/utils/metrics.py, `compute_ap`) interpolates the precision
envelope linearly in recall. Between two true positives the curve is known from their two precisions and from the number
of detections between them, so only true positives are looked at: some 200,000 entries, not 10 times all detections, on
a set as large as COCO's.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True, eq=False)
class Matches:
    """What a run's detections on the validation images amount to: N detections, M objects, T IoU thresholds.

    Detections stand in descending order of confidence, ties in the order that decided the run's own mAP.

    Attributes:
        images: names of all validation images, those without detections or objects too.
        image: (N,) index into `images` of each detection.
        cls: (N,) its class.
        tp: (N, T) bool, whether it is a true positive at each threshold; Ultralytics' ten from 0.50 to 0.95.
        object_image: (M,) index into `images` of each object.
        object_cls: (M,) its class.

    Raises:
        ValueError: if lengths or indices do not fit together.
    """

    images: NDArray[np.str_]
    image: NDArray[np.integer]
    cls: NDArray[np.integer]
    tp: NDArray[np.bool_]
    object_image: NDArray[np.integer]
    object_cls: NDArray[np.integer]

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
    def classes(self) -> NDArray[np.integer]:
        """(C,) classes that have an object, ascending: those that Ultralytics averages over."""
        return np.unique(self.object_cls)

    @cached_property
    def _curves(self) -> "_Curves":
        return _Curves.of(self)


@dataclass(frozen=True, eq=False)
class _Curves:
    """Indices that do not depend on how often an image is drawn.

    Detections are sorted by class, true positives by class and threshold; K of them.
    """

    detection_image: NDArray[np.intp]  # (N,)
    positive: NDArray[np.intp]  # (K,) the detection
    positive_class: NDArray[np.intp]  # (K,) first detection of its class
    segment: NDArray[np.intp]  # (C * T + 1,) first true positive of each class and threshold
    lift: NDArray[np.float64]  # (K,) falls by 2 from segment to segment, so that no maximum crosses from one to another
    object_image: NDArray[np.intp]  # (M,), sorted by class
    first_object: NDArray[np.intp]  # (C,)

    @classmethod
    def of(cls, matches: Matches) -> "_Curves":
        classes, thresholds = matches.classes, matches.tp.shape[1]
        kept = np.flatnonzero(np.isin(matches.cls, classes))
        number = np.searchsorted(classes, matches.cls[kept])
        by_class = np.argsort(number, kind="stable")
        kept, number = kept[by_class], number[by_class]
        detection, threshold = np.nonzero(matches.tp[kept])
        segment = number[detection] * thresholds + threshold
        by_segment = np.argsort(segment, kind="stable")
        detection, segment = detection[by_segment], segment[by_segment]
        first_of_class = np.searchsorted(number, np.arange(len(classes)))
        objects = np.argsort(matches.object_cls, kind="stable")
        return cls(
            detection_image=matches.image[kept].astype(np.intp),
            positive=detection,
            positive_class=first_of_class[segment // thresholds],
            segment=np.searchsorted(segment, np.arange(len(classes) * thresholds + 1)),
            lift=2.0 * (len(classes) * thresholds - segment),
            object_image=matches.object_image[objects].astype(np.intp),
            first_object=np.searchsorted(matches.object_cls[objects], classes),
        )


def average_precision(matches: Matches, counts: NDArray[np.integer] | None = None) -> NDArray[np.float64]:
    """Average precision of each class that has objects, at each threshold: what Ultralytics' `ap_per_class` returns.

    Args:
        matches: of one run.
        counts: (images,) how often each image is drawn; None for once each.

    Returns:
        (C, T), rows in the order of `matches.classes`; NaN for a class without an object in the images drawn.
    """
    curves = matches._curves
    classes, thresholds = len(matches.classes), matches.tp.shape[1]
    if not classes:
        return np.zeros((0, thresholds))
    if counts is None:
        counts = np.ones(len(matches.images), dtype=np.int64)
    objects = np.add.reduceat(counts[curves.object_image], curves.first_object)
    if not len(curves.positive):
        return np.where(objects > 0, 0.0, np.nan)[:, None].repeat(thresholds, axis=1)
    drawn = counts[curves.detection_image]
    ahead = np.concatenate(([0], np.cumsum(drawn)))
    own = drawn[curves.positive]
    found = np.concatenate(([0], np.cumsum(own)))
    # For each true positive: true positives and detections of its class ahead of it, and precision with it.
    before = found[:-1] - np.repeat(found[curves.segment[:-1]], np.diff(curves.segment))
    rank = ahead[curves.positive] - ahead[curves.positive_class]
    with np.errstate(invalid="ignore"):
        precision = np.nan_to_num((before + own) / (rank + own))
        # The precision just before it; nothing ahead of the first detection counts as 1, as in Ultralytics.
        fallen = np.where(rank > 0, before / rank, 1.0)
    envelope = np.maximum.accumulate((precision + curves.lift)[::-1])[::-1] - curves.lift
    which = np.append(np.repeat(np.arange(len(own)), own), 0)
    # Recall x lies between those of `reached` objects found and of one more: `beyond` of the way.
    total = np.maximum(objects, 1)[:, None]
    reached = np.floor(RECALLS * total).astype(np.intp)
    reached += (reached + 1) / total <= RECALLS
    reached -= reached / total > RECALLS
    beyond = RECALLS * total - reached
    first = found[curves.segment].reshape(-1)
    some = reached[:, None] < np.diff(first).reshape(classes, thresholds, 1)
    unit = np.where(some, first[:-1].reshape(classes, thresholds, 1) + reached[:, None], -1)
    following = which[unit]
    height = envelope[following]
    drop = np.maximum(fallen[following] - height, 0) * (1 - beyond)[:, None]
    curve = np.where(some, height + np.where(before[following] == reached[:, None], drop, 0), 0)
    area = (curve.sum(-1) - (curve[..., 0] + curve[..., -1]) / 2) / (len(RECALLS) - 1)
    area[objects == 0] = np.nan
    return area


def mean_average_precision(matches: Matches, counts: NDArray[np.integer] | None = None) -> tuple[float, float]:
    """mAP50-95 and mAP50 over the classes with an object in the images drawn; 0 without any object, as in Ultralytics.

    Args:
        matches: of one run; its first threshold is an IoU of 0.50.
        counts: (images,) how often each image is drawn; None for once each.
    """
    precision = average_precision(matches, counts)
    precision = precision[~np.isnan(precision[:, 0])]
    return (float(precision.mean()), float(precision[:, 0].mean())) if len(precision) else (0.0, 0.0)

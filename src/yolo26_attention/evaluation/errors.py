"""Which errors a network makes: six kinds, after TIDE (Bolya et al. 2020, arXiv:2008.08115), and its confusions.

All of it follows from the detections that a run keeps (`detections`), without the network.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolo26_attention.evaluation.detections import Detections

KINDS = ("class", "localisation", "both", "duplicate", "background", "missed")
FOREGROUND, BACKGROUND = 0.5, 0.1  # TIDE's thresholds of IoU
CONFIDENCE = 0.25  # the least of a detection that counts; what Ultralytics shows by default


@dataclass(frozen=True, eq=False)
class Errors:
    """Errors of the detections on each image.

    Attributes:
        counts: (images, 6) number of errors of each of `KINDS`.
        objects: (images,) number of objects.
    """

    counts: NDArray[np.int64]
    objects: NDArray[np.int64]


def count_errors(kept: Detections) -> Errors:
    """Count the errors of each kind, image by image.

    In descending order of confidence, a detection finds the free object of its class that it overlaps most, from an IoU
    of 0.5. Any other detection is an error, of the first kind that applies: `localisation`, an IoU of 0.1 to 0.5 with
    the nearest object of its class; `class`, 0.5 or more with an object of another class; `duplicate`, 0.5 or more with
    a found object of its class; `background`, at most 0.1 with any object; `both`, the rest. `missed` are objects that
    no detection finds and that no localisation or class error covers.

    TIDE counts all detections and weighs kinds by the AP that is lost; here those from `CONFIDENCE` on are counted.

    Args:
        kept: detections and objects of a run.
    """
    counts = np.zeros((len(kept.images), len(KINDS)), dtype=np.int64)
    objects = np.bincount(kept.object_image, minlength=len(kept.images)).astype(np.int64)
    for image, own, there in _by_image(kept):
        iou = overlaps(kept.boxes[own], kept.object_boxes[there])
        counts[image] = _kinds(iou, kept.cls[own][:, None] == kept.object_cls[there][None])
    return Errors(counts, objects)


def _kinds(iou: NDArray[np.floating], same: NDArray[np.bool_]) -> list[int]:
    """The number of errors of each kind on one image.

    Args:
        iou: (detections, objects), detections in descending order of confidence.
        same: (detections, objects), whether classes are equal.
    """
    found = np.zeros(iou.shape[1], dtype=bool)
    covered = found.copy()
    kinds = dict.fromkeys(KINDS, 0)
    wrong = []
    for detection in range(len(iou)):
        able = np.where(same[detection] & ~found, iou[detection], 0)
        if able.size and able.max() >= FOREGROUND:
            found[able.argmax()] = True
        else:
            wrong.append(detection)
    for detection in wrong:  # after all objects are found, as in TIDE
        own = np.where(same[detection], iou[detection], 0)
        other = np.where(~same[detection], iou[detection], 0)
        own_most, other_most = own.max(initial=0), other.max(initial=0)
        if BACKGROUND <= own_most < FOREGROUND:
            kinds["localisation"] += 1
            covered[own.argmax()] = True
        elif other_most >= FOREGROUND:
            kinds["class"] += 1
            covered[other.argmax()] = True
        elif own_most >= FOREGROUND:
            kinds["duplicate"] += 1
        elif other_most > BACKGROUND:
            kinds["both"] += 1
        else:
            kinds["background"] += 1
    kinds["missed"] = int((~found & ~covered).sum())
    return list(kinds.values())


def confusion(kept: Detections, classes: int) -> NDArray[np.int64]:
    """Count what objects of each class were taken for.

    Detections and objects are paired regardless of class, by descending IoU from 0.5; Ultralytics' matrix pairs from
    0.45.

    Args:
        kept: detections and objects of a run.
        classes: number of classes.

    Returns:
        (classes + 1, classes + 1): rows are classes of objects, columns those of detections. The last row is background
        that was detected, the last column are objects that were missed.
    """
    matrix = np.zeros((classes + 1, classes + 1), dtype=np.int64)
    for _, own, there in _by_image(kept):
        iou = overlaps(kept.boxes[own], kept.object_boxes[there])
        predicted, actual = kept.cls[own], kept.object_cls[there]
        free, missed = np.ones(len(own), dtype=bool), np.ones(len(there), dtype=bool)
        at = np.argwhere(iou >= FOREGROUND)
        for detection, thing in at[np.argsort(-iou[at[:, 0], at[:, 1]], kind="stable")]:
            if free[detection] and missed[thing]:
                free[detection] = missed[thing] = False
                matrix[actual[thing], predicted[detection]] += 1
        matrix[classes] += np.bincount(predicted[free], minlength=classes + 1)
        matrix[:, classes] += np.bincount(actual[missed], minlength=classes + 1)
    return matrix


def _by_image(kept: Detections) -> list[tuple[int, NDArray[np.intp], NDArray[np.intp]]]:
    """Each image with the indices of its detections, in descending order of confidence, and of its objects."""
    shown = np.flatnonzero(kept.conf >= CONFIDENCE)
    shown = shown[np.argsort(kept.image[shown], kind="stable")]
    there = np.argsort(kept.object_image, kind="stable")
    images = np.arange(len(kept.images) + 1)
    own_at, object_at = np.searchsorted(kept.image[shown], images), np.searchsorted(kept.object_image[there], images)
    return [
        (image, shown[own_at[image] : own_at[image + 1]], there[object_at[image] : object_at[image + 1]])
        for image in range(len(kept.images))
    ]


def overlaps(boxes: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.floating]:
    """The IoU of every two boxes, (detections, objects), given by their corners x1, y1, x2, y2."""
    low, high = np.maximum(boxes[:, None, :2], others[None, :, :2]), np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(-1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1)[:, None] + (others[:, 2:] - others[:, :2]).prod(-1)[None]
    return np.asarray(common / np.maximum(areas - common, 1e-9))

"""Kinds of errors and confusions, on one image with known boxes."""

import numpy as np
import pytest

from yolo26_attention.evaluation.detections import Detections
from yolo26_attention.evaluation.errors import KINDS, confusion, count_errors, overlaps

WHOLE, HALF, NEAR, FAR = (0, 0, 10, 10), (0, 0, 10, 4), (0, 0, 10, 8), (50, 50, 60, 60)


def found(detections, objects, images=1):
    """Detections (image, class, confidence, box) of objects (image, class, box)."""
    ordered = sorted(detections, key=lambda each: -each[2])
    return Detections(
        images=np.array([f"{index}.png" for index in range(images)]),
        shapes=np.full((images, 2), 100),
        image=np.array([each[0] for each in ordered], dtype=np.int64),
        cls=np.array([each[1] for each in ordered], dtype=np.int64),
        conf=np.array([each[2] for each in ordered], dtype=np.float32),
        boxes=np.array([each[3] for each in ordered], dtype=np.float32).reshape(-1, 4),
        tp=np.zeros((len(ordered), 10), dtype=bool),
        object_image=np.array([each[0] for each in objects], dtype=np.int64),
        object_cls=np.array([each[1] for each in objects], dtype=np.int64),
        object_boxes=np.array([each[2] for each in objects], dtype=np.float32).reshape(-1, 4),
    )


def kinds(detections, objects):
    counts = count_errors(found(detections, objects)).counts[0]
    return {kind: int(count) for kind, count in zip(KINDS, counts, strict=True) if count}


OBJECT = [(0, 1, WHOLE)]


@pytest.mark.parametrize(
    ("detections", "expected"),
    [
        pytest.param([(0, 1, 0.9, WHOLE)], {}, id="right"),
        pytest.param([], {"missed": 1}, id="nothing"),
        pytest.param([(0, 2, 0.9, WHOLE)], {"class": 1}, id="wrong_class"),
        pytest.param([(0, 1, 0.9, HALF)], {"localisation": 1}, id="wrong_place"),
        pytest.param([(0, 2, 0.9, HALF)], {"both": 1, "missed": 1}, id="both"),
        pytest.param([(0, 1, 0.9, WHOLE), (0, 1, 0.8, NEAR)], {"duplicate": 1}, id="duplicate"),
        pytest.param([(0, 1, 0.9, FAR)], {"background": 1, "missed": 1}, id="background"),
        pytest.param([(0, 1, 0.2, WHOLE)], {"missed": 1}, id="not_confident"),
        pytest.param([(0, 2, 0.9, WHOLE), (0, 1, 0.3, NEAR)], {"class": 1}, id="found_later"),
    ],
)
def test_each_kind_of_error(detections, expected):
    assert kinds(detections, OBJECT) == expected


def test_the_more_confident_detection_finds_the_object():
    assert kinds([(0, 1, 0.5, WHOLE), (0, 1, 0.9, NEAR)], OBJECT) == {"duplicate": 1}


def test_a_wrong_place_comes_before_a_wrong_class_as_in_tide():
    assert kinds([(0, 1, 0.9, HALF)], [*OBJECT, (0, 2, HALF)]) == {"localisation": 1, "missed": 1}


def test_errors_are_counted_on_their_image():
    counted = count_errors(found([(2, 1, 0.9, FAR)], [(0, 1, WHOLE), (2, 1, WHOLE), (2, 1, FAR)], images=3))
    assert counted.objects.tolist() == [1, 0, 2]
    assert counted.counts[:, KINDS.index("missed")].tolist() == [1, 0, 1]
    assert counted.counts.sum() == 2


def test_an_image_without_objects_has_only_background_errors():
    assert kinds([(0, 1, 0.9, FAR)], []) == {"background": 1}


def test_confusion_has_objects_in_rows_and_detections_in_columns():
    detections = [(0, 0, 0.9, WHOLE), (0, 1, 0.8, FAR), (0, 1, 0.7, (80, 80, 90, 90)), (0, 0, 0.1, WHOLE)]
    matrix = confusion(found(detections, [(0, 1, WHOLE), (0, 1, FAR), (0, 0, (20, 20, 30, 30))]), classes=2)
    assert matrix.tolist() == [[0, 0, 1], [1, 1, 0], [0, 1, 0]]


def test_confusion_pairs_by_overlap_not_by_confidence():
    detections = [(0, 0, 0.9, NEAR), (0, 1, 0.3, WHOLE)]
    assert confusion(found(detections, OBJECT), classes=2).tolist() == [[0, 0, 0], [0, 1, 0], [1, 0, 0]]


def test_overlaps_are_shares_of_the_union():
    boxes = np.array([WHOLE, HALF, FAR], dtype=np.float32)
    assert overlaps(boxes, boxes[:1]).ravel().tolist() == pytest.approx([1, 0.4, 0])

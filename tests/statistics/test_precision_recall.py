"""The PR curve, against Ultralytics' own."""

import numpy as np
import pytest
from ultralytics.utils.metrics import ap_per_class

from yolo26_attention.statistics import RECALL_POINTS, Matches, precision_over_recall


def random_matches(detections=400, objects=120, classes=3):
    generator = np.random.default_rng(1)
    return Matches(
        images=np.array(["a", "b"]),
        image=generator.integers(0, 2, detections),
        cls=generator.integers(0, classes, detections),
        tp=generator.random((detections, 10)) < 0.25,
        object_image=generator.integers(0, 2, objects),
        object_cls=generator.integers(0, classes, objects),
    )


@pytest.mark.parametrize("classes", [1, 3, 40])
def test_the_curve_is_that_of_ultralytics(classes):
    matches = random_matches(classes=classes)
    conf = np.linspace(0.9, 0.1, len(matches.cls))
    *_, x, curves = ap_per_class(matches.tp, conf, matches.cls, matches.object_cls)
    np.testing.assert_array_equal(RECALL_POINTS, x)
    np.testing.assert_allclose(precision_over_recall(matches), curves.mean(axis=0), atol=1e-12)


def test_a_class_without_a_detection_has_no_precision():
    matches = random_matches(detections=0)
    assert precision_over_recall(matches).tolist() == [0.0] * 1000
    assert precision_over_recall(random_matches(detections=0, objects=0)).tolist() == [0.0] * 1000
